//! Exceptions that mean the same in every process, and contexts that let exceptions pass.

/// A builtin exception that tells nothing of memory, stack or time, and is no base of one that does.
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

/// The same of a module's exceptions.
pub(in crate::analyse::python::verdict) fn is_narrow_member(path: &[&str]) -> bool {
    matches!(
        path,
        ["json", "JSONDecodeError"]
            | ["re", "error" | "PatternError"]
            | ["decimal", "InvalidOperation" | "DivisionByZero"]
            | ["numpy", "linalg", "LinAlgError"]
    )
}

/// What is entered by `with` and does nothing about an exception.
pub(in crate::analyse::python::verdict) fn lets_pass(path: &[&str]) -> bool {
    matches!(path, ["numpy", "errstate" | "printoptions"])
}
