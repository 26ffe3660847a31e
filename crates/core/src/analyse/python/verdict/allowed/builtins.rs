//! Builtins, and how they use their arguments.

use super::Member;
use crate::analyse::python::verdict::hazard::{Hazard, Usage};

/// Returns what is known of a builtin that the program does not rebind.
pub(in crate::analyse::python::verdict) fn builtin(name: &str) -> Option<Member> {
    use Member::{Class, Consumes, Produces, Retains, Value};
    Some(match name {
        "list" | "tuple" | "dict" | "bytes" | "bytearray" | "sum" | "next" | "callable" => Class,
        "len" | "any" | "all" | "min" | "max" | "sorted" | "bool" => Consumes,
        "abs" | "ascii" | "bin" | "chr" | "complex" | "divmod" | "float" | "format" | "hex" | "int" | "isinstance"
        | "issubclass" | "oct" | "ord" | "pow" | "print" | "range" | "repr" | "round" | "slice" | "str" | "input"
        | "exit" | "quit" => Retains,
        // Under another name it could create classes, and its result has other attributes than the object.
        "type" => Produces(Hazard::ClassObject),
        "set" | "frozenset" => Produces(Hazard::Set),
        "map" | "filter" | "zip" | "enumerate" | "reversed" | "iter" => Produces(Hazard::Iterator),
        "super" => Produces(Hazard::SuperProxy),
        "__name__" | "NotImplemented" | "Ellipsis" | "__debug__" | "StopIteration" | "SystemExit" | "Exception"
        | "BaseException" => Value,
        // When these are raised differs between processes.
        "RecursionError" | "MemoryError" | "OSError" | "IOError" | "TimeoutError" => return None,
        _ if name.ends_with("Error") || name.ends_with("Warning") => Value,
        _ => return None,
    })
}

/// Whether a call has a `key` function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::analyse::python::verdict) enum SortKey {
    Given,
    Absent,
}

/// Returns how a builtin uses the argument at `index`, in a call with `count` positional arguments.
pub(in crate::analyse::python::verdict) fn argument_usage(
    builtin: &str,
    index: usize,
    count: usize,
    sort_key: SortKey,
) -> Usage {
    match builtin {
        "map" | "filter" if index == 0 => Usage::Callback,
        "isinstance" | "issubclass" if index == 1 => Usage::Type,
        "len" | "any" | "all" | "set" | "frozenset" | "bool" => Usage::OrderIndependent,
        "sorted" if sort_key == SortKey::Absent => Usage::OrderIndependent,
        "min" | "max" if count == 1 && sort_key == SortKey::Absent => Usage::OrderIndependent,
        "sorted" | "list" | "tuple" | "dict" | "bytes" | "bytearray" | "sum" | "next" | "map" | "filter" | "zip"
        | "enumerate" | "reversed" | "iter" => Usage::Consumed,
        "min" | "max" if count == 1 => Usage::Consumed,
        "callable" => Usage::Callback,
        "print" | "str" | "repr" | "format" => Usage::Formatted,
        _ => Usage::Unrestricted,
    }
}

/// Returns whether a tier may replace a builtin by a function of its own, whose text is an address.
pub(in crate::analyse::python::verdict) fn may_be_replaced(name: &str) -> bool {
    matches!(name, "print" | "input" | "exit" | "quit")
}

/// Returns whether a builtin is a hazard even if the program also binds its name.
pub(in crate::analyse::python::verdict) fn is_always_hazardous(name: &str) -> bool {
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
    ) || matches!(builtin(name), Some(Member::Produces(_)))
}
