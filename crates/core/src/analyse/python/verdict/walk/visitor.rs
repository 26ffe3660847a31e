//! The syntax that the walk visits: statements, patterns and expressions.

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{CmpOp, Expr, ExprContext, InterpolatedStringElement, Number, Operator, Pattern, Stmt, UnaryOp};
use ruff_text_size::Ranged;

use super::Walk;
use super::forms::{is_mapping_view, is_portable_date_format, is_set_operation, parts_of_type};
use crate::analyse::python::verdict::hazard::{Hazard, Usage};

impl<'a> Visitor<'a> for Walk<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if self.reasons.is_complete() {
            return;
        }
        self.usage = Usage::Unrestricted;
        match statement {
            Stmt::FunctionDef(def) => self.visit_function(def),
            Stmt::ClassDef(class) => self.visit_class(class),
            Stmt::Assign(assign) => match assign.targets.as_slice() {
                [target] => self.assign(target, &assign.value),
                targets => {
                    self.visit_expr(&assign.value);
                    targets.iter().for_each(|target| self.visit_expr(target));
                }
            },
            Stmt::AnnAssign(assign) => {
                self.visit_annotation(&assign.annotation);
                match &assign.value {
                    Some(value) => self.assign(&assign.target, value),
                    None => self.visit_expr(&assign.target),
                }
            }
            Stmt::AugAssign(assign) => {
                // `s |= t` with a set reads and binds the name, whose usages are checked already.
                self.has_floats |= matches!(assign.op, Operator::Div | Operator::Pow);
                self.has_set_augmentation |= is_set_operation(assign.op);
                let followed = matches!(&*assign.target, Expr::Name(name) if self.holds_set(name.id.as_str()));
                if is_set_operation(assign.op) && followed && !self.overrides_operators {
                    self.visit_as(Usage::OrderIndependent, &assign.value);
                } else {
                    self.visit_expr(&assign.value);
                }
                self.visit_expr(&assign.target);
            }
            Stmt::For(each) => {
                if each.is_async {
                    self.reject(each.start(), "it uses asynchronous code");
                }
                self.visit_as(Usage::Consumed, &each.iter);
                self.visit_expr(&each.target);
                self.visit_body(&each.body);
                self.visit_body(&each.orelse);
            }
            Stmt::While(each) => {
                self.visit_as(Usage::OrderIndependent, &each.test);
                self.visit_body(&each.body);
                self.visit_body(&each.orelse);
            }
            Stmt::If(branch) => {
                self.visit_as(Usage::OrderIndependent, &branch.test);
                self.visit_body(&branch.body);
                for clause in &branch.elif_else_clauses {
                    clause.test.iter().for_each(|test| self.visit_as(Usage::OrderIndependent, test));
                    self.visit_body(&clause.body);
                }
            }
            Stmt::Assert(assert) => {
                self.visit_as(Usage::OrderIndependent, &assert.test);
                assert.msg.iter().for_each(|message| self.visit_expr(message));
            }
            Stmt::With(with) => {
                if with.is_async {
                    self.reject(with.start(), "it uses asynchronous code");
                }
                for item in &with.items {
                    // A context manager that is not bound is only entered and left.
                    let usage = if item.optional_vars.is_none() { Usage::ObjectReceiver } else { Usage::Unrestricted };
                    self.visit_as(usage, &item.context_expr);
                    item.optional_vars.iter().for_each(|target| self.visit_expr(target));
                }
                self.visit_body(&with.body);
            }
            Stmt::ImportFrom(import) if import.names.iter().any(|alias| &alias.name == "*") => {
                self.reject(import.start(), "it imports all names of a module");
            }
            Stmt::IpyEscapeCommand(_) => self.reject(statement.start(), "it uses notebook magics"),
            _ => visitor::walk_stmt(self, statement),
        }
    }

    fn visit_annotation(&mut self, annotation: &'a Expr) {
        self.visit_as(Usage::Type, annotation);
    }

    fn visit_except_handler(&mut self, handler: &'a ruff_python_ast::ExceptHandler) {
        let ruff_python_ast::ExceptHandler::ExceptHandler(caught) = handler;
        self.binds_exceptions |= caught.name.is_some();
        if self.uses_science && caught.name.is_some() {
            self.reject(caught.start(), "the message of an exception may list names in any order");
        }
        caught.type_.iter().for_each(|kind| self.visit_as(Usage::Type, kind));
        self.visit_body(&caught.body);
    }

    fn visit_interpolated_string_element(&mut self, element: &'a InterpolatedStringElement) {
        let InterpolatedStringElement::Interpolation(shown) = element else { return };
        self.visit_as(Usage::Formatted, &shown.expression);
        if let Some(spec) = &shown.format_spec {
            let known = |part: &InterpolatedStringElement| matches!(part, InterpolatedStringElement::Literal(text) if is_portable_date_format(&text.value));
            if self.uses_dates && !spec.elements.iter().all(known) {
                self.reject(shown.start(), "the format of a date depends on the locale or the time zone");
            }
            spec.elements.iter().for_each(|part| self.visit_interpolated_string_element(part));
        }
    }

    fn visit_pattern(&mut self, pattern: &'a Pattern) {
        let is_own = |class: &Expr| matches!(class, Expr::Name(name) if self.definitions.classes.contains(name.id.as_str()) && self.definitions.is_bound_once(name.id.as_str()));
        if let Pattern::MatchClass(class) = pattern
            && !(class.arguments.keywords.is_empty() || is_own(&class.cls) && !self.definitions.has_base_classes)
        {
            self.reject(class.start(), "a pattern reads attributes that may be methods");
        } else if let Pattern::MatchClass(class) = pattern
            && !class
                .arguments
                .keywords
                .iter()
                .all(|keyword| self.definitions.data_attributes.contains(keyword.attr.as_str()) && !self.uses_science)
        {
            self.reject(class.start(), "a pattern reads attributes that may be methods");
        }
        visitor::walk_pattern(self, pattern);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        let usage = std::mem::replace(&mut self.usage, Usage::Unrestricted);
        let at = expr.start();
        match expr {
            Expr::List(list) if usage == Usage::CallbackCollection => {
                list.elts.iter().for_each(|element| self.visit_as(usage, element));
            }
            Expr::Dict(dict) if usage == Usage::CallbackCollection => {
                for item in &dict.items {
                    item.key.iter().for_each(|key| self.visit_expr(key));
                    self.visit_as(usage, &item.value);
                }
            }
            Expr::Tuple(tuple) if usage == Usage::CallbackCollection => {
                tuple.elts.iter().for_each(|element| self.visit_as(usage, element));
            }
            _ if usage == Usage::CallbackCollection => {
                self.check_callback_name(expr);
                self.visit_as(Usage::Callback, expr);
            }
            Expr::Name(name) => {
                if name.ctx != ExprContext::Load {
                    if self.in_class {
                        self.check_special_name(name.id.as_str(), at);
                    }
                    return;
                }
                Self::record_usage(&mut self.name_usages, name.id.as_str(), usage, at);
                let (id, own) = (name.id.as_str(), self.definitions);
                if self.in_class && usage != Usage::Callee && (own.methods.contains(id) || own.properties.contains(id))
                {
                    self.check_hazard(Hazard::Function, usage, at);
                }
                if let Some(path) = self.imports.resolve_name(&name.id) {
                    self.check_member_read(path.segments(), name.ctx, usage, at);
                }
            }
            Expr::Attribute(attribute) => self.visit_attribute(expr, attribute, usage),
            Expr::Call(call) => {
                if is_mapping_view(expr) && !matches!(usage, Usage::Consumed | Usage::OrderIndependent) {
                    self.kept_view.get_or_insert(at);
                }
                self.visit_call(call, usage);
            }
            Expr::Set(set) => {
                self.check_hazard(Hazard::Set, usage, at);
                set.elts.iter().for_each(|element| self.visit_expr(element));
            }
            Expr::SetComp(set) => {
                self.check_hazard(Hazard::Set, usage, at);
                self.visit_generators(&set.generators);
                self.visit_expr(&set.elt);
            }
            Expr::Generator(generator) => {
                self.check_hazard(Hazard::Iterator, usage, at);
                self.visit_generators(&generator.generators);
                self.visit_expr(&generator.elt);
            }
            Expr::ListComp(list) => {
                self.visit_generators(&list.generators);
                self.visit_expr(&list.elt);
            }
            Expr::DictComp(dict) => {
                self.visit_generators(&dict.generators);
                dict.key.iter().for_each(|key| self.visit_expr(key));
                self.visit_expr(&dict.value);
            }
            Expr::Lambda(lambda) => {
                self.check_hazard(Hazard::Function, usage, at);
                lambda.parameters.iter().for_each(|parameters| self.visit_parameters(parameters));
                self.lambda_depth += 1;
                self.visit_expr(&lambda.body);
                self.lambda_depth -= 1;
            }
            Expr::BinOp(binary) => {
                self.has_floats |= matches!(binary.op, Operator::Div | Operator::Pow);
                let operand = if self.hazard_of(expr).is_some() {
                    self.check_hazard(Hazard::Set, usage, at);
                    Usage::OrderIndependent
                } else if usage == Usage::Type {
                    Usage::Type
                } else if self.overrides_operators || binary.op == Operator::Mod {
                    Usage::Unrestricted
                } else {
                    Usage::Operand
                };
                self.visit_as(operand, &binary.left);
                self.visit_as(operand, &binary.right);
            }
            Expr::BoolOp(operation) => operation.values.iter().for_each(|value| self.visit_as(usage, value)),
            Expr::UnaryOp(unary) if unary.op == UnaryOp::Not => self.visit_as(Usage::OrderIndependent, &unary.operand),
            Expr::Compare(compare) => {
                let plain = compare.ops.iter().all(|op| {
                    matches!(op, CmpOp::Eq | CmpOp::NotEq | CmpOp::In | CmpOp::NotIn | CmpOp::Is | CmpOp::IsNot)
                });
                let usage =
                    if plain && !self.overrides_operators { Usage::OrderIndependent } else { Usage::Unrestricted };
                self.visit_as(usage, &compare.left);
                compare.comparators.iter().for_each(|side| self.visit_as(usage, side));
            }
            Expr::If(branch) => {
                self.visit_as(Usage::OrderIndependent, &branch.test);
                self.visit_as(usage, &branch.body);
                self.visit_as(usage, &branch.orelse);
            }
            // A value that is used and also bound is not tracked.
            Expr::Named(named) => {
                self.visit_expr(&named.value);
                self.visit_expr(&named.target);
            }
            Expr::Starred(starred) if starred.ctx == ExprContext::Load => {
                self.visit_as(Usage::Consumed, &starred.value);
            }
            Expr::Subscript(_) | Expr::Tuple(_) | Expr::List(_) if usage == Usage::Type => {
                for part in parts_of_type(expr) {
                    self.visit_as(usage, part);
                }
            }
            Expr::Subscript(part) => {
                let grouped = self.hazard_of(&part.value) == Some(Hazard::Group);
                if grouped {
                    self.check_hazard(Hazard::Group, usage, at);
                }
                // A name may hold groups: then an element of it is a group too, and must be consumed like one.
                let whole = if grouped || usage.is_receiver() { Usage::OtherReceiver } else { Usage::Subscripted };
                self.visit_as(whole, &part.value);
                self.visit_expr(&part.slice);
            }
            Expr::BytesLiteral(_) if self.uses_science => {
                self.reject(at, "bytes may be compared with the memory of an array");
            }
            Expr::NumberLiteral(literal) if matches!(literal.value, Number::Float(_) | Number::Complex { .. }) => {
                self.has_floats = true;
            }
            Expr::StringLiteral(text) if self.uses_science => {
                let text = text.value.to_str();
                let present = ["now", "today"].iter().any(|word| text.trim().eq_ignore_ascii_case(word));
                if present || text.contains("M8") || text.contains("datetime") {
                    self.reject(at, "dates are parsed from text, which may mean the current time");
                }
            }
            Expr::Yield(_) | Expr::YieldFrom(_) if self.lambda_depth > 0 => {
                self.reject(at, "a lambda creates an iterator");
            }
            Expr::Await(_) | Expr::TString(_) | Expr::IpyEscapeCommand(_) => {
                self.reject(at, "this syntax is not known to be deterministic");
            }
            _ => visitor::walk_expr(self, expr),
        }
    }
}
