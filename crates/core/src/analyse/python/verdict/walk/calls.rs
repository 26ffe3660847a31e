//! Calls, and reads of members: where each argument goes, and what comes out.

use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{Arguments, Expr, ExprAttribute, ExprCall, ExprContext, Keyword};
use ruff_text_size::{Ranged, TextSize};

use super::Walk;
use super::forms::{
    held, is_dotted, is_plain_spec, is_reserved, is_set_operation, is_special, is_the_same_everywhere, is_update,
    is_view, looks_inside, may_backtrack, reads_memory,
};
use crate::analyse::python::imports::Path;
use crate::analyse::python::verdict::allowed::{self, Member};
use crate::analyse::python::verdict::hazard::{Hazard, Place, is_set_attribute};
use crate::analyse::python::verdict::methods;

impl<'a> Walk<'a, '_> {
    /// The hazard that an expression makes, by its form alone. Where it cannot be told in a few steps it is none, and the
    /// parts are looked at in the place of the whole.
    pub(super) fn made(&self, expr: &'a Expr) -> Option<Hazard> {
        self.made_within(expr, 4)
    }

    pub(super) fn made_within(&self, expr: &'a Expr, steps: usize) -> Option<Hazard> {
        let steps = steps.checked_sub(1)?;
        match expr {
            Expr::Set(_) | Expr::SetComp(_) => Some(Hazard::Set),
            Expr::Generator(_) => Some(Hazard::Iterator),
            Expr::Lambda(_) => Some(Hazard::Function),
            Expr::BinOp(binary) if is_set_operation(binary.op) && !self.own_operators => {
                let set = |side: &'a Expr| self.made_within(side, steps) == Some(Hazard::Set) || is_view(side);
                (set(&binary.left) || set(&binary.right)).then_some(Hazard::Set)
            }
            Expr::If(branch) => {
                self.made_within(&branch.body, steps).or_else(|| self.made_within(&branch.orelse, steps))
            }
            Expr::Call(call) => self.made_by_call(call),
            // A part of what is grouped is grouped.
            Expr::Subscript(part) => self.made_within(&part.value, steps).filter(|hazard| *hazard == Hazard::Group),
            Expr::Attribute(attribute) if attribute.attr.as_str() == "__class__" => Some(Hazard::Kind),
            Expr::Attribute(attribute) => self.accessor(attribute),
            _ => None,
        }
    }

    /// Where a name leads that an import bound. What asks for it by a text, or imports by a call, may do more on the way.
    pub(super) fn path(&self, expr: &'a Expr) -> Option<Path<'a>> {
        is_dotted(expr).then(|| self.imports.path(expr)).flatten()
    }

    fn accessor(&self, attribute: &ExprAttribute) -> Option<Hazard> {
        let name = attribute.attr.as_str();
        // What a program's own objects hold under the name is followed by the stricter of the two meanings.
        let own = self.own.methods.contains(name) || (self.is_own(attribute) && self.own.data.contains(name));
        (self.science && !own).then(|| allowed::accessor(name)).flatten()
    }

    pub(super) fn made_by_call(&self, call: &'a ExprCall) -> Option<Hazard> {
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
        match self.path(&call.func) {
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
        if self.science {
            self.asks_for_more(call);
        }
        if let Some(path) = self.path(&call.func) {
            return self.member_call(call, path.segments(), place);
        }
        match &*call.func {
            Expr::Name(name) => {
                Self::noted(&mut self.loads, name.id.as_str(), Place::Callee, name.start());
                if self.own.bound.contains(name.id.as_str()) {
                    // In another place the name may still be the builtin.
                    self.asks_a_builtin(call, name.id.as_str());
                    self.plain_arguments(&call.arguments);
                } else {
                    self.builtin_call(call, name.id.as_str());
                }
            }
            Expr::Attribute(attribute) => self.method_call(call, attribute),
            func => {
                // `type(self)(…)` makes another of the same.
                let same = matches!(func, Expr::Call(kind) if matches!(
                    (&*kind.func, &*kind.arguments.args),
                    (Expr::Name(name), [Expr::Name(own)]) if name.id == "type" && own.id == "self"
                ));
                self.visit_in(if same && self.in_method() { Place::Type } else { Place::Callee }, func);
                self.plain_arguments(&call.arguments);
            }
        }
    }

    /// What a builtin is asked for that is not the same everywhere.
    fn asks_a_builtin(&mut self, call: &'a ExprCall, name: &str) {
        let arguments = &call.arguments;
        match (name, &*arguments.args) {
            ("type", [_]) if arguments.keywords.is_empty() => {}
            ("type", _) => self.no(call.start(), "a class is made by a call"),
            ("iter", [_, _, ..]) => self.no(call.start(), "an iterator is made of a function"),
            ("float" | "complex" | "sum" | "round" | "pow", _) => self.floats = true,
            _ => {}
        }
        match (name, &*arguments.args) {
            ("float", [Expr::StringLiteral(text)]) if text.value.to_str().to_ascii_lowercase().contains("nan") => {
                self.no(call.start(), "a NaN has no order");
            }
            // Bytes of an array are those of what it points to.
            ("bytes" | "bytearray", _) if self.science => self.no(call.start(), "the memory of an array may be shown"),
            ("str", [_, _, ..]) if self.science => self.no(call.start(), "the memory of an array may be shown"),
            ("format", [_, spec]) if self.dates && !is_plain_spec(spec) => {
                self.no(call.start(), "a date is printed as the place where it runs has it");
            }
            // Of two arguments each, `str` reads the first as bytes.
            ("map", [Expr::Name(function), _, _, ..]) if self.science && function.id == "str" => {
                self.no(call.start(), "the memory of an array may be shown");
            }
            _ => {}
        }
    }

    pub(super) fn builtin_call(&mut self, call: &'a ExprCall, name: &str) {
        let arguments = &call.arguments;
        let count = arguments.args.len();
        let keyed = arguments.keywords.iter().any(|keyword| keyword.arg.as_ref().is_none_or(|name| name == "key"));
        self.asks_a_builtin(call, name);
        if let ("sorted" | "min" | "max" | "any" | "all", [elements], false) = (name, &*arguments.args, keyed) {
            self.takes_in_order(name, elements);
        }
        // Where there may be a NaN, sorting what has no order leaves it without.
        let sorts = self.science && matches!(name, "sorted" | "min" | "max");
        self.arguments(name, arguments, |_, index, _| match allowed::argument(name, index, count, keyed) {
            Place::Unordered if sorts => Place::Consumed,
            place => place,
        });
    }

    pub(super) fn member_call(&mut self, call: &'a ExprCall, path: &[&str], place: Place) {
        let member = match allowed::member(path) {
            // Where no class is made of it, it is an object that shows an address.
            Some(Member::Keeps) if matches!(path, ["dataclasses", "field"] | ["enum", "auto"]) => None,
            member => member,
        };
        if self.science {
            self.kind_by_place(call, path);
            if self.buffers(call, path, place) {
                return;
            }
        }
        if let (["re", ..], Some(Expr::StringLiteral(pattern))) = (path, call.arguments.args.first())
            && may_backtrack(pattern.value.to_str())
        {
            self.no(call.start(), "a pattern may be searched for until it is cut off");
        }
        if path == ["copy", "deepcopy"] && (call.arguments.args.len() > 1 || !call.arguments.keywords.is_empty()) {
            self.no(call.start(), "the numbers of objects in memory may be shown");
        }
        // As the operators do.
        self.augments |= matches!(path, ["operator", "sub"]);
        self.floats |= matches!(path, ["operator", "truediv" | "pow"]);
        if let Some(objection) = allowed::objection(path, call) {
            self.no(call.start(), objection);
        }
        let name = path.last().copied().unwrap_or_default();
        match member {
            None | Some(Member::Value | Member::Type | Member::Stream) => {
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
        let own = (self.own.methods.contains(name) || self.own.data.contains(name))
            && !self.is_foreign(name)
            && !is_special(name)
            && (!self.science || self.is_of_own(&attribute.value));
        // Of its parent or of itself: any other object may be a generator that begins anew.
        let special = is_special(name) && !(allowed::method(name) && self.is_of_own(&attribute.value));
        if special || (!allowed::method(name) && !own) {
            self.reasons.add(attribute.attr.start(), || format!("nothing certain is known of the method {name}"));
        }
        match (name, &*attribute.value) {
            ("format", Expr::StringLiteral(text))
                if !looks_inside(text.value.to_str())
                    && (!self.dates || is_the_same_everywhere(text.value.to_str())) => {}
            ("format", _) => self.no(call.start(), "a format may look inside its arguments"),
            ("join", Expr::StringLiteral(_) | Expr::FString(_)) => {}
            ("join", _) if self.science => self.no(call.start(), "the memory of an array may be shown"),
            ("update", _) if self.science && self.hashes && !is_update(&call.arguments) => {
                self.no(call.start(), "the memory of an array may be shown");
            }
            ("encode" | "to_bytes" | "from_bytes" | "digest" | "getvalue" | "fromhex", receiver)
                if self.science && (name != "getvalue" || !self.own.is_bound_once(held(receiver))) =>
            {
                self.no(call.start(), "bytes may be compared with the memory of an array");
            }
            ("strftime", _) if !matches!(&*call.arguments.args, [Expr::StringLiteral(format)] if is_the_same_everywhere(format.value.to_str())) =>
            {
                self.no(call.start(), "a date is printed as the place where it runs has it");
            }
            _ => {}
        }
        if name == "astype" && self.science {
            call.arguments.args.first().into_iter().for_each(|kind| self.kind(kind));
        }
        let receiver = match (allowed::set_method(name), allowed::object_method(name)) {
            (true, true) => Place::EitherReceiver,
            (true, false) => Place::SetReceiver,
            (false, true) => Place::ObjectReceiver,
            (false, false) => Place::Receiver,
        };
        self.visit_in(receiver, &attribute.value);
        if name == "update" && self.science && self.hashes {
            return call.arguments.args.iter().for_each(|bytes| match bytes {
                Expr::Dict(_) => self.visit_expr(bytes),
                bytes => self.bytes(bytes),
            });
        }
        let calls_back = self.science && allowed::calls_back(name);
        if calls_back && call.arguments.find_keyword("args").is_some() {
            self.no(call.start(), "its arguments are not written here");
        }
        if calls_back && call.arguments.args.iter().any(Expr::is_starred_expr) {
            self.no(call.start(), "its arguments are not written here");
        }
        if self.science && name == "pivot_table" {
            call.arguments.args.get(3).into_iter().for_each(|function| self.found_by_name(function));
        }
        if !calls_back && (self.own.methods.contains(name) || self.own.data.contains(name)) {
            self.plain_arguments(&call.arguments);
        } else {
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
            if keyword == "dtype" && self.science {
                self.kind(value);
            }
            // A result of this name: of a column, by a function.
            if self.science && matches!(callee, "agg" | "aggregate") && !matches!(keyword, "axis" | "func") {
                match value {
                    Expr::Tuple(named) if named.elts.len() == 2 => {
                        self.visit_expr(&named.elts[0]);
                        self.visit_in(Place::Callbacks, &named.elts[1]);
                    }
                    value => self.visit_in(Place::Callbacks, value),
                }
                continue;
            }
            let place = match (callee, keyword) {
                _ if allowed::calls(callee, keyword) => Place::Callbacks,
                ("print", "file") => Place::ObjectReceiver,
                _ => Place::Plain,
            };
            self.visit_in(place, value);
        }
    }

    /// Arguments of the program's own functions, which may do anything with them.
    pub(super) fn plain_arguments(&mut self, arguments: &'a Arguments) {
        arguments.args.iter().for_each(|argument| self.visit_expr(argument));
        arguments.keywords.iter().for_each(|keyword| self.visit_expr(&keyword.value));
    }

    pub(super) fn attribute(&mut self, expr: &'a Expr, attribute: &'a ExprAttribute, place: Place) {
        let at = attribute.start();
        if let Some(path) = self.path(expr) {
            return self.member_read(path.segments(), attribute.ctx, place, at);
        }
        let name = attribute.attr.as_str();
        if is_set_attribute(name) {
            self.makes(Hazard::Set, place, at);
        }
        if name == "__class__" {
            self.makes(Hazard::Kind, place, at);
        }
        if attribute.ctx != ExprContext::Load {
            self.changes(attribute);
        }
        let of_class = match &*attribute.value {
            Expr::Name(name) => self.own.classes.contains(name.id.as_str()) || name.id == "cls",
            _ => false,
        };
        if of_class && self.own.properties.contains(name) {
            self.no(at, "a property is asked of its class, where its text is an address");
        }
        // Of `self` an attribute that was assigned is that, unless a class inherits methods from elsewhere.
        let of_self = self.is_own(attribute);
        let is_data = !self.own.methods.contains(name) && (of_self || (!self.is_foreign(name) && !self.science));
        let data = (allowed::attribute(name) && !self.own.methods.contains(name))
            || (self.own.data.contains(name) && is_data && !name.starts_with("__") && !is_reserved(name));
        if self.own.generators.contains(name) {
            self.makes(Hazard::Iterator, place, at);
        }
        let called_back = place == Place::Callback
            && allowed::method(name)
            && allowed::made_by_method(name).is_none()
            // Only a call shows whether it is seeded, and of what bytes are made.
            && !matches!(name, "sample" | "encode" | "to_bytes" | "from_bytes" | "fromhex" | "digest")
            && (name != "format" || matches!(&*attribute.value, Expr::StringLiteral(text)
                if !looks_inside(text.value.to_str())
                    && (!self.dates || is_the_same_everywhere(text.value.to_str()))))
            && !is_special(name);
        let accessor = self.accessor(attribute);
        if let Some(hazard) = accessor
            && attribute.ctx == ExprContext::Load
        {
            self.makes(hazard, place, at);
        }
        if attribute.ctx == ExprContext::Load && !data && !called_back && accessor.is_none() {
            self.reasons.add(at, || format!("the attribute {name} may be a method, whose text is an address"));
        }
        // The name of a class is all that may be asked of it.
        let holder = if name == "__name__" { Place::Type } else { Place::Holder };
        let holder = if self.made(&attribute.value) == Some(Hazard::Kind) { holder } else { Place::Holder };
        self.visit_in(holder, &attribute.value);
    }

    /// An attribute is set or deleted.
    fn changes(&mut self, attribute: &'a ExprAttribute) {
        let (name, at) = (attribute.attr.as_str(), attribute.start());
        let own = self.is_of_own(&attribute.value);
        let deleted = attribute.ctx == ExprContext::Del && (!own || self.own.methods.contains(name));
        if is_special(name) || deleted {
            self.no(at, "what Python does with an object is changed");
        } else if self.science && !own && !allowed::is_stored(name) {
            self.no(at, "what a library does is changed");
        }
    }

    /// True where an object is the program's own beyond doubt.
    pub(super) fn is_of_own(&self, object: &Expr) -> bool {
        match object {
            Expr::Name(name) => match name.id.as_str() {
                "self" => self.in_method() && self.receivers.object,
                "cls" => self.in_method() && self.receivers.class,
                name => (self.own.classes.contains(name) && self.own.is_bound_once(name)) || self.own.is_instance(name),
            },
            Expr::Call(call) => match &*call.func {
                Expr::Name(name) if name.id == "super" => self.in_method() && !self.own.bound.contains("super"),
                Expr::Name(name) => {
                    self.own.classes.contains(name.id.as_str()) && self.own.is_bound_once(name.id.as_str())
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn is_own(&self, attribute: &ExprAttribute) -> bool {
        let is_self = matches!(&*attribute.value, Expr::Name(name) if name.id == "self");
        is_self && self.in_method() && self.receivers.object && !self.own.inherits
    }

    /// True for names that lead to something of an object that the program did not make.
    fn is_foreign(&self, name: &str) -> bool {
        methods::is_foreign(name) || (self.science && allowed::hides(name))
    }

    /// A member of a module is read, not called.
    pub(super) fn member_read(&mut self, path: &[&str], context: ExprContext, place: Place, at: TextSize) {
        let fits = match allowed::member(path) {
            _ if self.science && reads_memory(path) && place != Place::Callee => false,
            _ if allowed::wants_a_seed(path) && !matches!(place, Place::Callee | Place::Type) => false,
            // Asked of the class itself, what tables hold is an object that shows an address.
            Some(Member::Class) if matches!(path[0], "pandas" | "sklearn") => {
                matches!(place, Place::Callback | Place::Callee | Place::Type)
            }
            Some(Member::Value | Member::Class) => true,
            Some(Member::Stream) => matches!(place, Place::ObjectReceiver | Place::EitherReceiver | Place::Consumed),
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
