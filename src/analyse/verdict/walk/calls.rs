//! Calls, and reads of members: where each argument goes, and what comes out.

use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{Arguments, Expr, ExprAttribute, ExprCall, ExprContext, Keyword};
use ruff_text_size::{Ranged, TextSize};

use super::Walk;
use super::forms::{is_set_operation, is_the_same_everywhere, is_view, looks_inside, may_backtrack};
use crate::analyse::verdict::allowed::{self, Member};
use crate::analyse::verdict::hazard::{Hazard, Place, is_set_attribute};
use crate::analyse::verdict::methods;

impl<'a> Walk<'a, '_> {
    /// The hazard that an expression makes, by its form alone. Where it cannot be told in a few steps it is none, and the
    /// parts are looked at in the place of the whole.
    pub(super) fn made(&self, expr: &Expr) -> Option<Hazard> {
        self.made_within(expr, 4)
    }

    pub(super) fn made_within(&self, expr: &Expr, steps: usize) -> Option<Hazard> {
        let steps = steps.checked_sub(1)?;
        match expr {
            Expr::Set(_) | Expr::SetComp(_) => Some(Hazard::Set),
            Expr::Generator(_) => Some(Hazard::Iterator),
            Expr::Lambda(_) => Some(Hazard::Function),
            Expr::BinOp(binary) if is_set_operation(binary.op) && !self.own_operators => {
                let set = |side: &Expr| self.made_within(side, steps) == Some(Hazard::Set) || is_view(side);
                (set(&binary.left) || set(&binary.right)).then_some(Hazard::Set)
            }
            Expr::If(branch) => {
                self.made_within(&branch.body, steps).or_else(|| self.made_within(&branch.orelse, steps))
            }
            Expr::Call(call) => self.made_by_call(call),
            _ => None,
        }
    }

    pub(super) fn made_by_call(&self, call: &ExprCall) -> Option<Hazard> {
        let name = match &*call.func {
            Expr::Name(name) => name.id.as_str(),
            Expr::Attribute(attribute) => attribute.attr.as_str(),
            _ => return None,
        };
        if self.own.generators.contains(name) {
            return Some(Hazard::Iterator);
        }
        // A builtin is taken for itself even where the program gives its name to something else too.
        if let (Expr::Name(_), Some(Member::Makes(hazard))) = (&*call.func, allowed::builtin(name)) {
            return Some(hazard);
        }
        match self.imports.path(&call.func) {
            Some(path) => match allowed::member(path.segments()) {
                Some(Member::Makes(hazard)) => Some(hazard),
                _ => None,
            },
            None if call.func.is_attribute_expr() => allowed::made_by_method(name),
            None => None,
        }
    }

    pub(super) fn call(&mut self, call: &'a ExprCall, place: Place) {
        if let Some(hazard) = self.made_by_call(call) {
            self.makes(hazard, place, call.start());
        }
        if let Some(path) = self.imports.path(&call.func) {
            return self.member_call(call, path.segments());
        }
        match &*call.func {
            Expr::Name(name) => {
                Self::noted(&mut self.loads, name.id.as_str(), Place::Callee, name.start());
                if self.own.bound.contains(name.id.as_str()) {
                    self.plain_arguments(&call.arguments);
                } else {
                    self.builtin_call(call, name.id.as_str());
                }
            }
            Expr::Attribute(attribute) => self.method_call(call, attribute),
            func => {
                self.visit_in(Place::Callee, func);
                self.plain_arguments(&call.arguments);
            }
        }
    }

    pub(super) fn builtin_call(&mut self, call: &'a ExprCall, name: &str) {
        let arguments = &call.arguments;
        let (count, keyed) = (arguments.args.len(), arguments.find_keyword("key").is_some());
        match (name, &*arguments.args) {
            ("type", [_]) if arguments.keywords.is_empty() => {}
            ("type", _) => self.no(call.start(), "a class is made by a call"),
            ("iter", [_, _, ..]) => self.no(call.start(), "an iterator is made of a function"),
            ("float", [Expr::StringLiteral(text)]) if text.value.to_str().to_ascii_lowercase().contains("nan") => {
                self.no(call.start(), "a NaN has no order");
            }
            _ => {}
        }
        self.arguments(arguments, |_, index, _| allowed::argument(name, index, count, keyed));
    }

    pub(super) fn member_call(&mut self, call: &'a ExprCall, path: &[&str]) {
        let member = match allowed::member(path) {
            // Outside of a class a field is an object that shows an address.
            Some(Member::Keeps) if path == ["dataclasses", "field"] && !self.in_class => None,
            member => member,
        };
        if let (["re", ..], Some(Expr::StringLiteral(pattern))) = (path, call.arguments.args.first())
            && may_backtrack(pattern.value.to_str())
        {
            self.no(call.start(), "a pattern may be searched for until it is cut off");
        }
        match member {
            None | Some(Member::Value | Member::Type) => {
                self.reasons.add(call.start(), || format!("nothing certain is known of {}", path.join(".")));
            }
            Some(Member::Keeps) if matches!(path, ["re", "sub" | "subn"]) => {
                self.arguments(&call.arguments, |_, index, _| if index == 1 { Place::Callback } else { Place::Plain });
            }
            Some(Member::Keeps) => self.arguments(&call.arguments, |_, _, _| Place::Plain),
            Some(Member::Class | Member::Makes(_)) => {
                // The functions of itertools call what they are given, and keep it to themselves.
                let calls = path[0] == "itertools" || path[0] == "functools";
                self.arguments(&call.arguments, |walk, _, argument| match walk.made(argument) {
                    Some(Hazard::Function) if calls => Place::Callback,
                    _ => Place::Consumed,
                });
            }
            Some(Member::Calls) => self.arguments(&call.arguments, |walk, index, argument| match walk.made(argument) {
                Some(Hazard::Iterator) if index < 2 => Place::Consumed,
                _ if index == 0 => Place::Callback,
                _ => Place::Plain,
            }),
        }
    }

    pub(super) fn method_call(&mut self, call: &'a ExprCall, attribute: &'a ExprAttribute) {
        let name = attribute.attr.as_str();
        let own = (self.own.methods.contains(name) || self.own.data.contains(name)) && !methods::is_foreign(name);
        if !allowed::method(name) && !own {
            self.reasons.add(attribute.attr.start(), || format!("nothing certain is known of the method {name}"));
        }
        match (name, &*attribute.value) {
            ("format", Expr::StringLiteral(text)) if !looks_inside(text.value.to_str()) => {}
            ("format", _) => self.no(call.start(), "a format may look inside its arguments"),
            ("strftime", _) if !matches!(&*call.arguments.args, [Expr::StringLiteral(format)] if is_the_same_everywhere(format.value.to_str())) =>
            {
                self.no(call.start(), "a date is printed as the place where it runs has it");
            }
            _ => {}
        }
        let receiver = match (allowed::set_method(name), allowed::object_method(name)) {
            (true, true) => Place::EitherReceiver,
            (true, false) => Place::SetReceiver,
            (false, true) => Place::ObjectReceiver,
            (false, false) => Place::Receiver,
        };
        self.visit_in(receiver, &attribute.value);
        if self.own.methods.contains(name) || self.own.data.contains(name) {
            self.plain_arguments(&call.arguments);
        } else {
            self.arguments(&call.arguments, |_, index, _| match name {
                "sub" | "subn" if index == 0 => Place::Callback,
                _ => allowed::method_argument(name),
            });
        }
    }

    /// Arguments of what is known: a `key` is called and not kept.
    pub(super) fn arguments(&mut self, arguments: &'a Arguments, place: impl Fn(&Self, usize, &'a Expr) -> Place) {
        for (index, argument) in arguments.args.iter().enumerate() {
            let place = place(self, index, argument);
            self.visit_in(place, argument);
        }
        for Keyword { arg, value, .. } in &arguments.keywords {
            let is_key = arg.as_ref().is_some_and(|name| name.as_str() == "key");
            self.visit_in(if is_key { Place::Callback } else { Place::Plain }, value);
        }
    }

    /// Arguments of the program's own functions, which may do anything with them.
    pub(super) fn plain_arguments(&mut self, arguments: &'a Arguments) {
        arguments.args.iter().for_each(|argument| self.visit_expr(argument));
        arguments.keywords.iter().for_each(|keyword| self.visit_expr(&keyword.value));
    }

    pub(super) fn attribute(&mut self, expr: &'a Expr, attribute: &'a ExprAttribute, place: Place) {
        let at = attribute.start();
        if let Some(path) = self.imports.path(expr) {
            return self.member_read(path.segments(), attribute.ctx, place, at);
        }
        let name = attribute.attr.as_str();
        if is_set_attribute(name) {
            self.makes(Hazard::Set, place, at);
        }
        // Of `self` an attribute that was assigned is that, unless a class inherits methods from elsewhere.
        let of_self = matches!(&*attribute.value, Expr::Name(name) if name.id == "self") && !self.own.inherits;
        let is_data = !self.own.methods.contains(name) && (of_self || !methods::is_foreign(name));
        let data = (allowed::attribute(name) && !self.own.methods.contains(name))
            || (self.own.data.contains(name) && is_data && !name.starts_with("__"));
        if self.own.generators.contains(name) {
            self.makes(Hazard::Iterator, place, at);
        }
        let called_back = place == Place::Callback && allowed::method(name) && allowed::made_by_method(name).is_none();
        if attribute.ctx == ExprContext::Load && !data && !called_back {
            self.reasons.add(at, || format!("the attribute {name} may be a method, whose text is an address"));
        }
        self.visit_in(Place::Receiver, &attribute.value);
    }

    /// A member of a module is read, not called.
    pub(super) fn member_read(&mut self, path: &[&str], context: ExprContext, place: Place, at: TextSize) {
        let fits = match allowed::member(path) {
            Some(Member::Value | Member::Class) => true,
            Some(Member::Calls | Member::Keeps) => matches!(place, Place::Callback | Place::Callee | Place::Type),
            Some(Member::Makes(_)) => matches!(place, Place::Callee | Place::Type),
            Some(Member::Type) => place == Place::Type,
            None => false,
        };
        if !fits || context != ExprContext::Load {
            self.reasons.add(at, || format!("nothing certain is known of {} here", path.join(".")));
        }
    }
}
