//! Forms that mean something by their shape alone.

use ruff_python_ast::{Arguments, Expr, Number, Operator};

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

/// Methods that say what comes first, or what is true.
pub(super) fn orders(method: &str) -> bool {
    matches!(method, "__lt__" | "__le__" | "__gt__" | "__ge__" | "__eq__" | "__ne__" | "__bool__" | "__len__")
}

pub(super) fn is_set_operation(op: Operator) -> bool {
    matches!(op, Operator::BitAnd | Operator::BitOr | Operator::BitXor | Operator::Sub)
}

/// `x.keys()` and `x.items()`, of which operators make sets.
pub(super) fn is_view(expr: &Expr) -> bool {
    matches!(expr, Expr::Call(call) if matches!(&*call.func, Expr::Attribute(attribute) if matches!(attribute.attr.as_str(), "keys" | "items")))
}

/// True for names that Python itself looks for.
pub(super) fn is_special(name: &str) -> bool {
    name.len() > 4 && name.starts_with("__") && name.ends_with("__")
}

/// True for names that enumerations keep for themselves.
pub(super) fn is_reserved(name: &str) -> bool {
    name.len() > 2 && name.starts_with('_') && name.ends_with('_')
}

/// Members of modules that read the memory of what they are given.
pub(super) fn reads_memory(path: &[&str]) -> bool {
    matches!(path.first(), Some(&("hashlib" | "hmac" | "zlib" | "base64" | "binascii" | "struct" | "array")))
        && path.len() > 1
}

/// Arguments of `update` that are no array: a text made bytes, a dictionary, keywords.
pub(super) fn is_update(arguments: &Arguments) -> bool {
    arguments.args.iter().all(|argument| match argument {
        Expr::BytesLiteral(_) | Expr::Dict(_) => true,
        Expr::Call(call) => matches!(&*call.func, Expr::Attribute(method) if method.attr.as_str() == "encode"),
        _ => false,
    })
}

/// A dotted name, which does nothing when it is read.
pub(super) fn is_dotted(expr: &Expr) -> bool {
    match expr {
        Expr::Name(_) => true,
        Expr::Attribute(attribute) => is_dotted(&attribute.value),
        _ => false,
    }
}

/// The set of what stands here has an order whatever it holds: texts, or whole numbers.
pub(super) fn is_ordered(set: &Expr) -> bool {
    let of_one_kind = |elements: &[Expr]| {
        elements.iter().all(Expr::is_string_literal_expr)
            || elements.iter().all(
                |element| matches!(element, Expr::NumberLiteral(literal) if matches!(literal.value, Number::Int(_))),
            )
    };
    let is_text_or_int = |element: &Expr| match element {
        Expr::Call(call) => match &*call.func {
            Expr::Name(name) => matches!(name.id.as_str(), "len" | "int" | "str" | "ord"),
            Expr::Attribute(method) => {
                matches!(method.attr.as_str(), "lower" | "upper" | "strip" | "title" | "capitalize")
            }
            _ => false,
        },
        _ => false,
    };
    match set {
        Expr::Set(set) => of_one_kind(&set.elts),
        Expr::SetComp(set) => is_text_or_int(&set.elt),
        Expr::Call(call) => match (&*call.func, &*call.arguments.args) {
            (Expr::Name(name), [elements]) if matches!(name.id.as_str(), "set" | "frozenset") => match elements {
                Expr::StringLiteral(_) => true,
                Expr::List(list) => of_one_kind(&list.elts),
                Expr::Tuple(tuple) => of_one_kind(&tuple.elts),
                Expr::Generator(each) => is_text_or_int(&each.elt),
                Expr::Call(call) => match &*call.func {
                    Expr::Name(name) => matches!(name.id.as_str(), "range" | "str"),
                    Expr::Attribute(method) => matches!(method.attr.as_str(), "split" | "splitlines"),
                    _ => false,
                },
                _ => false,
            },
            _ => false,
        },
        _ => false,
    }
}

/// The name that an expression is, or nothing that is a name.
pub(super) fn held(expr: &Expr) -> &str {
    match expr {
        Expr::Name(name) => name.id.as_str(),
        _ => "",
    }
}

/// A specification of how a value is printed that means the same for a date everywhere.
pub(super) fn is_plain_spec(spec: &Expr) -> bool {
    matches!(spec, Expr::StringLiteral(text) if is_the_same_everywhere(text.value.to_str()))
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
