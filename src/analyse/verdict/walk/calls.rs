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
            // A part of what is grouped is grouped.
            Expr::Subscript(part) => self.made_within(&part.value, steps).filter(|hazard| *hazard == Hazard::Group),
            Expr::Attribute(attribute) => self.accessor(attribute),
            _ => None,
        }
    }

    fn accessor(&self, attribute: &ExprAttribute) -> Option<Hazard> {
        let name = attribute.attr.as_str();
        // What a program's own objects hold under the name is followed by the stricter of the two meanings.
        let own = self.own.methods.contains(name) || (self.is_own(attribute) && self.own.data.contains(name));
        (self.science && !own).then(|| allowed::accessor(name)).flatten()
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
        // Where there may be a NaN, sorting what has no order leaves it without.
        let sorts = self.science && matches!(name, "sorted" | "min" | "max");
        self.arguments(name, arguments, |_, index, _| match allowed::argument(name, index, count, keyed) {
            Place::Unordered if sorts => Place::Consumed,
            place => place,
        });
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
        if let Some(objection) = allowed::objection(path, call) {
            self.no(call.start(), objection);
        }
        let name = path.last().copied().unwrap_or_default();
        match member {
            None | Some(Member::Value | Member::Type) => {
                self.reasons.add(call.start(), || format!("nothing certain is known of {}", path.join(".")));
            }
            Some(Member::Keeps) if matches!(path, ["re", "sub" | "subn"]) => {
                self.arguments(
                    name,
                    &call.arguments,
                    |_, index, _| if index == 1 { Place::Callback } else { Place::Plain },
                );
            }
            // It reads the buffer, and keeps none of it.
            Some(Member::Keeps) if path == ["pandas", "read_csv"] => {
                self.arguments(
                    name,
                    &call.arguments,
                    |_, index, _| if index == 0 { Place::ObjectReceiver } else { Place::Plain },
                );
            }
            Some(Member::Keeps) => self.arguments(name, &call.arguments, |_, _, _| Place::Plain),
            Some(Member::Makes(_)) if path == ["numpy", "random", "Generator"] => {
                self.arguments(name, &call.arguments, |_, _, _| Place::ObjectReceiver);
            }
            Some(Member::Makes(Hazard::Function)) if allowed::is_science(path[0]) => {
                let place = |_: &Self, index, _| if index == 0 { Place::Callback } else { Place::Plain };
                self.arguments(name, &call.arguments, place);
            }
            Some(Member::Class | Member::Makes(_)) => {
                // The functions of itertools call what they are given, and keep it to themselves.
                let calls = path[0] == "itertools" || path[0] == "functools";
                self.arguments(name, &call.arguments, |walk, _, argument| match walk.made(argument) {
                    Some(Hazard::Function) if calls => Place::Callback,
                    _ => Place::Consumed,
                });
            }
            Some(Member::Calls) => {
                self.arguments(name, &call.arguments, |walk, index, argument| match walk.made(argument) {
                    Some(Hazard::Iterator) if index < 2 => Place::Consumed,
                    _ if index == 0 => Place::Callback,
                    _ => Place::Plain,
                });
            }
        }
    }

    pub(super) fn method_call(&mut self, call: &'a ExprCall, attribute: &'a ExprAttribute) {
        let name = attribute.attr.as_str();
        let own = (self.own.methods.contains(name) || self.own.data.contains(name)) && !self.is_foreign(name);
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
        if name == "astype" {
            call.arguments.args.first().into_iter().for_each(|kind| self.reads_dates(kind));
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
            let calls_back = self.science && allowed::calls_back(name);
            self.arguments(name, &call.arguments, |_, index, argument| match name {
                "sub" | "subn" if index == 0 => Place::Callback,
                // What stands in a table of `map` is not called but kept.
                "map" if calls_back && argument.is_dict_expr() => Place::Plain,
                "map" | "filter" if index == 0 && calls_back => Place::Callback,
                _ if index == 0 && calls_back => Place::Callbacks,
                _ => allowed::method_argument(name),
            });
        }
    }

    /// Arguments of what is known under the name `callee`.
    pub(super) fn arguments(
        &mut self,
        callee: &str,
        arguments: &'a Arguments,
        place: impl Fn(&Self, usize, &'a Expr) -> Place,
    ) {
        for (index, argument) in arguments.args.iter().enumerate() {
            let place = place(self, index, argument);
            self.visit_in(place, argument);
        }
        for Keyword { arg, value, .. } in &arguments.keywords {
            let keyword = arg.as_ref().map_or("", |name| name.as_str());
            if keyword == "dtype" {
                self.reads_dates(value);
            }
            self.visit_in(if allowed::calls(callee, keyword) { Place::Callbacks } else { Place::Plain }, value);
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
        let of_self = self.is_own(attribute);
        let is_data = !self.own.methods.contains(name) && (of_self || (!self.is_foreign(name) && !self.science));
        let data = (allowed::attribute(name) && !self.own.methods.contains(name))
            || (self.own.data.contains(name) && is_data && !name.starts_with("__"));
        if self.own.generators.contains(name) {
            self.makes(Hazard::Iterator, place, at);
        }
        let called_back = place == Place::Callback
            && allowed::method(name)
            && allowed::made_by_method(name).is_none()
            // Only a call shows whether it is seeded.
            && name != "sample";
        let accessor = self.accessor(attribute);
        if let Some(hazard) = accessor
            && attribute.ctx == ExprContext::Load
        {
            self.makes(hazard, place, at);
        }
        if attribute.ctx == ExprContext::Load && !data && !called_back && accessor.is_none() {
            self.reasons.add(at, || format!("the attribute {name} may be a method, whose text is an address"));
        }
        self.visit_in(Place::Holder, &attribute.value);
    }

    fn is_own(&self, attribute: &ExprAttribute) -> bool {
        matches!(&*attribute.value, Expr::Name(name) if name.id == "self") && !self.own.inherits
    }

    /// True for names that lead to something of an object that the program did not make.
    fn is_foreign(&self, name: &str) -> bool {
        methods::is_foreign(name) || (self.science && allowed::hides(name))
    }

    /// Elements of this kind are read from text as dates, and some texts mean the present.
    fn reads_dates(&mut self, kind: &Expr) {
        if self.science && matches!(kind, Expr::StringLiteral(text) if text.value.to_str().contains('M')) {
            self.no(kind.start(), "dates are read from text, which may mean the present");
        }
    }

    /// A member of a module is read, not called.
    pub(super) fn member_read(&mut self, path: &[&str], context: ExprContext, place: Place, at: TextSize) {
        let fits = match allowed::member(path) {
            _ if allowed::wants_a_seed(path) && !matches!(place, Place::Callee | Place::Type) => false,
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
