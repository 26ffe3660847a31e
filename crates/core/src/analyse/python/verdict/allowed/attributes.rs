//! Methods, attributes and bases of builtin and allowed types.

use super::science;
use crate::analyse::python::verdict::hazard::{Hazard, Place};

/// Methods of builtin and allowed types whose results hold no surprise.
pub(in crate::analyse::python::verdict) fn method(name: &str) -> bool {
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
            // what a program's own classes call on their parents
            | "__init__" | "__post_init__" | "__eq__" | "__lt__" | "__add__" | "__len__" | "__getitem__" | "__setitem__"
            | "__contains__" | "__enter__" | "__exit__"
            | "format"
    ) || science::method(name)
}

/// Methods that show nothing of a set's order.
pub(in crate::analyse::python::verdict) fn set_method(name: &str) -> bool {
    matches!(name, "add" | "discard" | "remove" | "update" | "clear" | "issubset" | "issuperset" | "isdisjoint")
        || made_by_method(name) == Some(Hazard::Set)
}

/// Methods that show nothing of the address of a hash, a buffer or a generator.
pub(in crate::analyse::python::verdict) fn object_method(name: &str) -> bool {
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
    ) || science::object_method(name)
}

/// What a method makes that must not be seen.
pub(in crate::analyse::python::verdict) fn made_by_method(name: &str) -> Option<Hazard> {
    match name {
        "union" | "intersection" | "difference" | "symmetric_difference" => Some(Hazard::Set),
        // Views are harmless to print, but `&` and `-` make sets of them.
        "keys" | "items" | "finditer" | "elements" => Some(Hazard::Iterator),
        _ => science::made_by_method(name),
    }
}

/// Where the argument of a method goes.
pub(in crate::analyse::python::verdict) fn method_argument(name: &str) -> Place {
    match name {
        "join" | "extend" | "extendleft" | "update" | "fromkeys" | "writelines" | "subtract" => Place::Consumed,
        "union"
        | "intersection"
        | "difference"
        | "symmetric_difference"
        | "issubset"
        | "issuperset"
        | "isdisjoint"
        | "isin" => Place::Unordered,
        _ => Place::Plain,
    }
}

/// Attributes of builtin and allowed types that hold data.
pub(in crate::analyse::python::verdict) fn attribute(name: &str) -> bool {
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
    ) || science::attribute(name)
}

/// Bases from which a class inherits a text without an address.
pub(in crate::analyse::python::verdict) fn base(name: &str) -> bool {
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
