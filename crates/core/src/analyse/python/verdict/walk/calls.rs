//! Calls and reads of members: the usages of their arguments, and the hazards that they return.

use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{Arguments, Expr, ExprAttribute, ExprCall, ExprContext, Keyword};
use ruff_text_size::{Ranged, TextSize};

use super::Walk;
use super::forms::{
    format_reads_members, is_dotted, is_mapping_view, is_portable_date_format, is_portable_spec, is_reserved,
    is_safe_update, is_set_operation, is_special, may_backtrack, name_of, reads_memory,
};
use crate::analyse::python::imports::DottedPath;
use crate::analyse::python::verdict::allowed::{self, Member, SortKey};
use crate::analyse::python::verdict::hazard::{Hazard, Usage, is_set_attribute};
use crate::analyse::python::verdict::methods;

impl<'a> Walk<'a, '_> {
    /// Returns the hazard that an expression creates, judging by its form. Beyond a few levels of nesting the result is
    /// `None`, and the parts are checked with the usage of the whole.
    pub(super) fn hazard_of(&self, expr: &'a Expr) -> Option<Hazard> {
        self.hazard_within(expr, 4)
    }

    pub(super) fn hazard_within(&self, expr: &'a Expr, steps: usize) -> Option<Hazard> {
        let steps = steps.checked_sub(1)?;
        match expr {
            Expr::Set(_) | Expr::SetComp(_) => Some(Hazard::Set),
            Expr::Generator(_) => Some(Hazard::Iterator),
            Expr::Lambda(_) => Some(Hazard::Function),
            Expr::BinOp(binary) if is_set_operation(binary.op) && !self.overrides_operators => {
                let set =
                    |side: &'a Expr| self.hazard_within(side, steps) == Some(Hazard::Set) || is_mapping_view(side);
                (set(&binary.left) || set(&binary.right)).then_some(Hazard::Set)
            }
            Expr::If(branch) => {
                self.hazard_within(&branch.body, steps).or_else(|| self.hazard_within(&branch.orelse, steps))
            }
            Expr::Call(call) => self.hazard_of_call(call),
            // An element of groups is a group.
            Expr::Subscript(part) => self.hazard_within(&part.value, steps).filter(|hazard| *hazard == Hazard::Group),
            Expr::Attribute(attribute) if attribute.attr.as_str() == "__class__" => Some(Hazard::ClassObject),
            Expr::Attribute(attribute) => self.accessor_hazard(attribute),
            _ => None,
        }
    }

    /// Returns the path that a dotted name refers to. `getattr` and dynamic imports are not resolved, because their
    /// evaluation may have effects.
    pub(super) fn resolve(&self, expr: &'a Expr) -> Option<DottedPath<'a>> {
        is_dotted(expr).then(|| self.imports.resolve(expr)).flatten()
    }

    fn accessor_hazard(&self, attribute: &ExprAttribute) -> Option<Hazard> {
        let name = attribute.attr.as_str();
        // An attribute of this name on the program's own objects is checked by the stricter rules for those.
        let own = self.definitions.methods.contains(name)
            || (self.is_own_attribute(attribute) && self.definitions.data_attributes.contains(name));
        (self.uses_science && !own).then(|| allowed::accessor(name)).flatten()
    }

    pub(super) fn hazard_of_call(&self, call: &'a ExprCall) -> Option<Hazard> {
        let name = match &*call.func {
            Expr::Name(name) => name.id.as_str(),
            Expr::Attribute(attribute) => attribute.attr.as_str(),
            _ => return None,
        };
        if self.definitions.generators.contains(name) {
            return Some(Hazard::Iterator);
        }
        // A builtin counts as itself even if the program also binds its name.
        if let (Expr::Name(_), Some(Member::Produces(hazard))) = (&*call.func, allowed::builtin(name)) {
            return Some(hazard);
        }
        match self.resolve(&call.func) {
            Some(path) => match allowed::member(path.segments()) {
                Some(Member::Produces(hazard)) => Some(hazard),
                _ => None,
            },
            None if call.func.is_attribute_expr() => allowed::method_hazard(name),
            None => None,
        }
    }

    pub(super) fn visit_call(&mut self, call: &'a ExprCall, usage: Usage) {
        if let Some(hazard) = self.hazard_of_call(call) {
            self.check_hazard(hazard, usage, call.start());
        }
        if self.uses_science {
            self.check_numpy_keywords(call);
        }
        if let Some(path) = self.resolve(&call.func) {
            return self.visit_member_call(call, path.segments(), usage);
        }
        match &*call.func {
            Expr::Name(name) => {
                Self::record_usage(&mut self.name_usages, name.id.as_str(), Usage::Callee, name.start());
                if self.definitions.bound.contains(name.id.as_str()) {
                    // Elsewhere the name may still be the builtin.
                    self.check_builtin(call, name.id.as_str());
                    self.visit_plain_arguments(&call.arguments);
                } else {
                    self.visit_builtin_call(call, name.id.as_str());
                }
            }
            Expr::Attribute(attribute) => self.visit_method_call(call, attribute),
            func => {
                // `type(self)(…)` creates another instance of the same class.
                let same = matches!(func, Expr::Call(kind) if matches!(
                    (&*kind.func, &*kind.arguments.args),
                    (Expr::Name(name), [Expr::Name(own)]) if name.id == "type" && own.id == "self"
                ));
                self.visit_as(if same && self.in_function() { Usage::Type } else { Usage::Callee }, func);
                self.visit_plain_arguments(&call.arguments);
            }
        }
    }

    /// Rejects calls of builtins whose result is not deterministic.
    fn check_builtin(&mut self, call: &'a ExprCall, name: &str) {
        let arguments = &call.arguments;
        match (name, &*arguments.args) {
            ("type", [_]) if arguments.keywords.is_empty() => {}
            ("type", _) => self.reject(call.start(), "a class is created by a call"),
            ("iter", [_, _, ..]) => self.reject(call.start(), "an iterator is created from a function"),
            ("float" | "complex" | "sum" | "round" | "pow", _) => self.has_floats = true,
            _ => {}
        }
        match (name, &*arguments.args) {
            ("float", [Expr::StringLiteral(text)]) if text.value.to_str().to_ascii_lowercase().contains("nan") => {
                self.reject(call.start(), "NaN cannot be ordered");
            }
            // The bytes of an array of objects are addresses.
            ("bytes" | "bytearray", _) if self.uses_science => {
                self.reject(call.start(), "the memory of an array may be printed");
            }
            ("str", [_, _, ..]) if self.uses_science => {
                self.reject(call.start(), "the memory of an array may be printed");
            }
            ("format", [_, spec]) if self.uses_dates && !is_portable_spec(spec) => {
                self.reject(call.start(), "the format of a date depends on the locale or the time zone");
            }
            // With two arguments, `str` reads the first as bytes.
            ("map", [Expr::Name(function), _, _, ..]) if self.uses_science && function.id == "str" => {
                self.reject(call.start(), "the memory of an array may be printed");
            }
            _ => {}
        }
    }

    pub(super) fn visit_builtin_call(&mut self, call: &'a ExprCall, name: &str) {
        let arguments = &call.arguments;
        let count = arguments.args.len();
        let is_key = |keyword: &Keyword| keyword.arg.as_ref().is_none_or(|name| name == "key");
        let sort_key = if arguments.keywords.iter().any(is_key) { SortKey::Given } else { SortKey::Absent };
        self.check_builtin(call, name);
        if let ("sorted" | "min" | "max" | "any" | "all", [elements], SortKey::Absent) =
            (name, &*arguments.args, sort_key)
        {
            self.check_ordered_read(name, elements);
        }
        // If there may be a NaN, sorting does not remove the dependence on the original order.
        let sorts = self.uses_science && matches!(name, "sorted" | "min" | "max");
        self.visit_known_arguments(name, arguments, |_, index, _| {
            match allowed::argument_usage(name, index, count, sort_key) {
                Usage::OrderIndependent if sorts => Usage::Consumed,
                usage => usage,
            }
        });
    }

    pub(super) fn visit_member_call(&mut self, call: &'a ExprCall, path: &[&str], usage: Usage) {
        let member = match allowed::member(path) {
            // Unless a class definition replaces it, it is an object that prints an address.
            Some(Member::Retains) if matches!(path, ["dataclasses", "field"] | ["enum", "auto"]) => None,
            member => member,
        };
        if self.uses_science {
            self.check_positional_dtype(call, path);
            if self.visit_buffer_call(call, path, usage) {
                return;
            }
        }
        if let (["re", ..], Some(Expr::StringLiteral(pattern))) = (path, call.arguments.args.first())
            && may_backtrack(pattern.value.to_str())
        {
            self.reject(call.start(), "matching a regular expression may exceed the time limit");
        }
        if path == ["copy", "deepcopy"] && (call.arguments.args.len() > 1 || !call.arguments.keywords.is_empty()) {
            self.reject(call.start(), "the identities of objects may be printed");
        }
        // These have the same effect as the operators.
        self.has_set_augmentation |= matches!(path, ["operator", "sub"]);
        self.has_floats |= matches!(path, ["operator", "truediv" | "pow"]);
        if let Some(problem) = allowed::call_problem(path, call) {
            self.reject(call.start(), problem);
        }
        let name = path.last().copied().unwrap_or_default();
        match member {
            None | Some(Member::Value | Member::Type | Member::Stream) => {
                self.reasons.add(call.start(), || format!("{} is not known to be deterministic", path.join(".")));
            }
            Some(Member::Retains) if matches!(path, ["re", "sub" | "subn"]) => {
                self.visit_known_arguments(name, &call.arguments, |_, index, _| {
                    if index == 1 { Usage::Callback } else { Usage::Unrestricted }
                });
            }
            // It reads the buffer and does not store it.
            Some(Member::Retains) if path == ["pandas", "read_csv"] => {
                self.visit_known_arguments(name, &call.arguments, |_, index, _| {
                    if index == 0 { Usage::ObjectReceiver } else { Usage::Unrestricted }
                });
            }
            Some(Member::Retains) => self.visit_known_arguments(name, &call.arguments, |_, _, _| Usage::Unrestricted),
            Some(Member::Produces(_)) if path == ["numpy", "random", "Generator"] => {
                self.visit_known_arguments(name, &call.arguments, |_, _, _| Usage::ObjectReceiver);
            }
            Some(Member::Produces(Hazard::Function)) if allowed::is_science(path[0]) => {
                let usage = |_: &Self, index, _| if index == 0 { Usage::Callback } else { Usage::Unrestricted };
                self.visit_known_arguments(name, &call.arguments, usage);
            }
            Some(Member::Class | Member::Produces(_)) => {
                // Functions of itertools and functools call their function arguments and do not reveal them.
                let calls = path[0] == "itertools" || path[0] == "functools";
                self.visit_known_arguments(name, &call.arguments, |walk, _, argument| match walk.hazard_of(argument) {
                    Some(Hazard::Function) if calls => Usage::Callback,
                    _ => Usage::Consumed,
                });
            }
            Some(Member::Consumes) => {
                self.visit_known_arguments(name, &call.arguments, |walk, index, argument| {
                    match walk.hazard_of(argument) {
                        Some(Hazard::Iterator) if index < 2 => Usage::Consumed,
                        _ if index == 0 => Usage::Callback,
                        _ => Usage::Unrestricted,
                    }
                });
            }
        }
    }

    pub(super) fn visit_method_call(&mut self, call: &'a ExprCall, attribute: &'a ExprAttribute) {
        let name = attribute.attr.as_str();
        let own = (self.definitions.methods.contains(name) || self.definitions.data_attributes.contains(name))
            && !self.is_library_member(name)
            && !is_special(name)
            && (!self.uses_science || self.is_own_object(&attribute.value));
        // Special methods may be called only on `super()` or the program's own objects: any other may be a generator,
        // which would start again.
        let special = is_special(name) && !(allowed::is_safe_method(name) && self.is_own_object(&attribute.value));
        if special || (!allowed::is_safe_method(name) && !own) {
            self.reasons.add(attribute.attr.start(), || format!("method {name} is not known to be deterministic"));
        }
        match (name, &*attribute.value) {
            ("format", Expr::StringLiteral(text))
                if !format_reads_members(text.value.to_str())
                    && (!self.uses_dates || is_portable_date_format(text.value.to_str())) => {}
            ("format", _) => self.reject(call.start(), "a format string may read members of its arguments"),
            ("join", Expr::StringLiteral(_) | Expr::FString(_)) => {}
            ("join", _) if self.uses_science => self.reject(call.start(), "the memory of an array may be printed"),
            ("update", _) if self.uses_science && self.uses_digests && !is_safe_update(&call.arguments) => {
                self.reject(call.start(), "the memory of an array may be printed");
            }
            ("encode" | "to_bytes" | "from_bytes" | "digest" | "getvalue" | "fromhex", receiver)
                if self.uses_science && (name != "getvalue" || !self.definitions.is_bound_once(name_of(receiver))) =>
            {
                self.reject(call.start(), "bytes may be compared with the memory of an array");
            }
            ("strftime", _) if !matches!(&*call.arguments.args, [Expr::StringLiteral(format)] if is_portable_date_format(format.value.to_str())) =>
            {
                self.reject(call.start(), "the format of a date depends on the locale or the time zone");
            }
            _ => {}
        }
        if name == "astype" && self.uses_science {
            call.arguments.args.first().into_iter().for_each(|kind| self.check_dtype(kind));
        }
        let receiver = match (allowed::is_set_safe_method(name), allowed::is_object_safe_method(name)) {
            (true, true) => Usage::SetOrObjectReceiver,
            (true, false) => Usage::SetReceiver,
            (false, true) => Usage::ObjectReceiver,
            (false, false) => Usage::OtherReceiver,
        };
        self.visit_as(receiver, &attribute.value);
        if name == "update" && self.uses_science && self.uses_digests {
            return call.arguments.args.iter().for_each(|bytes| match bytes {
                Expr::Dict(_) => self.visit_expr(bytes),
                bytes => self.check_bytes(bytes),
            });
        }
        let takes_callback = self.uses_science && allowed::takes_callback(name);
        if takes_callback && call.arguments.find_keyword("args").is_some() {
            self.reject(call.start(), "some arguments are not written out in the call");
        }
        if takes_callback && call.arguments.args.iter().any(Expr::is_starred_expr) {
            self.reject(call.start(), "some arguments are not written out in the call");
        }
        if self.uses_science && name == "pivot_table" {
            call.arguments.args.get(3).into_iter().for_each(|function| self.check_callback_name(function));
        }
        if !takes_callback
            && (self.definitions.methods.contains(name) || self.definitions.data_attributes.contains(name))
        {
            self.visit_plain_arguments(&call.arguments);
        } else {
            self.visit_known_arguments(name, &call.arguments, |_, index, argument| match name {
                "sub" | "subn" if index == 0 => Usage::Callback,
                // The values of a dictionary that is passed to `map` are stored, not called.
                "map" if takes_callback && argument.is_dict_expr() => Usage::Unrestricted,
                "map" | "filter" if index == 0 && takes_callback => Usage::Callback,
                _ if index == 0 && takes_callback => Usage::CallbackCollection,
                _ => allowed::method_argument_usage(name),
            });
        }
    }

    /// Visits the arguments of a known function or method of this name, with the usage of each positional argument.
    pub(super) fn visit_known_arguments(
        &mut self,
        callee: &str,
        arguments: &'a Arguments,
        usage: impl Fn(&Self, usize, &'a Expr) -> Usage,
    ) {
        for (index, argument) in arguments.args.iter().enumerate() {
            let usage = usage(self, index, argument);
            self.visit_as(usage, argument);
        }
        for Keyword { arg, value, .. } in &arguments.keywords {
            let keyword = arg.as_ref().map_or("", |name| name.as_str());
            if keyword == "dtype" && self.uses_science {
                self.check_dtype(value);
            }
            // The keyword names a result column; the value is a function, or a pair of a column and a function.
            if self.uses_science && matches!(callee, "agg" | "aggregate") && !matches!(keyword, "axis" | "func") {
                match value {
                    Expr::Tuple(named) if named.elts.len() == 2 => {
                        self.visit_expr(&named.elts[0]);
                        self.visit_as(Usage::CallbackCollection, &named.elts[1]);
                    }
                    value => self.visit_as(Usage::CallbackCollection, value),
                }
                continue;
            }
            let usage = match (callee, keyword) {
                _ if allowed::is_callback_keyword(callee, keyword) => Usage::CallbackCollection,
                ("print", "file") => Usage::ObjectReceiver,
                _ => Usage::Unrestricted,
            };
            self.visit_as(usage, value);
        }
    }

    /// Visits the arguments of the program's own functions, which may use them in any way.
    pub(super) fn visit_plain_arguments(&mut self, arguments: &'a Arguments) {
        arguments.args.iter().for_each(|argument| self.visit_expr(argument));
        arguments.keywords.iter().for_each(|keyword| self.visit_expr(&keyword.value));
    }

    pub(super) fn visit_attribute(&mut self, expr: &'a Expr, attribute: &'a ExprAttribute, usage: Usage) {
        let at = attribute.start();
        if let Some(path) = self.resolve(expr) {
            return self.check_member_read(path.segments(), attribute.ctx, usage, at);
        }
        let name = attribute.attr.as_str();
        if is_set_attribute(name) {
            self.check_hazard(Hazard::Set, usage, at);
        }
        if name == "__class__" {
            self.check_hazard(Hazard::ClassObject, usage, at);
        }
        if attribute.ctx != ExprContext::Load {
            self.check_attribute_change(attribute);
        }
        let of_class = match &*attribute.value {
            Expr::Name(name) => self.definitions.classes.contains(name.id.as_str()) || name.id == "cls",
            _ => false,
        };
        if of_class && self.definitions.properties.contains(name) {
            self.reject(at, "a property is read on its class, where its text is an address");
        }
        // An assigned attribute of `self` is data, unless a class inherits methods from elsewhere.
        let of_self = self.is_own_attribute(attribute);
        let is_data = !self.definitions.methods.contains(name)
            && (of_self || (!self.is_library_member(name) && !self.uses_science));
        let data = (allowed::is_data_attribute(name) && !self.definitions.methods.contains(name))
            || (self.definitions.data_attributes.contains(name)
                && is_data
                && !name.starts_with("__")
                && !is_reserved(name));
        if self.definitions.generators.contains(name) {
            self.check_hazard(Hazard::Iterator, usage, at);
        }
        let called_back = usage == Usage::Callback
            && allowed::is_safe_method(name)
            && allowed::method_hazard(name).is_none()
            // Only the arguments of a call show whether it is seeded, or which bytes it returns.
            && !matches!(name, "sample" | "encode" | "to_bytes" | "from_bytes" | "fromhex" | "digest")
            && (name != "format" || matches!(&*attribute.value, Expr::StringLiteral(text)
                if !format_reads_members(text.value.to_str())
                    && (!self.uses_dates || is_portable_date_format(text.value.to_str()))))
            && !is_special(name);
        let accessor = self.accessor_hazard(attribute);
        if let Some(hazard) = accessor
            && attribute.ctx == ExprContext::Load
        {
            self.check_hazard(hazard, usage, at);
        }
        if attribute.ctx == ExprContext::Load && !data && !called_back && accessor.is_none() {
            self.reasons.add(at, || format!("the attribute {name} may be a method, whose text is an address"));
        }
        // Of a class, only the name may be read.
        let holder = if name == "__name__" { Usage::Type } else { Usage::AttributeBase };
        let holder =
            if self.hazard_of(&attribute.value) == Some(Hazard::ClassObject) { holder } else { Usage::AttributeBase };
        self.visit_as(holder, &attribute.value);
    }

    /// Checks the assignment or deletion of an attribute.
    fn check_attribute_change(&mut self, attribute: &'a ExprAttribute) {
        let (name, at) = (attribute.attr.as_str(), attribute.start());
        let own = self.is_own_object(&attribute.value);
        let deleted = attribute.ctx == ExprContext::Del && (!own || self.definitions.methods.contains(name));
        if is_special(name) || deleted {
            self.reject(at, "it changes the behaviour of an object");
        } else if self.uses_science && !own && !allowed::is_settable_attribute(name) {
            self.reject(at, "it changes the behaviour of a library");
        }
    }

    /// Returns whether an expression is certainly an instance of a class of the program, or such a class.
    pub(super) fn is_own_object(&self, object: &Expr) -> bool {
        match object {
            Expr::Name(name) => match name.id.as_str() {
                "self" => self.in_function() && self.receivers.self_is_instance,
                "cls" => self.in_function() && self.receivers.cls_is_class,
                name => {
                    (self.definitions.classes.contains(name) && self.definitions.is_bound_once(name))
                        || self.definitions.is_instance(name)
                }
            },
            Expr::Call(call) => match &*call.func {
                Expr::Name(name) if name.id == "super" => {
                    self.in_function() && !self.definitions.bound.contains("super")
                }
                Expr::Name(name) => {
                    self.definitions.classes.contains(name.id.as_str())
                        && self.definitions.is_bound_once(name.id.as_str())
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn is_own_attribute(&self, attribute: &ExprAttribute) -> bool {
        let is_self = matches!(&*attribute.value, Expr::Name(name) if name.id == "self");
        is_self && self.in_function() && self.receivers.self_is_instance && !self.definitions.has_base_classes
    }

    /// Returns whether builtin types or libraries have a method or member of this name.
    fn is_library_member(&self, name: &str) -> bool {
        methods::is_builtin_method(name) || (self.uses_science && allowed::is_unsafe_member(name))
    }

    /// Checks a member of a module that is read, not called.
    pub(super) fn check_member_read(&mut self, path: &[&str], context: ExprContext, usage: Usage, at: TextSize) {
        let is_allowed = match allowed::member(path) {
            _ if self.uses_science && reads_memory(path) && usage != Usage::Callee => false,
            _ if allowed::requires_seed(path) && !matches!(usage, Usage::Callee | Usage::Type) => false,
            // Read on the class itself, an attribute of tables is an object that prints an address.
            Some(Member::Class) if matches!(path[0], "pandas" | "sklearn") => {
                matches!(usage, Usage::Callback | Usage::Callee | Usage::Type)
            }
            Some(Member::Value | Member::Class) => true,
            Some(Member::Stream) => {
                matches!(usage, Usage::ObjectReceiver | Usage::SetOrObjectReceiver | Usage::Consumed)
            }
            Some(Member::Consumes | Member::Retains) => matches!(usage, Usage::Callback | Usage::Callee | Usage::Type),
            Some(Member::Produces(_)) => matches!(usage, Usage::Callee | Usage::Type),
            Some(Member::Type) => usage == Usage::Type,
            None => false,
        };
        if !is_allowed || context != ExprContext::Load {
            self.reasons.add(at, || format!("this use of {} is not known to be deterministic", path.join(".")));
        }
    }
}
