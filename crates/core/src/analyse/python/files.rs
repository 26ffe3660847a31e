//! What the path argument of a file operation refers to, as far as it is a literal.

use ruff_python_ast::{Expr, FStringPart, InterpolatedStringElement};
use switchtower_contract::python::OWN_FOLDERS;

use crate::analyse::profile::FileScope;

/// How many levels of nested calls are resolved.
const MAX_DEPTH: usize = 8;

/// What a file operation reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileTarget {
    /// A buffer, a database in memory, or a file descriptor.
    Memory,
    Network,
    File(FileScope),
}

/// Returns the target of a file operation with this path argument.
pub(super) fn target(argument: Option<&Expr>) -> FileTarget {
    argument.map_or(FileTarget::File(FileScope::Computed), |expr| resolve(expr, MAX_DEPTH))
}

fn resolve(expr: &Expr, steps: usize) -> FileTarget {
    let Some(steps) = steps.checked_sub(1) else { return FileTarget::File(FileScope::Computed) };
    match expr {
        Expr::StringLiteral(literal) => classify(literal.value.to_str(), PathText::Whole),
        Expr::FString(string) => match string.value.as_slice().first() {
            Some(FStringPart::Literal(literal)) => classify(&literal.value, PathText::Prefix),
            Some(FStringPart::FString(part)) => match part.elements.first() {
                Some(InterpolatedStringElement::Literal(literal)) => classify(&literal.value, PathText::Prefix),
                _ => FileTarget::File(FileScope::Computed),
            },
            None => FileTarget::File(FileScope::Computed),
        },
        // "/data/" + name, Path("/data") / name
        Expr::BinOp(binary) => resolve(&binary.left, steps),
        // A file descriptor that is open already.
        Expr::NumberLiteral(_) => FileTarget::Memory,
        Expr::Call(call) => {
            let name = match &*call.func {
                Expr::Name(name) => name.id.as_str(),
                Expr::Attribute(attribute) => attribute.attr.as_str(),
                _ => "",
            };
            match name {
                "StringIO" | "BytesIO" => FileTarget::Memory,
                "Path" | "PurePath" | "PosixPath" | "join" | "open" | "str" | "fspath" => call
                    .arguments
                    .args
                    .first()
                    .map_or(FileTarget::File(FileScope::Scratch), |first| resolve(first, steps)),
                _ => FileTarget::File(FileScope::Computed),
            }
        }
        _ => FileTarget::File(FileScope::Computed),
    }
}

/// How much of a path is a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PathText {
    Whole,
    Prefix,
}

/// Returns what a path with this text refers to.
fn classify(path: &str, text: PathText) -> FileTarget {
    const REMOTE: [&str; 6] = ["http://", "https://", "ftp://", "s3://", "gs://", "hf://"];
    if REMOTE.iter().any(|scheme| path.starts_with(scheme)) {
        return FileTarget::Network;
    }
    if path == ":memory:" {
        return FileTarget::Memory;
    }
    let has_parent = path.split('/').any(|part| part == "..");
    let inside = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let scratch = OWN_FOLDERS.into_iter().chain(["/dev/null", "/dev/stdout", "/dev/stderr"]).any(inside);
    // A folder above the program's own is on every machine.
    let above = text == PathText::Whole
        && path.starts_with('/')
        && OWN_FOLDERS.iter().any(|own| own.starts_with(&format!("{}/", path.trim_end_matches('/'))));
    let outside = (path.starts_with('/') && !scratch && !above) || path.starts_with("file:") || path.starts_with('~');
    FileTarget::File(match () {
        () if has_parent || outside => FileScope::Outside,
        () if text == PathText::Whole || scratch || !path.is_empty() => FileScope::Scratch,
        () => FileScope::Computed,
    })
}
