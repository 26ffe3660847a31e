//! Arguments of arrays and tables that need their own checks: dtypes, names of functions, conditions, bytes.

use ruff_python_ast::{Expr, ExprCall};
use ruff_text_size::Ranged;

use super::Walk;
use crate::analyse::python::verdict::allowed;
use crate::analyse::python::verdict::hazard::{Hazard, Usage};

const SHOWS_MEMORY: &str = "the memory of an array may be printed";

/// Returns the number of the positional argument that is a dtype, from 1, or 0 if there is none.
fn dtype_number(path: &[&str]) -> usize {
    allowed::dtype_position(path).map_or(0, |at| at + 1)
}

impl<'a> Walk<'a, '_> {
    /// Rejects keywords that any call may pass to a function of numpy: `where`, which leaves elements uninitialised,
    /// `encoding`, and unpacked keywords, which may include them.
    pub(super) fn check_numpy_keywords(&mut self, call: &'a ExprCall) {
        let own = match &*call.func {
            Expr::Name(name) => {
                let (own, name) = (self.definitions, name.id.as_str());
                ((own.functions.contains(name) || own.classes.contains(name)) && own.is_bound_once(name))
                    || (!own.bound.contains(name) && matches!(name, "dict" | "print"))
            }
            Expr::Attribute(attribute) => {
                matches!(attribute.attr.as_str(), "format" | "update") || self.is_own_object(&attribute.value)
            }
            _ => false,
        };
        let keywords = &call.arguments.keywords;
        if own {
            return;
        }
        if keywords.iter().any(|keyword| keyword.arg.is_none()) {
            self.reject(call.start(), "some arguments are not written out in the call");
        }
        let keyword = |name: &str| call.arguments.find_keyword(name).map(|keyword| &keyword.value);
        if keyword("encoding").is_some() {
            self.reject(call.start(), SHOWS_MEMORY);
        }
        if let Some(condition) = keyword("where")
            && !keyword("out").is_some_and(|out| self.is_initialised(out))
        {
            self.reject(condition.start(), "elements for which the condition is false are not initialised");
        }
    }

    /// Returns whether an expression creates an array that is fully initialised.
    fn is_initialised(&self, array: &'a Expr) -> bool {
        let Expr::Call(call) = array else { return false };
        self.resolve(&call.func).is_some_and(|path| {
            matches!(
                path.segments(),
                ["numpy", "zeros" | "ones" | "full" | "zeros_like" | "ones_like" | "full_like" | "array"]
            )
        })
    }

    /// Rejects a dtype unless it is known to be safe. Dates are not, because they are parsed from text, and some texts
    /// mean the current time.
    pub(super) fn check_dtype(&mut self, kind: &'a Expr) {
        if !self.is_safe_dtype(kind, 3) {
            self.reject(kind.start(), "the dtype may be one of dates or of raw memory");
        }
    }

    fn is_safe_dtype(&self, kind: &'a Expr, steps: usize) -> bool {
        let Some(steps) = steps.checked_sub(1) else { return false };
        match kind {
            Expr::NoneLiteral(_) => true,
            Expr::StringLiteral(text) => allowed::is_safe_dtype(text.value.to_str()),
            Expr::Name(name)
                if !self.definitions.bound.contains(name.id.as_str()) && !self.imports.is_bound(&name.id) =>
            {
                matches!(name.id.as_str(), "int" | "float" | "str" | "bool" | "complex" | "object")
            }
            Expr::Attribute(attribute) if attribute.attr.as_str() == "dtype" => true,
            Expr::Attribute(_) | Expr::Name(_) => self.resolve(kind).is_some_and(|path| match path.segments() {
                ["numpy", name] => allowed::is_safe_dtype(name.trim_end_matches('_')),
                _ => false,
            }),
            // By column or by field.
            Expr::Dict(kinds) => {
                kinds.items.iter().all(|item| item.key.is_some() && self.is_safe_dtype(&item.value, steps))
            }
            Expr::List(fields) => fields.elts.iter().all(|field| match field {
                Expr::Tuple(field) => match &*field.elts {
                    [Expr::StringLiteral(_), kind] => self.is_safe_dtype(kind, steps),
                    _ => false,
                },
                _ => false,
            }),
            _ => false,
        }
    }

    /// Checks the positional arguments that are dtypes or names of functions.
    pub(super) fn check_positional_dtype(&mut self, call: &'a ExprCall, path: &[&str]) {
        // These may call a function with two arguments, and `str` then reads the first as bytes.
        let is_str = |argument: &Expr| matches!(argument, Expr::Name(name) if name.id == "str");
        let calls_back = matches!(path[0], "functools" | "itertools" | "numpy" | "scipy");
        if calls_back
            && call
                .arguments
                .args
                .iter()
                .take(2)
                .enumerate()
                .any(|(at, argument)| at + 1 != dtype_number(path) && is_str(argument))
        {
            self.reject(call.start(), SHOWS_MEMORY);
        }
        if let Some(kind) = allowed::dtype_position(path).and_then(|at| call.arguments.args.get(at)) {
            self.check_dtype(kind);
        }
        if let Some(kind) = call.arguments.find_keyword("dtype")
            && path[0] == "numpy"
            && kind.value.is_dict_expr()
        {
            self.reject(kind.start(), "the padding between the fields of an element is not initialised");
        }
        // The positional arguments of these that are functions.
        let by_place = match path {
            ["pandas", "pivot_table"] => call.arguments.args.get(4),
            ["pandas", "crosstab"] => call.arguments.args.get(5),
            _ => None,
        };
        by_place.into_iter().for_each(|function| self.check_callback_name(function));
    }

    /// Checks a callback that a library may also look up by name.
    pub(super) fn check_callback_name(&mut self, function: &'a Expr) {
        if let Some(path) = self.imports.resolve(function)
            && allowed::is_replaced_by_pandas(path.segments())
        {
            self.reject(
                function.start(),
                "pandas 2 warns of this function with its address; its name as text is the same",
            );
        }
        match function {
            Expr::StringLiteral(name) if allowed::is_safe_aggregate(name.value.to_str()) => {}
            Expr::Lambda(_) | Expr::NoneLiteral(_) => {}
            Expr::Name(name) => self.callbacks.push((name.id.as_str(), name.start())),
            Expr::Attribute(_) if self.imports.resolve(function).is_some() => {}
            _ => self.reject(function.start(), "a library may look up any method by a name that is not a literal"),
        }
    }

    /// Checks a call that reads the memory of its arguments, which for an array of objects are addresses. Returns
    /// whether the call has been visited.
    pub(super) fn visit_buffer_call(&mut self, call: &'a ExprCall, path: &[&str], usage: Usage) -> bool {
        let reads = match path {
            ["hashlib" | "hmac", ..] | ["zlib", "crc32" | "adler32"] => true,
            // Its bytes are only read by the method that is called on it.
            ["io", "BytesIO"] if usage == Usage::ObjectReceiver => true,
            ["base64" | "binascii" | "struct" | "array" | "zlib", ..] | ["io", "BytesIO"] => {
                self.reject(call.start(), SHOWS_MEMORY);
                return true;
            }
            _ => return false,
        };
        let given = call.arguments.args.iter().chain(call.arguments.keywords.iter().map(|keyword| &keyword.value));
        for bytes in given.filter(|_| reads) {
            self.check_bytes(bytes);
        }
        if let Some(allowed::Member::Produces(hazard)) = allowed::member(path) {
            self.check_hazard(if path[0] == "io" { Hazard::Opaque } else { hazard }, usage, call.start());
        } else if allowed::member(path).is_none() {
            self.reject(call.start(), SHOWS_MEMORY);
        }
        true
    }

    /// Rejects bytes unless they are a literal or encoded text.
    pub(super) fn check_bytes(&mut self, bytes: &'a Expr) {
        match bytes {
            Expr::BytesLiteral(_) | Expr::StringLiteral(_) => {}
            Expr::Call(call) if call.arguments.keywords.is_empty() => match &*call.func {
                Expr::Attribute(text)
                    if text.attr.as_str() == "encode"
                        && call.arguments.args.iter().all(Expr::is_string_literal_expr) =>
                {
                    self.visit_as(Usage::OtherReceiver, &text.value);
                }
                _ => self.reject(bytes.start(), SHOWS_MEMORY),
            },
            _ => self.reject(bytes.start(), SHOWS_MEMORY),
        }
    }
}
