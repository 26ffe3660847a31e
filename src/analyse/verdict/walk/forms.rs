//! Forms that mean something by their shape alone.

use ruff_python_ast::{Expr, Operator};

/// The parts of a type are types.
pub(super) fn parts_of_type(expr: &Expr) -> impl Iterator<Item = &Expr> {
    let (one, other, many): (_, _, &[Expr]) = match expr {
        Expr::Subscript(subscript) => (Some(&*subscript.value), Some(&*subscript.slice), &[]),
        Expr::Tuple(tuple) => (None, None, &tuple.elts),
        Expr::List(list) => (None, None, &list.elts),
        _ => (None, None, &[]),
    };
    one.into_iter().chain(other).chain(many)
}

/// Methods that Python calls with the other operand of an operator or a comparison.
pub(super) fn is_operator(method: &str) -> bool {
    let name = method.trim_matches('_');
    method.starts_with("__")
        && matches!(name.trim_start_matches(['r', 'i']), "or" | "and" | "xor" | "sub" | "eq" | "ne" | "contains")
}

pub(super) fn is_set_operation(op: Operator) -> bool {
    matches!(op, Operator::BitAnd | Operator::BitOr | Operator::BitXor | Operator::Sub)
}

/// `x.keys()` and `x.items()`, of which operators make sets.
pub(super) fn is_view(expr: &Expr) -> bool {
    matches!(expr, Expr::Call(call) if matches!(&*call.func, Expr::Attribute(attribute) if matches!(attribute.attr.as_str(), "keys" | "items")))
}

/// True where a format string reads attributes or elements of what it is given.
pub(super) fn looks_inside(format: &str) -> bool {
    format.split('{').skip(1).any(|field| {
        let name = field.split([':', '}', '!']).next().unwrap_or(field);
        name.contains(['.', '['])
    })
}

/// True for patterns that repeat what repeats: they can take time without end.
pub(super) fn may_backtrack(pattern: &str) -> bool {
    ["+)+", "+)*", "*)+", "*)*", "+){", "*){"].iter().any(|twice| pattern.contains(twice))
}

/// True for date formats that do not depend on the place.
pub(super) fn is_the_same_everywhere(format: &str) -> bool {
    !["%s", "%Z", "%z", "%c", "%x", "%X", "%p"].iter().any(|code| format.contains(code))
}
