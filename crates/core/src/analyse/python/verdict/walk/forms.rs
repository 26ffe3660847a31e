//! Syntactic forms that are recognised without context.

use ruff_python_ast::{Arguments, Expr, Number, Operator};

/// Returns the parts of a type expression, which are types too.
pub(super) fn parts_of_type(expr: &Expr) -> impl Iterator<Item = &Expr> {
    let (one, other, many): (_, _, &[Expr]) = match expr {
        Expr::Subscript(subscript) => (Some(&*subscript.value), Some(&*subscript.slice), &[]),
        Expr::Tuple(tuple) => (None, None, &tuple.elts),
        Expr::List(list) => (None, None, &list.elts),
        _ => (None, None, &[]),
    };
    one.into_iter().chain(other).chain(many)
}

/// Returns whether Python calls a method with the other operand of an operator or a comparison.
pub(super) fn is_operator_method(method: &str) -> bool {
    let name = method.trim_matches('_');
    method.starts_with("__")
        && matches!(name.trim_start_matches(['r', 'i']), "or" | "and" | "xor" | "sub" | "eq" | "ne" | "contains")
}

/// Returns whether a method determines the order or the truth of objects.
pub(super) fn is_ordering_method(method: &str) -> bool {
    matches!(method, "__lt__" | "__le__" | "__gt__" | "__ge__" | "__eq__" | "__ne__" | "__bool__" | "__len__")
}

pub(super) fn is_set_operation(op: Operator) -> bool {
    matches!(op, Operator::BitAnd | Operator::BitOr | Operator::BitXor | Operator::Sub)
}

/// Returns whether an expression is `x.keys()` or `x.items()`, which operators turn into sets.
pub(super) fn is_mapping_view(expr: &Expr) -> bool {
    matches!(expr, Expr::Call(call) if matches!(&*call.func, Expr::Attribute(attribute) if matches!(attribute.attr.as_str(), "keys" | "items")))
}

/// Returns whether a name is special to Python: `__…__`.
pub(super) fn is_special(name: &str) -> bool {
    name.len() > 4 && name.starts_with("__") && name.ends_with("__")
}

/// Returns whether a name is reserved by enumerations: `_…_`.
pub(super) fn is_reserved(name: &str) -> bool {
    name.len() > 2 && name.starts_with('_') && name.ends_with('_')
}

/// Returns whether a member of a module reads the memory of its arguments.
pub(super) fn reads_memory(path: &[&str]) -> bool {
    matches!(path.first(), Some(&("hashlib" | "hmac" | "zlib" | "base64" | "binascii" | "struct" | "array")))
        && path.len() > 1
}

/// Returns whether no positional argument of `update` can be an array: each is encoded text, bytes or a dictionary.
pub(super) fn is_safe_update(arguments: &Arguments) -> bool {
    arguments.args.iter().all(|argument| match argument {
        Expr::BytesLiteral(_) | Expr::Dict(_) => true,
        Expr::Call(call) => matches!(&*call.func, Expr::Attribute(method) if method.attr.as_str() == "encode"),
        _ => false,
    })
}

/// Returns whether an expression is a dotted name, whose evaluation has no effects.
pub(super) fn is_dotted(expr: &Expr) -> bool {
    match expr {
        Expr::Name(_) => true,
        Expr::Attribute(attribute) => is_dotted(&attribute.value),
        _ => false,
    }
}

/// Returns whether the elements of a set are totally ordered: all strings, or all integers.
pub(super) fn is_totally_ordered(set: &Expr) -> bool {
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

/// Returns the name that an expression consists of, or an empty string.
pub(super) fn name_of(expr: &Expr) -> &str {
    match expr {
        Expr::Name(name) => name.id.as_str(),
        _ => "",
    }
}

/// Returns whether a format specification formats dates independently of locale and time zone.
pub(super) fn is_portable_spec(spec: &Expr) -> bool {
    matches!(spec, Expr::StringLiteral(text) if is_portable_date_format(text.value.to_str()))
}

/// Returns whether a format string reads attributes or elements of its arguments.
pub(super) fn format_reads_members(format: &str) -> bool {
    format.split('{').skip(1).any(|field| {
        let name = field.split([':', '}', '!']).next().unwrap_or(field);
        name.contains(['.', '['])
    })
}

/// Returns whether a pattern has nested repetitions, so that matching may take exponential time.
pub(super) fn may_backtrack(pattern: &str) -> bool {
    ["+)+", "+)*", "*)+", "*)*", "+){", "*){"].iter().any(|twice| pattern.contains(twice))
}

/// Returns whether a date format is independent of locale and time zone.
pub(super) fn is_portable_date_format(format: &str) -> bool {
    !["%s", "%Z", "%z", "%c", "%x", "%X", "%p"].iter().any(|code| format.contains(code))
}
