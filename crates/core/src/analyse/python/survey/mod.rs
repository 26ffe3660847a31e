//! One walk over the syntax tree that collects effects, loops, sizes, definitions and uses of randomness.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{
    ExceptHandler, Expr, ExprAttribute, ExprContext, IpyEscapeKind, Operator, Parameter, Pattern, Stmt,
};
use ruff_text_size::{Ranged, TextSize};

mod calls;
mod forms;

pub(super) use self::forms::is_number_literal;
use self::forms::{certain_calls, defined_names, is_always_true, may_exit_loop, same_name};
use super::bounds::Bounds;
use super::definitions::Definitions;
use super::dynamic_access;
use super::imports::Imports;
use super::modules;
use super::random::{RandomDraws, Scope};
use super::verdict::hazard::{exposes_interpreter, produces_set};
use crate::analyse::profile::{FileScope, StaticEffect};

/// A count or a maximum, and the position at which it was found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Metric {
    pub value: f64,
    pub at: TextSize,
}

impl Metric {
    /// Raises a maximum to `value`, if that is larger.
    fn raise_to(&mut self, value: f64, at: TextSize) {
        if value > self.value {
            *self = Self { value, at };
        }
    }

    /// Adds one to a count. The position is that of the first occurrence.
    fn increment(&mut self, at: TextSize) {
        if self.value == 0.0 {
            self.at = at;
        }
        self.value += 1.0;
    }
}

/// What the walk has collected.
pub(super) struct Survey<'a> {
    imports: &'a Imports<'a>,
    bounds: Bounds<'a>,
    pub random_draws: RandomDraws,
    /// Modules imported by a call with a literal name.
    pub dynamic_imports: Vec<(&'a str, TextSize)>,
    /// The first position of each effect.
    pub effects: [Option<TextSize>; StaticEffect::ALL.len()],
    pub files: FileScope,
    /// The first position at which the standard input is read.
    pub input_read: Option<TextSize>,

    pub statements: f64,
    pub calls: f64,
    pub functions: Metric,
    pub classes: Metric,
    pub loops: Metric,
    pub nesting: Metric,
    /// The largest number of iterations that follows from literal bounds; those of nested loops are multiplied.
    pub iterations: Metric,
    pub endless_loops: Metric,
    pub recursion: Metric,
    /// The largest number of elements or bytes that is created at once.
    pub allocation: Metric,
    /// The elements of all arrays with a literal size.
    pub elements: f64,
    pub training_calls: Metric,
    pub plotting_calls: Metric,
    pub dynamic_code: Metric,
    pub branches: f64,
    /// Where it names the network.
    pub network_at: Vec<TextSize>,
    /// Whether the program may create a set, whose order depends on hashes.
    pub has_sets: bool,
    /// The first access to frames or to the interpreter's list of classes.
    pub interpreter_access: Option<TextSize>,
    /// Whether it may reach objects that its source does not name.
    pub dynamic_access: bool,
    /// The number of mentions of `open` other than calls.
    pub uncalled_opens: i32,

    /// The names that the program binds, as far as they have been visited.
    pub definitions: Definitions<'a>,
    /// The names of the functions around the node that is being visited.
    enclosing_functions: Vec<&'a str>,
    /// Whether the node that is being visited is directly in a class.
    in_class: bool,
    /// The number of loops around the node that is being visited.
    loop_depth: f64,
    /// The product of the iterations of these loops.
    enclosing_iterations: f64,
    /// The calls that certainly run, once and in the order of the lines.
    certain_calls: BTreeSet<TextSize>,
    /// The names of all functions and classes of the program, including those that have not been visited yet.
    defined_names: BTreeSet<&'a str>,
}

impl<'a> Survey<'a> {
    pub(super) fn collect(body: &'a [Stmt], imports: &'a Imports<'a>) -> Self {
        let mut survey = Self {
            imports,
            bounds: Bounds::default(),
            random_draws: RandomDraws::default(),
            dynamic_imports: Vec::new(),
            effects: [None; StaticEffect::ALL.len()],
            files: FileScope::None,
            input_read: None,
            statements: 0.0,
            calls: 0.0,
            functions: Metric::default(),
            classes: Metric::default(),
            loops: Metric::default(),
            nesting: Metric::default(),
            iterations: Metric::default(),
            endless_loops: Metric::default(),
            recursion: Metric::default(),
            allocation: Metric::default(),
            elements: 0.0,
            training_calls: Metric::default(),
            plotting_calls: Metric::default(),
            dynamic_code: Metric::default(),
            branches: 0.0,
            network_at: Vec::new(),
            has_sets: false,
            interpreter_access: None,
            dynamic_access: false,
            uncalled_opens: 0,
            definitions: Definitions::default(),
            enclosing_functions: Vec::new(),
            in_class: false,
            loop_depth: 0.0,
            enclosing_iterations: 1.0,
            certain_calls: BTreeSet::new(),
            defined_names: BTreeSet::new(),
        };
        survey.certain_calls = certain_calls(body);
        survey.defined_names = defined_names(body);
        survey.visit_body(body);
        if let Some(at) = survey.random_draws.first_unseeded() {
            survey.add_effect(StaticEffect::Randomness, at);
        }
        survey
    }

    /// Records an effect at this position.
    pub(super) fn add_effect(&mut self, effect: StaticEffect, at: TextSize) {
        let first = &mut self.effects[effect as usize];
        *first = Some(first.map_or(at, |before| before.min(at)));
        if effect == StaticEffect::Network {
            self.network_at.push(at);
        }
    }

    /// Visits the body of a loop with this number of iterations.
    fn visit_loop(&mut self, iterations: f64, at: TextSize, visit: impl FnOnce(&mut Self)) {
        let before = self.enclosing_iterations;
        self.enclosing_iterations = (before * iterations.max(1.0)).min(1e300);
        self.loop_depth += 1.0;
        self.nesting.raise_to(self.loop_depth, at);
        visit(self);
        self.loop_depth -= 1.0;
        self.enclosing_iterations = before;
    }

    /// Returns the number of iterations over an iterable, or 1 if it is not known.
    fn iterations_of(&self, iter: &Expr) -> f64 {
        match iter {
            Expr::Call(call) if matches!(&*call.func, Expr::Name(name) if name.id == "range") => {
                self.bounds.range(call).unwrap_or(1.0)
            }
            Expr::List(list) => list.elts.len() as f64,
            Expr::Tuple(tuple) => tuple.elts.len() as f64,
            _ => 1.0,
        }
    }

    fn comprehension(&mut self, generators: &'a [ruff_python_ast::Comprehension], parts: &[&'a Expr]) {
        let Some((first, rest)) = generators.split_first() else {
            parts.iter().for_each(|part| self.visit_expr(part));
            return;
        };
        self.visit_expr(&first.iter);
        self.visit_expr(&first.target);
        let iterations = self.iterations_of(&first.iter);
        self.visit_loop(iterations, first.start(), |survey| {
            first.ifs.iter().for_each(|test| survey.visit_expr(test));
            survey.comprehension(rest, parts);
        });
    }

    fn add_ipython_command(&mut self, kind: IpyEscapeKind, value: &str, at: TextSize) {
        let shell = matches!(kind, IpyEscapeKind::Shell | IpyEscapeKind::ShCap)
            || value.split_whitespace().next().is_some_and(modules::is_shell_magic);
        self.add_effect(if shell { StaticEffect::Shell } else { StaticEffect::Magic }, at);
    }
}

impl Survey<'_> {
    /// Records whether a path gives access to arbitrary objects.
    pub(super) fn check_path(&mut self, path: &[&str]) {
        self.dynamic_access |= path.iter().skip(1).any(|segment| dynamic_access::is_dynamic_attribute(segment));
    }

    fn check_attribute(&mut self, attribute: &ExprAttribute) {
        self.has_sets |= produces_set(attribute.attr.as_str());
        self.dynamic_access |= dynamic_access::is_dynamic_attribute(attribute.attr.as_str());
        if exposes_interpreter(attribute.attr.as_str()) {
            self.interpreter_access.get_or_insert(attribute.start());
        }
    }
}

impl<'a> Visitor<'a> for Survey<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        self.statements += 1.0;
        let at = statement.start();
        match statement {
            Stmt::FunctionDef(def) => {
                self.functions.increment(at);
                for decorator in &def.decorator_list {
                    self.visit_decorator(decorator);
                    self.random_draws.record_own_code(at, self.scope());
                }
                self.visit_parameters(&def.parameters);
                def.returns.iter().for_each(|returns| self.visit_annotation(returns));
                self.definitions.bind(def.name.as_str());
                if self.in_class {
                    self.definitions.add_method(def.name.as_str(), &def.decorator_list);
                } else {
                    self.definitions.functions.insert(def.name.as_str());
                }
                let outer = (self.loop_depth, self.enclosing_iterations, self.in_class);
                (self.loop_depth, self.enclosing_iterations, self.in_class) = (0.0, 1.0, false);
                self.enclosing_functions.push(def.name.as_str());
                self.visit_body(&def.body);
                self.enclosing_functions.pop();
                (self.loop_depth, self.enclosing_iterations, self.in_class) = outer;
            }
            Stmt::ClassDef(class) => {
                self.classes.increment(at);
                self.definitions.bind(class.name.as_str());
                self.definitions.classes.insert(class.name.as_str());
                class.decorator_list.iter().for_each(|decorator| self.visit_decorator(decorator));
                self.definitions.has_base_classes |=
                    class.arguments.as_ref().is_some_and(|arguments| !arguments.args.is_empty());
                class.arguments.iter().for_each(|arguments| self.visit_arguments(arguments));
                let outer = std::mem::replace(&mut self.in_class, true);
                self.visit_body(&class.body);
                self.in_class = outer;
            }
            Stmt::Assign(assign) => {
                if let [Expr::Name(target)] = assign.targets.as_slice() {
                    self.bounds.assign(target.id.as_str(), &assign.value);
                    if let Expr::Call(call) = &*assign.value
                        && let Expr::Name(class) = &*call.func
                        && self.definitions.classes.contains(class.id.as_str())
                    {
                        *self.definitions.instance_counts.entry(target.id.as_str()).or_default() += 1;
                    }
                }
                if let ([target], Expr::BinOp(sum)) = (assign.targets.as_slice(), &*assign.value)
                    && same_name(target, &sum.left)
                    && same_name(target, &sum.right)
                {
                    self.allocation.raise_to(self.enclosing_iterations.min(1000.0).exp2(), at);
                }
                visitor::walk_stmt(self, statement);
            }
            // The value doubles in each iteration.
            Stmt::AugAssign(assign) => {
                if matches!(assign.op, Operator::Add) && same_name(&assign.target, &assign.value) {
                    self.allocation.raise_to(self.enclosing_iterations.min(1000.0).exp2(), at);
                }
                visitor::walk_stmt(self, statement);
            }
            Stmt::For(each) => {
                self.loops.increment(at);
                self.visit_expr(&each.iter);
                self.visit_expr(&each.target);
                let iterations = self.iterations_of(&each.iter);
                self.visit_loop(iterations, at, |survey| survey.visit_body(&each.body));
                self.visit_body(&each.orelse);
            }
            Stmt::While(each) => {
                self.loops.increment(at);
                if is_always_true(&each.test) && !may_exit_loop(&each.body, 0) {
                    self.endless_loops.increment(at);
                }
                self.visit_loop(1.0, at, |survey| {
                    survey.visit_expr(&each.test);
                    survey.visit_body(&each.body);
                });
                self.visit_body(&each.orelse);
            }
            Stmt::If(branch) => {
                self.branches += 1.0 + branch.elif_else_clauses.len() as f64;
                visitor::walk_stmt(self, statement);
            }
            Stmt::IpyEscapeCommand(command) => self.add_ipython_command(command.kind, &command.value, at),
            _ => visitor::walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        self.has_sets |= matches!(expr, Expr::Set(_));
        match expr {
            Expr::Call(call) => {
                if let Expr::Attribute(method) = &*call.func {
                    self.check_attribute(method);
                }
                self.visit_call(call);
            }
            Expr::Name(name) => {
                if name.ctx != ExprContext::Load {
                    self.definitions.bind(name.id.as_str());
                    if self.in_class {
                        self.definitions.data_attributes.insert(name.id.as_str());
                    }
                    return;
                }
                match name.id.as_str() {
                    "input" => self.add_input_read(name.start()),
                    "set" | "frozenset" => self.has_sets = true,
                    "open" => self.uncalled_opens += 1,
                    name => self.dynamic_access |= dynamic_access::is_dynamic_name(name),
                }
                if let Some(path) = self.imports.resolve_name(&name.id) {
                    // A module is used as a value, which is not tracked.
                    self.dynamic_access |= path.segments().len() == 1;
                    self.add_read(path.segments(), name.start());
                }
                if self.enclosing_functions.is_empty() && self.defined_names.contains(name.id.as_str()) {
                    self.random_draws.record_own_code(name.start(), Scope::Module);
                }
            }
            Expr::Attribute(attribute) => {
                self.check_attribute(attribute);
                if let Some(path) = self.imports.resolve(expr) {
                    self.check_path(path.segments());
                    self.add_read(path.segments(), attribute.start());
                    self.add_dynamic_import_of(expr);
                } else if attribute.ctx == ExprContext::Store {
                    self.definitions.data_attributes.insert(attribute.attr.as_str());
                    self.visit_expr(&attribute.value);
                } else {
                    self.visit_expr(&attribute.value);
                }
            }
            Expr::BinOp(binary) => {
                if matches!(binary.op, Operator::Mult)
                    && matches!(&*binary.left, Expr::List(_) | Expr::StringLiteral(_))
                {
                    let size = self.bounds.number(&binary.right).unwrap_or(0.0);
                    self.allocation.raise_to(size, binary.start());
                }
                if matches!(binary.op, Operator::Pow) {
                    self.allocation.raise_to(self.bounds.digits(binary), binary.start());
                }
                visitor::walk_expr(self, expr);
            }
            Expr::ListComp(list) => self.comprehension(&list.generators, &[&list.elt]),
            Expr::SetComp(set) => {
                self.has_sets = true;
                self.comprehension(&set.generators, &[&set.elt]);
            }
            Expr::Generator(generator) => self.comprehension(&generator.generators, &[&generator.elt]),
            Expr::DictComp(dict) => {
                let parts = [dict.key.as_deref().unwrap_or(&dict.value), &dict.value];
                self.comprehension(&dict.generators, &parts);
            }
            Expr::Dict(_) | Expr::Set(_) => {
                visitor::walk_expr(self, expr);
            }
            // The functions that it mentions may run when it is called.
            Expr::Lambda(_) => {
                self.random_draws.record_own_code(expr.start(), self.scope());
                visitor::walk_expr(self, expr);
            }
            Expr::Yield(_) | Expr::YieldFrom(_) => {
                self.definitions.generators.extend(self.enclosing_functions.last().copied());
                visitor::walk_expr(self, expr);
            }
            Expr::IpyEscapeCommand(command) => self.add_ipython_command(command.kind, &command.value, command.start()),
            _ => visitor::walk_expr(self, expr),
        }
    }

    fn visit_parameter(&mut self, parameter: &'a Parameter) {
        self.definitions.bind(parameter.name.as_str());
        visitor::walk_parameter(self, parameter);
    }

    fn visit_except_handler(&mut self, handler: &'a ExceptHandler) {
        let ExceptHandler::ExceptHandler(caught) = handler;
        if let Some(name) = &caught.name {
            self.definitions.bind(name.as_str());
        }
        visitor::walk_except_handler(self, handler);
    }

    fn visit_pattern(&mut self, pattern: &'a Pattern) {
        let name = match pattern {
            Pattern::MatchAs(capture) => capture.name.as_ref(),
            Pattern::MatchStar(capture) => capture.name.as_ref(),
            Pattern::MatchMapping(mapping) => mapping.rest.as_ref(),
            _ => None,
        };
        if let Some(name) = name {
            self.definitions.bind(name.as_str());
        }
        visitor::walk_pattern(self, pattern);
    }
}
