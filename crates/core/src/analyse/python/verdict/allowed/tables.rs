//! Strings that numpy and pandas interpret: dtypes, and names of functions.

/// Returns whether pandas finds a deterministic function by this name. Other names may find any method, including those
/// that draw random numbers or print an address.
pub(in crate::analyse::python::verdict) fn is_safe_aggregate(name: &str) -> bool {
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

/// Returns whether a dtype holds numbers, text or objects. Dates are excluded, because they are parsed from text, and
/// raw bytes, because some may be uninitialised.
pub(in crate::analyse::python::verdict) fn is_safe_dtype(text: &str) -> bool {
    let plain = text.trim_start_matches(['<', '>', '=', '|']);
    let sized =
        |code: char| plain.strip_prefix(code).is_some_and(|size| size.bytes().all(|byte| byte.is_ascii_digit()));
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

/// Returns the index of the positional argument that is a dtype.
pub(in crate::analyse::python::verdict) fn dtype_position(path: &[&str]) -> Option<usize> {
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

/// Returns whether a function of numpy takes any number of positional arguments, none of which is a dtype.
pub(in crate::analyse::python::verdict) fn is_variadic(path: &[&str]) -> bool {
    matches!(
        path,
        ["numpy", "meshgrid" | "ix_" | "broadcast_shapes" | "atleast_1d" | "atleast_2d"]
            | ["numpy", "random", "rand" | "randn"]
    )
}

#[cfg(test)]
mod tests {
    use super::is_safe_dtype;

    #[test]
    fn dates_and_raw_bytes_are_no_safe_dtypes() {
        for text in
            ["M8[s]", "<M8[ns]", "datetime64", "m8[s]", "timedelta64[ns]", "V8", "S8", "S", "a5", "g", "G", "i4,f8", ""]
        {
            assert!(!is_safe_dtype(text), "{text}");
        }
        for text in ["int", "<f8", "|b1", "U10", "<U3", "O", "category", "Int64"] {
            assert!(is_safe_dtype(text), "{text}");
        }
    }
}
