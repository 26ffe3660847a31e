//! The allow-list: modules, members, builtins, methods and attributes that are known to be deterministic.
//!
//! Each entry was reviewed. A program that uses anything else is not proven deterministic.

mod attributes;
mod builtins;
mod exceptions;
mod science;
mod tables;

use super::hazard::Hazard;

pub(super) use attributes::{
    is_data_attribute, is_object_safe_method, is_safe_base, is_safe_method, is_set_safe_method, method_argument_usage,
    method_hazard,
};
pub(super) use builtins::{SortKey, argument_usage, builtin, is_always_hazardous, may_be_replaced};
pub(super) use exceptions::{is_narrow, is_narrow_member, propagates_exceptions};
pub(super) use science::{
    accessor, call_problem, is_replaced_by_pandas, is_science, is_settable_attribute, is_unsafe_member, requires_seed,
    takes_callback,
};
pub(super) use tables::{dtype_position, is_safe_aggregate, is_safe_dtype};

/// What is known of a member of a module, or of a builtin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    /// A value without hazards.
    Value,
    /// A class that may only be named: as a base class or in annotations.
    Type,
    /// A class whose instances print their contents; its arguments are consumed.
    Class,
    /// A class or function that may store or print its arguments.
    Retains,
    /// A function that consumes its arguments, and may call the first.
    Consumes,
    /// A standard stream.
    Stream,
    /// A function that returns a hazard.
    Produces(Hazard),
}

/// Returns whether a known function of this name calls the argument of this keyword and does not store it.
pub(super) fn is_callback_keyword(callee: &str, keyword: &str) -> bool {
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

/// Returns whether a module is known: importing it has no effects, and its members are listed.
pub(super) fn is_known_module(name: &str) -> bool {
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
    ) || science::is_known_module(name)
}

/// Returns what is known of a member, by its full path.
pub(super) fn member(path: &[&str]) -> Option<Member> {
    use Member::{Class, Consumes, Produces, Retains, Stream, Type, Value};
    Some(match path {
        ["math" | "cmath", "pi" | "e" | "tau" | "inf" | "infj" | "pij"] => Value,
        ["math" | "cmath", "nan" | "nanj"] => return None,
        ["math" | "cmath", name] if is_public(name) => Consumes,
        // Without groupby and tee, whose elements are iterators.
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
        ] => Produces(Hazard::Iterator),
        ["itertools", "chain", "from_iterable"] => Produces(Hazard::Iterator),
        ["functools", "reduce"] => Consumes,
        ["functools", "cmp_to_key"] => Produces(Hazard::Function),
        ["collections", "Counter" | "deque" | "OrderedDict" | "namedtuple"] => Class,
        ["collections", "defaultdict" | "ChainMap"] => Retains,
        ["collections", "abc", name] if is_public(name) => Type,
        ["heapq", "heappush" | "heappop" | "heapify" | "heappushpop" | "heapreplace"] => Retains,
        ["heapq", "nlargest" | "nsmallest"] => Consumes,
        ["bisect", "bisect" | "bisect_left" | "bisect_right" | "insort" | "insort_left" | "insort_right"] => Retains,
        [
            "operator",
            "attrgetter" | "methodcaller" | "call" | "is_" | "is_not" | "or_" | "and_" | "xor" | "ior" | "iand"
            | "ixor" | "isub" | "itruediv" | "ipow",
        ] => return None,
        ["operator", name] if is_public(name) => Retains,
        [
            "string",
            "ascii_letters" | "ascii_lowercase" | "ascii_uppercase" | "digits" | "hexdigits" | "octdigits"
            | "punctuation" | "printable" | "whitespace",
        ] => Value,
        ["string", "capwords"] => Retains,
        ["re", "finditer"] => Produces(Hazard::Iterator),
        ["re", "sub" | "subn" | "compile" | "match" | "search" | "fullmatch" | "findall" | "split" | "escape"] => {
            Retains
        }
        ["re", "error" | "PatternError"] => Class,
        ["re", flag] if flag.bytes().all(|b| b.is_ascii_uppercase()) => Value,
        ["json", "dumps" | "loads"] | ["json", "JSONDecodeError"] => Retains,
        ["base64", name] if is_base_code(name) => Retains,
        ["binascii", "hexlify" | "unhexlify" | "crc32"] | ["html", "escape" | "unescape"] => Retains,
        ["textwrap", "dedent" | "indent" | "fill" | "wrap" | "shorten"] => Retains,
        ["zlib", "compress" | "decompress" | "crc32" | "adler32"] | ["hmac", "compare_digest"] => Retains,
        ["hashlib", "md5" | "new"] | ["hmac", "new"] => Produces(Hazard::Opaque),
        ["hashlib", name] if name.starts_with("sha") || name.starts_with("blake2") => Produces(Hazard::Opaque),
        ["struct", "pack" | "unpack" | "calcsize"] | ["array", "array"] => Retains,
        ["difflib", "get_close_matches"] => Retains,
        [
            "unicodedata",
            "normalize" | "name" | "category" | "lookup" | "numeric" | "decimal" | "digit" | "combining",
        ] => Retains,
        ["datetime", "date" | "datetime" | "time" | "timedelta" | "timezone"] => Retains,
        ["datetime", "datetime", "strptime" | "fromisoformat" | "combine" | "fromordinal"] => Retains,
        ["datetime", "date" | "time", "fromisoformat" | "fromordinal"] => Retains,
        ["datetime", "UTC"] | ["datetime", "timezone", "utc"] => Value,
        ["datetime", "date" | "datetime" | "time", "min" | "max"] => Value,
        ["calendar", "isleap" | "leapdays" | "monthrange" | "weekday"] => Retains,
        ["decimal", "Decimal" | "getcontext"] => Retains,
        ["decimal", name] if name.starts_with("ROUND_") || matches!(*name, "InvalidOperation" | "DivisionByZero") => {
            Value
        }
        ["fractions", "Fraction"] | ["uuid", "UUID" | "uuid3" | "uuid5"] => Retains,
        ["fractions", "Fraction", "from_float" | "from_decimal"] => Retains,
        ["uuid", name] if name.starts_with("NAMESPACE_") => Value,
        [
            "statistics",
            "mean" | "fmean" | "geometric_mean" | "harmonic_mean" | "median" | "median_low" | "median_high"
            | "median_grouped" | "mode" | "multimode" | "quantiles" | "stdev" | "pstdev" | "variance" | "pvariance"
            | "correlation" | "covariance" | "linear_regression",
        ] => Consumes,
        ["numbers", name] if is_public(name) => Type,
        ["typing", "cast" | "TypeVar" | "NewType"] => Retains,
        [
            "typing",
            "List" | "Dict" | "Set" | "FrozenSet" | "Tuple" | "Optional" | "Union" | "Any" | "Callable" | "Iterable"
            | "Iterator" | "Sequence" | "MutableSequence" | "Mapping" | "MutableMapping" | "NamedTuple" | "TypedDict"
            | "Generic" | "Protocol" | "Final" | "Literal" | "ClassVar" | "Deque" | "DefaultDict" | "Counter"
            | "OrderedDict" | "Type" | "Self" | "Annotated" | "Hashable" | "Sized" | "Generator" | "AnyStr" | "Text"
            | "NoReturn" | "Never" | "Collection" | "Container" | "SupportsFloat" | "SupportsInt",
        ] => Type,
        ["types", "SimpleNamespace"] => Retains,
        ["dataclasses", "dataclass" | "field" | "asdict" | "astuple" | "replace"] => Retains,
        ["enum", "Enum" | "IntEnum" | "StrEnum" | "Flag" | "IntFlag"] | ["abc", "ABC"] => Type,
        ["enum", "auto"] => Retains,
        // Without pprint: it orders incomparable objects by address, and prints the address of recursive ones.
        ["copy", "copy" | "deepcopy"] => Retains,
        ["os", "path", "join" | "basename" | "dirname" | "splitext" | "split" | "normpath" | "isabs"] => Retains,
        ["sys", "maxsize" | "maxunicode"] | ["sys", "float_info", _] => Value,
        // Only for reading and writing: their text differs between tiers.
        ["sys", "stdin" | "stdout" | "stderr"] => Stream,
        ["sys", "exit" | "setrecursionlimit" | "set_int_max_str_digits"] => Retains,
        ["sys", "stdout" | "stderr", "write" | "flush"] | ["sys", "stdin", "read" | "readline" | "readlines"] => {
            Retains
        }
        ["io", "StringIO" | "BytesIO"] => Produces(Hazard::Opaque),
        ["random", "Random"] => Produces(Hazard::Opaque),
        ["random", "SystemRandom" | "getstate" | "setstate"] => return None,
        ["random", name] if is_public(name) => Retains,
        [
            "urllib",
            "parse",
            "quote" | "quote_plus" | "unquote" | "unquote_plus" | "urlparse" | "urlsplit" | "urlunparse" | "urlunsplit"
            | "urljoin" | "urlencode" | "parse_qs" | "parse_qsl",
        ] => Retains,
        ["warnings", "filterwarnings" | "simplefilter"] => Retains,
        ["__future__", _] => Value,
        _ => return science::member(path),
    })
}

/// Returns whether members of a module may return floating-point numbers.
pub(super) fn is_float_module(module: &str) -> bool {
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
