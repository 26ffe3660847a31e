//! What is known to give the same result in every process: modules, their members, builtins, methods, attributes.
//!
//! Everything here was looked at. What is not here is not known, and a program that uses it is not deterministic.

mod attributes;
mod builtins;
mod exceptions;
mod science;
mod tables;

use super::hazard::Hazard;

pub(super) use attributes::{attribute, base, made_by_method, method, method_argument, object_method, set_method};
pub(super) use builtins::{argument, builtin, is_dangerous, is_replaced};
pub(super) use exceptions::{is_narrow, is_narrow_member, lets_pass};
pub(super) use science::{accessor, calls_back, hides, is_science, is_stored, objection, wants_a_seed};
pub(super) use tables::{argument_kind, is_aggregate, is_kind};

/// What may be done with a member of a module, or a builtin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    /// A value like any other.
    Value,
    /// A class that is only named: as a base, in annotations.
    Type,
    /// A class whose instances print what they hold; its arguments are used up.
    Class,
    /// A class or function that may keep or show its arguments.
    Keeps,
    /// A function that may call its first argument and uses the others up.
    Calls,
    /// A stream of the program.
    Stream,
    /// A function whose result must not be seen.
    Makes(Hazard),
}

/// Whether what is known under this name calls what it is given by this keyword, and keeps it to itself.
pub(super) fn calls(callee: &str, keyword: &str) -> bool {
    match keyword {
        "key" => matches!(
            callee,
            "sorted"
                | "min"
                | "max"
                | "sort"
                | "nlargest"
                | "nsmallest"
                | "sort_values"
                | "sort_index"
                | "bisect"
                | "bisect_left"
                | "bisect_right"
                | "insort"
                | "insort_left"
                | "insort_right"
        ),
        "func" | "aggfunc" => {
            matches!(callee, "agg" | "aggregate" | "apply" | "transform" | "pivot_table" | "crosstab")
        }
        "fprime" | "jac" => {
            matches!(callee, "minimize" | "root" | "root_scalar" | "fsolve" | "newton" | "least_squares" | "curve_fit")
        }
        _ => false,
    }
}

/// A module that does nothing of note when it is imported, and has members that are known.
pub(super) fn module(name: &str) -> bool {
    matches!(
        name,
        "__future__"
            | "abc"
            | "array"
            | "ast"
            | "base64"
            | "binascii"
            | "bisect"
            | "calendar"
            | "cmath"
            | "collections"
            | "collections.abc"
            | "copy"
            | "dataclasses"
            | "datetime"
            | "decimal"
            | "difflib"
            | "enum"
            | "fractions"
            | "functools"
            | "hashlib"
            | "heapq"
            | "hmac"
            | "html"
            | "io"
            | "itertools"
            | "json"
            | "math"
            | "numbers"
            | "operator"
            | "os"
            | "os.path"
            | "pprint"
            | "random"
            | "re"
            | "statistics"
            | "string"
            | "struct"
            | "sys"
            | "textwrap"
            | "types"
            | "typing"
            | "unicodedata"
            | "urllib.parse"
            | "uuid"
            | "warnings"
            | "zlib"
    ) || science::module(name)
}

/// What is known of a member, by its whole path.
pub(super) fn member(path: &[&str]) -> Option<Member> {
    use Member::{Calls, Class, Keeps, Makes, Stream, Type, Value};
    Some(match path {
        ["math" | "cmath", "pi" | "e" | "tau" | "inf" | "infj" | "pij"] => Value,
        ["math" | "cmath", "nan" | "nanj"] => return None,
        ["math" | "cmath", name] if is_public(name) => Calls,
        // Not groupby and tee, whose elements are iterators.
        [
            "itertools",
            "accumulate"
            | "batched"
            | "chain"
            | "combinations"
            | "combinations_with_replacement"
            | "compress"
            | "count"
            | "cycle"
            | "dropwhile"
            | "filterfalse"
            | "islice"
            | "pairwise"
            | "permutations"
            | "product"
            | "repeat"
            | "starmap"
            | "takewhile"
            | "zip_longest",
        ] => Makes(Hazard::Iterator),
        ["itertools", "chain", "from_iterable"] => Makes(Hazard::Iterator),
        ["functools", "reduce"] => Calls,
        ["functools", "cmp_to_key"] => Makes(Hazard::Function),
        ["collections", "Counter" | "deque" | "OrderedDict" | "namedtuple"] => Class,
        ["collections", "defaultdict" | "ChainMap"] => Keeps,
        ["collections", "abc", name] if is_public(name) => Type,
        ["heapq", "heappush" | "heappop" | "heapify" | "heappushpop" | "heapreplace"] => Keeps,
        ["heapq", "nlargest" | "nsmallest"] => Calls,
        ["bisect", "bisect" | "bisect_left" | "bisect_right" | "insort" | "insort_left" | "insort_right"] => Keeps,
        [
            "operator",
            "attrgetter" | "methodcaller" | "call" | "is_" | "is_not" | "or_" | "and_" | "xor" | "ior" | "iand"
            | "ixor" | "isub" | "itruediv" | "ipow",
        ] => return None,
        ["operator", name] if is_public(name) => Keeps,
        [
            "string",
            "ascii_letters" | "ascii_lowercase" | "ascii_uppercase" | "digits" | "hexdigits" | "octdigits"
            | "punctuation" | "printable" | "whitespace",
        ] => Value,
        ["string", "capwords"] => Keeps,
        ["re", "finditer"] => Makes(Hazard::Iterator),
        ["re", "sub" | "subn" | "compile" | "match" | "search" | "fullmatch" | "findall" | "split" | "escape"] => Keeps,
        ["re", "error" | "PatternError"] => Class,
        ["re", flag] if flag.bytes().all(|b| b.is_ascii_uppercase()) => Value,
        ["json", "dumps" | "loads"] | ["json", "JSONDecodeError"] => Keeps,
        ["base64", name] if is_base_code(name) => Keeps,
        ["binascii", "hexlify" | "unhexlify" | "crc32"] | ["html", "escape" | "unescape"] => Keeps,
        ["textwrap", "dedent" | "indent" | "fill" | "wrap" | "shorten"] => Keeps,
        ["zlib", "compress" | "decompress" | "crc32" | "adler32"] | ["hmac", "compare_digest"] => Keeps,
        ["hashlib", "md5" | "new"] | ["hmac", "new"] => Makes(Hazard::Opaque),
        ["hashlib", name] if name.starts_with("sha") || name.starts_with("blake2") => Makes(Hazard::Opaque),
        ["struct", "pack" | "unpack" | "calcsize"] | ["array", "array"] => Keeps,
        ["difflib", "get_close_matches"] => Keeps,
        [
            "unicodedata",
            "normalize" | "name" | "category" | "lookup" | "numeric" | "decimal" | "digit" | "combining",
        ] => Keeps,
        ["datetime", "date" | "datetime" | "time" | "timedelta" | "timezone"] => Keeps,
        ["datetime", "datetime", "strptime" | "fromisoformat" | "combine" | "fromordinal"] => Keeps,
        ["datetime", "date" | "time", "fromisoformat" | "fromordinal"] => Keeps,
        ["datetime", "UTC"] | ["datetime", "timezone", "utc"] => Value,
        ["datetime", "date" | "datetime" | "time", "min" | "max"] => Value,
        ["calendar", "isleap" | "leapdays" | "monthrange" | "weekday"] => Keeps,
        ["decimal", "Decimal" | "getcontext"] => Keeps,
        ["decimal", name] if name.starts_with("ROUND_") || matches!(*name, "InvalidOperation" | "DivisionByZero") => {
            Value
        }
        ["fractions", "Fraction"] | ["uuid", "UUID" | "uuid3" | "uuid5"] => Keeps,
        ["fractions", "Fraction", "from_float" | "from_decimal"] => Keeps,
        ["uuid", name] if name.starts_with("NAMESPACE_") => Value,
        [
            "statistics",
            "mean" | "fmean" | "geometric_mean" | "harmonic_mean" | "median" | "median_low" | "median_high"
            | "median_grouped" | "mode" | "multimode" | "quantiles" | "stdev" | "pstdev" | "variance" | "pvariance"
            | "correlation" | "covariance" | "linear_regression",
        ] => Calls,
        ["numbers", name] if is_public(name) => Type,
        ["typing", "cast" | "TypeVar" | "NewType"] => Keeps,
        [
            "typing",
            "List" | "Dict" | "Set" | "FrozenSet" | "Tuple" | "Optional" | "Union" | "Any" | "Callable" | "Iterable"
            | "Iterator" | "Sequence" | "MutableSequence" | "Mapping" | "MutableMapping" | "NamedTuple" | "TypedDict"
            | "Generic" | "Protocol" | "Final" | "Literal" | "ClassVar" | "Deque" | "DefaultDict" | "Counter"
            | "OrderedDict" | "Type" | "Self" | "Annotated" | "Hashable" | "Sized" | "Generator" | "AnyStr" | "Text"
            | "NoReturn" | "Never" | "Collection" | "Container" | "SupportsFloat" | "SupportsInt",
        ] => Type,
        ["types", "SimpleNamespace"] => Keeps,
        ["dataclasses", "dataclass" | "field" | "asdict" | "astuple" | "replace"] => Keeps,
        ["enum", "Enum" | "IntEnum" | "StrEnum" | "Flag" | "IntFlag"] | ["abc", "ABC"] => Type,
        ["enum", "auto"] => Keeps,
        // Not pprint: what cannot be compared it orders by address, and what holds itself it shows by one.
        ["copy", "copy" | "deepcopy"] => Keeps,
        ["os", "path", "join" | "basename" | "dirname" | "splitext" | "split" | "normpath" | "isabs"] => Keeps,
        ["sys", "maxsize" | "maxunicode"] | ["sys", "float_info", _] => Value,
        // Read from or written to, where they stand: their text is that of whoever listens.
        ["sys", "stdin" | "stdout" | "stderr"] => Stream,
        ["sys", "exit" | "setrecursionlimit" | "set_int_max_str_digits"] => Keeps,
        ["sys", "stdout" | "stderr", "write" | "flush"] | ["sys", "stdin", "read" | "readline" | "readlines"] => Keeps,
        ["io", "StringIO" | "BytesIO"] => Makes(Hazard::Opaque),
        ["random", "Random"] => Makes(Hazard::Opaque),
        ["random", "SystemRandom" | "getstate" | "setstate"] => return None,
        ["random", name] if is_public(name) => Keeps,
        [
            "urllib",
            "parse",
            "quote" | "quote_plus" | "unquote" | "unquote_plus" | "urlparse" | "urlsplit" | "urlunparse" | "urlunsplit"
            | "urljoin" | "urlencode" | "parse_qs" | "parse_qsl",
        ] => Keeps,
        ["warnings", "filterwarnings" | "simplefilter"] => Keeps,
        ["__future__", _] => Value,
        _ => return science::member(path),
    })
}

/// Modules whose members make numbers that are not whole.
pub(super) fn has_floats(module: &str) -> bool {
    matches!(
        module,
        "math"
            | "cmath"
            | "statistics"
            | "json"
            | "struct"
            | "array"
            | "decimal"
            | "fractions"
            | "random"
            | "datetime"
            | "operator"
    ) || is_science(module)
}

fn is_base_code(name: &str) -> bool {
    ["b64", "b32", "b16", "b85", "a85", "standard_b64", "urlsafe_b64"].iter().any(|code| name.starts_with(code))
}

fn is_public(name: &str) -> bool {
    !name.starts_with('_')
}
