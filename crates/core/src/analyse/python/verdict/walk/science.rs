//! What arrays and tables ask for by texts and keywords: kinds of elements, functions by their names, conditions, bytes.

use ruff_python_ast::{Expr, ExprCall};
use ruff_text_size::Ranged;

use super::Walk;
use crate::analyse::python::verdict::allowed;
use crate::analyse::python::verdict::hazard::{Hazard, Place};

const SHOWS_MEMORY: &str = "the memory of an array may be shown";

/// Which of its arguments is a kind of elements, counted from one; none: zero.
fn kind_at(path: &[&str]) -> usize {
    allowed::argument_kind(path).map_or(0, |at| at + 1)
}

impl<'a> Walk<'a, '_> {
    /// What any call may pass on to a function of numpy: a condition, without which an element is left as its memory was
    /// found, or keywords that are not written here, of which one may be that.
    pub(super) fn asks_for_more(&mut self, call: &'a ExprCall) {
        let own = match &*call.func {
            Expr::Name(name) => {
                let (own, name) = (self.own, name.id.as_str());
                ((own.functions.contains(name) || own.classes.contains(name)) && own.is_bound_once(name))
                    || (!own.bound.contains(name) && matches!(name, "dict" | "print"))
            }
            Expr::Attribute(attribute) => {
                matches!(attribute.attr.as_str(), "format" | "update") || self.is_of_own(&attribute.value)
            }
            _ => false,
        };
        let keywords = &call.arguments.keywords;
        if own {
            return;
        }
        if keywords.iter().any(|keyword| keyword.arg.is_none()) {
            self.no(call.start(), "its arguments are not written here");
        }
        let keyword = |name: &str| call.arguments.find_keyword(name).map(|keyword| &keyword.value);
        if keyword("encoding").is_some() {
            self.no(call.start(), SHOWS_MEMORY);
        }
        if let Some(condition) = keyword("where")
            && !keyword("out").is_some_and(|out| self.is_written(out))
        {
            self.no(condition.start(), "where the condition does not hold, memory is left as it was found");
        }
    }

    /// An array that is made here, all of it written.
    fn is_written(&self, array: &'a Expr) -> bool {
        let Expr::Call(call) = array else { return false };
        self.path(&call.func).is_some_and(|path| {
            matches!(
                path.segments(),
                ["numpy", "zeros" | "ones" | "full" | "zeros_like" | "ones_like" | "full_like" | "array"]
            )
        })
    }

    /// Elements of this kind hold what they are given. Dates are read from text, and some texts mean the present.
    pub(super) fn kind(&mut self, kind: &'a Expr) {
        if !self.is_kind(kind, 3) {
            self.no(kind.start(), "the kind of elements may be that of dates or of raw memory");
        }
    }

    fn is_kind(&self, kind: &'a Expr, steps: usize) -> bool {
        let Some(steps) = steps.checked_sub(1) else { return false };
        match kind {
            Expr::NoneLiteral(_) => true,
            Expr::StringLiteral(text) => allowed::is_kind(text.value.to_str()),
            Expr::Name(name) if !self.own.bound.contains(name.id.as_str()) && !self.imports.binds(&name.id) => {
                matches!(name.id.as_str(), "int" | "float" | "str" | "bool" | "complex" | "object")
            }
            Expr::Attribute(attribute) if attribute.attr.as_str() == "dtype" => true,
            Expr::Attribute(_) | Expr::Name(_) => self.path(kind).is_some_and(|path| match path.segments() {
                ["numpy", name] => allowed::is_kind(name.trim_end_matches('_')),
                _ => false,
            }),
            // By column, or by field.
            Expr::Dict(kinds) => kinds.items.iter().all(|item| item.key.is_some() && self.is_kind(&item.value, steps)),
            Expr::List(fields) => fields.elts.iter().all(|field| match field {
                Expr::Tuple(field) => match &*field.elts {
                    [Expr::StringLiteral(_), kind] => self.is_kind(kind, steps),
                    _ => false,
                },
                _ => false,
            }),
            _ => false,
        }
    }

    pub(super) fn kind_by_place(&mut self, call: &'a ExprCall, path: &[&str]) {
        // What calls a function may give it two arguments, of which `str` reads the first as bytes.
        let reads = |argument: &Expr| matches!(argument, Expr::Name(name) if name.id == "str");
        let calls = matches!(path[0], "functools" | "itertools" | "numpy" | "scipy");
        if calls
            && call
                .arguments
                .args
                .iter()
                .take(2)
                .enumerate()
                .any(|(at, argument)| at + 1 != kind_at(path) && reads(argument))
        {
            self.no(call.start(), SHOWS_MEMORY);
        }
        if let Some(kind) = allowed::argument_kind(path).and_then(|at| call.arguments.args.get(at)) {
            self.kind(kind);
        }
        if let Some(kind) = call.arguments.find_keyword("dtype")
            && path[0] == "numpy"
            && kind.value.is_dict_expr()
        {
            self.no(kind.start(), "between its fields an element has memory that nobody wrote");
        }
        // Of these the function stands in the fourth place, or later.
        let by_place = match path {
            ["pandas", "pivot_table"] => call.arguments.args.get(4),
            ["pandas", "crosstab"] => call.arguments.args.get(5),
            _ => None,
        };
        by_place.into_iter().for_each(|function| self.found_by_name(function));
    }

    /// Something that a library calls, or whose name it looks for.
    pub(super) fn found_by_name(&mut self, function: &'a Expr) {
        match function {
            Expr::StringLiteral(name) if allowed::is_aggregate(name.value.to_str()) => {}
            Expr::Lambda(_) | Expr::NoneLiteral(_) => {}
            Expr::Name(name) => self.callbacks.push((name.id.as_str(), name.start())),
            Expr::Attribute(_) if self.imports.path(function).is_some() => {}
            _ => self.no(function.start(), "a library may find any method by a name that is not written here"),
        }
    }

    /// What reads the memory of what it is given. Of an array of objects that is where they are. True: the call has been
    /// looked at.
    pub(super) fn buffers(&mut self, call: &'a ExprCall, path: &[&str], place: Place) -> bool {
        let reads = match path {
            ["hashlib" | "hmac", ..] | ["zlib", "crc32" | "adler32"] => true,
            // The bytes that it holds are given to a reader, and to nobody else.
            ["io", "BytesIO"] if place == Place::ObjectReceiver => true,
            ["base64" | "binascii" | "struct" | "array" | "zlib", ..] | ["io", "BytesIO"] => {
                self.no(call.start(), SHOWS_MEMORY);
                return true;
            }
            _ => return false,
        };
        let given = call.arguments.args.iter().chain(call.arguments.keywords.iter().map(|keyword| &keyword.value));
        for bytes in given.filter(|_| reads) {
            self.bytes(bytes);
        }
        if let Some(allowed::Member::Makes(hazard)) = allowed::member(path) {
            self.makes(if path[0] == "io" { Hazard::Opaque } else { hazard }, place, call.start());
        } else if allowed::member(path).is_none() {
            self.no(call.start(), SHOWS_MEMORY);
        }
        true
    }

    /// Bytes that are written here, or made of a text.
    pub(super) fn bytes(&mut self, bytes: &'a Expr) {
        match bytes {
            Expr::BytesLiteral(_) | Expr::StringLiteral(_) => {}
            Expr::Call(call) if call.arguments.keywords.is_empty() => match &*call.func {
                Expr::Attribute(text)
                    if text.attr.as_str() == "encode"
                        && call.arguments.args.iter().all(Expr::is_string_literal_expr) =>
                {
                    self.visit_in(Place::Receiver, &text.value);
                }
                _ => self.no(bytes.start(), SHOWS_MEMORY),
            },
            _ => self.no(bytes.start(), SHOWS_MEMORY),
        }
    }
}
