//! Builtins, and where their arguments go.

use super::Member;
use crate::analyse::python::verdict::hazard::{Hazard, Place};

/// What is known of a builtin that the program has not bound itself.
pub(in crate::analyse::python::verdict) fn builtin(name: &str) -> Option<Member> {
    use Member::{Calls, Class, Keeps, Makes, Value};
    Some(match name {
        "list" | "tuple" | "dict" | "bytes" | "bytearray" | "sum" | "next" | "callable" => Class,
        "len" | "any" | "all" | "min" | "max" | "sorted" | "bool" => Calls,
        "abs" | "ascii" | "bin" | "chr" | "complex" | "divmod" | "float" | "format" | "hex" | "int" | "isinstance"
        | "issubclass" | "oct" | "ord" | "pow" | "print" | "range" | "repr" | "round" | "slice" | "str" | "input"
        | "exit" | "quit" => Keeps,
        // By another name it would make classes, and what it gives has attributes of its own.
        "type" => Makes(Hazard::Kind),
        "set" | "frozenset" => Makes(Hazard::Set),
        "map" | "filter" | "zip" | "enumerate" | "reversed" | "iter" => Makes(Hazard::Iterator),
        "super" => Makes(Hazard::Parent),
        "__name__" | "NotImplemented" | "Ellipsis" | "__debug__" | "StopIteration" | "SystemExit" | "Exception"
        | "BaseException" => Value,
        // How deep and how much is a matter of the process.
        "RecursionError" | "MemoryError" | "OSError" | "IOError" | "TimeoutError" => return None,
        _ if name.ends_with("Error") || name.ends_with("Warning") => Value,
        _ => return None,
    })
}

/// Where the argument of a builtin goes.
pub(in crate::analyse::python::verdict) fn argument(builtin: &str, index: usize, count: usize, keyed: bool) -> Place {
    match builtin {
        "map" | "filter" if index == 0 => Place::Callback,
        "isinstance" | "issubclass" if index == 1 => Place::Type,
        "len" | "any" | "all" | "set" | "frozenset" | "bool" => Place::Unordered,
        "sorted" if !keyed => Place::Unordered,
        "min" | "max" if count == 1 && !keyed => Place::Unordered,
        "sorted" | "list" | "tuple" | "dict" | "bytes" | "bytearray" | "sum" | "next" | "map" | "filter" | "zip"
        | "enumerate" | "reversed" | "iter" => Place::Consumed,
        "min" | "max" if count == 1 => Place::Consumed,
        "callable" => Place::Callback,
        "print" | "str" | "repr" | "format" => Place::Shown,
        _ => Place::Plain,
    }
}

/// Builtins that a place where programs run may have replaced by its own, whose text is an address.
pub(in crate::analyse::python::verdict) fn is_replaced(name: &str) -> bool {
    matches!(name, "print" | "input" | "exit" | "quit")
}

/// Builtins that stay dangerous where a program gives their names to something else too.
pub(in crate::analyse::python::verdict) fn is_dangerous(name: &str) -> bool {
    matches!(
        name,
        "id" | "hash"
            | "open"
            | "eval"
            | "exec"
            | "compile"
            | "globals"
            | "locals"
            | "vars"
            | "dir"
            | "getattr"
            | "setattr"
            | "delattr"
            | "object"
            | "memoryview"
            | "help"
            | "breakpoint"
            | "__import__"
            | "__builtins__"
    ) || matches!(builtin(name), Some(Member::Makes(_)))
}
