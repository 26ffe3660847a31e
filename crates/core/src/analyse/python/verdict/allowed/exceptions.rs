//! Deterministic exceptions, and context managers that propagate exceptions.

/// Returns whether a builtin exception is independent of memory, stack and time, and not a base class of one that is
/// not.
pub(in crate::analyse::python::verdict) fn is_narrow(name: &str) -> bool {
    matches!(
        name,
        "ArithmeticError"
            | "AssertionError"
            | "AttributeError"
            | "EOFError"
            | "FloatingPointError"
            | "ImportError"
            | "IndexError"
            | "KeyError"
            | "LookupError"
            | "ModuleNotFoundError"
            | "NameError"
            | "NotImplementedError"
            | "OverflowError"
            | "StopIteration"
            | "TypeError"
            | "UnboundLocalError"
            | "UnicodeDecodeError"
            | "UnicodeEncodeError"
            | "UnicodeError"
            | "ValueError"
            | "ZeroDivisionError"
    )
}

/// Like [`is_narrow`], for an exception of a module.
pub(in crate::analyse::python::verdict) fn is_narrow_member(path: &[&str]) -> bool {
    matches!(
        path,
        ["json", "JSONDecodeError"]
            | ["re", "error" | "PatternError"]
            | ["decimal", "InvalidOperation" | "DivisionByZero"]
            | ["numpy", "linalg", "LinAlgError"]
    )
}

/// Returns whether a context manager propagates all exceptions.
pub(in crate::analyse::python::verdict) fn propagates_exceptions(path: &[&str]) -> bool {
    matches!(path, ["numpy", "errstate" | "printoptions"])
}
