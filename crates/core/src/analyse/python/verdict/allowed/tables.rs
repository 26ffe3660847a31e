//! Texts that mean something to numpy and pandas: kinds of elements, and functions by their names.

/// A function that pandas knows by this name, and that gives the same every time. By a name it finds any method, those
/// that draw, or show an address, among them.
pub(in crate::analyse::python::verdict) fn is_aggregate(name: &str) -> bool {
    matches!(
        name,
        "abs"
            | "all"
            | "any"
            | "bfill"
            | "count"
            | "cummax"
            | "cummin"
            | "cumprod"
            | "cumsum"
            | "describe"
            | "diff"
            | "ffill"
            | "first"
            | "idxmax"
            | "idxmin"
            | "kurt"
            | "last"
            | "max"
            | "mean"
            | "median"
            | "min"
            | "mode"
            | "nunique"
            | "pct_change"
            | "prod"
            | "quantile"
            | "rank"
            | "round"
            | "sem"
            | "shift"
            | "size"
            | "skew"
            | "std"
            | "sum"
            | "unique"
            | "var"
    )
}

/// A kind of elements that holds numbers, texts or objects: no dates, which are read from text, and no bytes, of which
/// some may be nobody's.
pub(in crate::analyse::python::verdict) fn is_kind(text: &str) -> bool {
    let plain = text.trim_start_matches(['<', '>', '=', '|']);
    let sized =
        |kind: char| plain.strip_prefix(kind).is_some_and(|size| size.bytes().all(|byte| byte.is_ascii_digit()));
    matches!(
        text,
        "bool"
            | "int"
            | "int8"
            | "int16"
            | "int32"
            | "int64"
            | "uint8"
            | "uint16"
            | "uint32"
            | "uint64"
            | "float"
            | "float16"
            | "float32"
            | "float64"
            | "complex"
            | "complex64"
            | "complex128"
            | "object"
            | "str"
            | "string"
            | "category"
            | "boolean"
            | "Int8"
            | "Int16"
            | "Int32"
            | "Int64"
            | "UInt8"
            | "UInt16"
            | "UInt32"
            | "UInt64"
            | "Float32"
            | "Float64"
    ) || matches!(
        plain,
        "?" | "b"
            | "B"
            | "h"
            | "H"
            | "i"
            | "I"
            | "l"
            | "L"
            | "q"
            | "Q"
            | "e"
            | "f"
            | "d"
            | "F"
            | "D"
            | "O"
            | "b1"
            | "i1"
            | "i2"
            | "i4"
            | "i8"
            | "u1"
            | "u2"
            | "u4"
            | "u8"
            | "f2"
            | "f4"
            | "f8"
            | "c8"
            | "c16"
    ) || sized('U')
}

/// Which of its arguments by place is a kind of elements.
pub(in crate::analyse::python::verdict) fn argument_kind(path: &[&str]) -> Option<usize> {
    match path {
        ["numpy", "array" | "asarray" | "zeros" | "ones" | "zeros_like" | "ones_like" | "fromiter" | "identity"] => {
            Some(1)
        }
        ["numpy", "indices" | "asmatrix" | "matrix"] => Some(1),
        ["numpy", "full" | "full_like" | "sum" | "prod" | "cumsum" | "cumprod" | "mean" | "std" | "var"] => Some(2),
        ["numpy", "arange" | "eye" | "tri"] => Some(3),
        ["numpy", "linspace" | "logspace" | "geomspace"] => Some(5),
        ["pandas", "Series"] => Some(2),
        ["pandas", "DataFrame"] => Some(3),
        ["pandas", "Index"] => Some(1),
        _ => None,
    }
}

/// Functions of numpy that take a list of arguments as long as one likes, and no kind of elements among them.
pub(in crate::analyse::python::verdict) fn takes_a_list(path: &[&str]) -> bool {
    matches!(
        path,
        ["numpy", "meshgrid" | "ix_" | "broadcast_shapes" | "atleast_1d" | "atleast_2d"]
            | ["numpy", "random", "rand" | "randn"]
    )
}

#[cfg(test)]
mod tests {
    use super::is_kind;

    #[test]
    fn no_kind_of_elements_is_known_that_is_a_date_or_raw_bytes() {
        for text in
            ["M8[s]", "<M8[ns]", "datetime64", "m8[s]", "timedelta64[ns]", "V8", "S8", "S", "a5", "g", "G", "i4,f8", ""]
        {
            assert!(!is_kind(text), "{text}");
        }
        for text in ["int", "<f8", "|b1", "U10", "<U3", "O", "category", "Int64"] {
            assert!(is_kind(text), "{text}");
        }
    }
}
