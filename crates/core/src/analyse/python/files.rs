//! Where a path leads, as far as its text can be seen.

use ruff_python_ast::{Expr, FStringPart, InterpolatedStringElement};
use switchtower_contract::python::OWN_FOLDERS;

use crate::analyse::profile::Reach;

/// Arguments within arguments that are still followed.
const STEPS: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Memory: a database without a file, a buffer.
    Nowhere,
    Network,
    File(Reach),
}

/// Where the argument of a file operation leads.
pub(super) fn place(argument: Option<&Expr>) -> Place {
    argument.map_or(Place::File(Reach::Unseen), |expr| within(expr, STEPS))
}

fn within(expr: &Expr, steps: usize) -> Place {
    let Some(steps) = steps.checked_sub(1) else { return Place::File(Reach::Unseen) };
    match expr {
        Expr::StringLiteral(literal) => text(literal.value.to_str(), true),
        Expr::FString(string) => match string.value.as_slice().first() {
            Some(FStringPart::Literal(literal)) => text(&literal.value, false),
            Some(FStringPart::FString(part)) => match part.elements.first() {
                Some(InterpolatedStringElement::Literal(literal)) => text(&literal.value, false),
                _ => Place::File(Reach::Unseen),
            },
            None => Place::File(Reach::Unseen),
        },
        // "/data/" + name, Path("/data") / name
        Expr::BinOp(binary) => within(&binary.left, steps),
        // A file descriptor that is already open.
        Expr::NumberLiteral(_) => Place::Nowhere,
        Expr::Call(call) => {
            let name = match &*call.func {
                Expr::Name(name) => name.id.as_str(),
                Expr::Attribute(attribute) => attribute.attr.as_str(),
                _ => "",
            };
            match name {
                "StringIO" | "BytesIO" => Place::Nowhere,
                "Path" | "PurePath" | "PosixPath" | "join" | "open" | "str" | "fspath" => {
                    call.arguments.args.first().map_or(Place::File(Reach::Scratch), |first| within(first, steps))
                }
                _ => Place::File(Reach::Unseen),
            }
        }
        _ => Place::File(Reach::Unseen),
    }
}

/// Where a path's text leads; `whole` is false for what only begins it.
fn text(path: &str, whole: bool) -> Place {
    const REMOTE: [&str; 6] = ["http://", "https://", "ftp://", "s3://", "gs://", "hf://"];
    if REMOTE.iter().any(|scheme| path.starts_with(scheme)) {
        return Place::Network;
    }
    if path == ":memory:" {
        return Place::Nowhere;
    }
    let climbs = path.split('/').any(|part| part == "..");
    let inside = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let scratch = OWN_FOLDERS.into_iter().chain(["/dev/null", "/dev/stdout", "/dev/stderr"]).any(inside);
    let foreign = (path.starts_with('/') && !scratch) || path.starts_with("file:") || path.starts_with('~');
    Place::File(match () {
        () if climbs || foreign => Reach::Outside,
        () if whole || scratch || !path.is_empty() => Reach::Scratch,
        () => Reach::Unseen,
    })
}
