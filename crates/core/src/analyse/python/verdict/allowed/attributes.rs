//! Methods, attributes and bases of builtin and allowed types.

use super::science;
use crate::analyse::python::verdict::hazard::{Hazard, Usage};

/// Returns whether a method of builtin and allowed types has a deterministic result.
pub(in crate::analyse::python::verdict) fn is_safe_method(name: &str) -> bool {
    matches!(
        name,
        // str, bytes
        "capitalize" | "casefold" | "center" | "count" | "encode" | "decode" | "endswith" | "expandtabs" | "find" | "index"
            | "isalnum" | "isalpha" | "isascii" | "isdecimal" | "isdigit" | "isidentifier" | "islower" | "isnumeric"
            | "isprintable" | "isspace" | "istitle" | "isupper" | "join" | "ljust" | "lower" | "lstrip" | "maketrans"
            | "partition" | "removeprefix" | "removesuffix" | "replace" | "rfind" | "rindex" | "rjust" | "rpartition"
            | "rsplit" | "rstrip" | "split" | "splitlines" | "startswith" | "strip" | "swapcase" | "title" | "translate"
            | "upper" | "zfill" | "hex" | "fromhex"
            // list, deque, dict, Counter
            | "append" | "clear" | "copy" | "extend" | "insert" | "pop" | "remove" | "reverse" | "sort" | "appendleft"
            | "extendleft" | "popleft" | "rotate" | "get" | "values" | "keys" | "items" | "setdefault" | "update" | "popitem"
            | "fromkeys" | "most_common" | "subtract" | "total" | "move_to_end" | "elements"
            // set
            | "add" | "discard" | "union" | "intersection" | "difference" | "symmetric_difference" | "issubset" | "issuperset"
            | "isdisjoint"
            // numbers
            | "bit_length" | "bit_count" | "to_bytes" | "from_bytes" | "as_integer_ratio" | "is_integer" | "conjugate"
            | "limit_denominator" | "quantize" | "as_tuple" | "normalize" | "sqrt" | "to_integral_value"
            // re
            | "match" | "search" | "fullmatch" | "findall" | "finditer" | "sub" | "group" | "groups" | "groupdict" | "start"
            | "end" | "span"
            // dates
            | "date" | "isoformat" | "isoweekday" | "weekday" | "isocalendar" | "toordinal" | "total_seconds" | "strftime"
            // hashes, buffers, seeded generators
            | "hexdigest" | "digest" | "write" | "getvalue" | "read" | "readline" | "readlines" | "flush" | "random" | "randint"
            | "choice" | "choices" | "shuffle" | "uniform" | "gauss" | "randrange"
            // dataclasses, tuples, enums
            | "_replace" | "_asdict" | "_make" | "with_traceback" | "add_note"
            // methods that classes call on their parents
            | "__init__" | "__post_init__" | "__eq__" | "__lt__" | "__add__" | "__len__" | "__getitem__" | "__setitem__"
            | "__contains__" | "__enter__" | "__exit__"
            | "format"
    ) || science::is_safe_method(name)
}

/// Returns whether a method does not reveal the order of a set.
pub(in crate::analyse::python::verdict) fn is_set_safe_method(name: &str) -> bool {
    matches!(name, "add" | "discard" | "remove" | "update" | "clear" | "issubset" | "issuperset" | "isdisjoint")
        || method_hazard(name) == Some(Hazard::Set)
}

/// Returns whether a method does not reveal the address of a digest, a buffer or a random number generator.
pub(in crate::analyse::python::verdict) fn is_object_safe_method(name: &str) -> bool {
    matches!(
        name,
        "hexdigest"
            | "digest"
            | "update"
            | "write"
            | "getvalue"
            | "read"
            | "readline"
            | "readlines"
            | "flush"
            | "random"
            | "randint"
            | "choice"
            | "choices"
            | "shuffle"
            | "uniform"
            | "gauss"
            | "randrange"
    ) || science::is_object_safe_method(name)
}

/// Returns the hazard that a method returns.
pub(in crate::analyse::python::verdict) fn method_hazard(name: &str) -> Option<Hazard> {
    match name {
        "union" | "intersection" | "difference" | "symmetric_difference" => Some(Hazard::Set),
        // Views print their elements in order, but `&` and `-` turn them into sets.
        "keys" | "items" | "finditer" | "elements" => Some(Hazard::Iterator),
        _ => science::method_hazard(name),
    }
}

/// Returns how a method uses its arguments.
pub(in crate::analyse::python::verdict) fn method_argument_usage(name: &str) -> Usage {
    match name {
        "join" | "extend" | "extendleft" | "update" | "fromkeys" | "writelines" | "subtract" => Usage::Consumed,
        "union"
        | "intersection"
        | "difference"
        | "symmetric_difference"
        | "issubset"
        | "issuperset"
        | "isdisjoint"
        | "isin" => Usage::OrderIndependent,
        _ => Usage::Unrestricted,
    }
}

/// Returns whether an attribute of builtin and allowed types holds data.
pub(in crate::analyse::python::verdict) fn is_data_attribute(name: &str) -> bool {
    matches!(
        name,
        "real"
            | "imag"
            | "numerator"
            | "denominator"
            | "year"
            | "month"
            | "day"
            | "hour"
            | "minute"
            | "second"
            | "microsecond"
            | "days"
            | "seconds"
            | "microseconds"
            | "args"
            | "maxlen"
            | "name"
            | "value"
            | "__name__"
            | "__class__"
            | "__doc__"
            | "prec"
            | "rounding"
            | "code"
    ) || science::is_data_attribute(name)
}

/// Returns whether a class inherits a text without an address from this base.
pub(in crate::analyse::python::verdict) fn is_safe_base(name: &str) -> bool {
    matches!(
        name,
        "Enum"
            | "IntEnum"
            | "StrEnum"
            | "Flag"
            | "IntFlag"
            | "NamedTuple"
            | "TypedDict"
            | "int"
            | "str"
            | "float"
            | "list"
            | "dict"
            | "tuple"
            | "bytes"
            | "Counter"
            | "OrderedDict"
            | "Exception"
            | "BaseException"
    ) || name.ends_with("Error")
        || name.ends_with("Warning")
}
