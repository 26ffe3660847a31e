//! One walk over the syntax tree that gathers what there is to see: effects, loops, sizes, chance.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{
    ExceptHandler, Expr, ExprAttribute, ExprContext, IpyEscapeKind, Operator, Parameter, Pattern, Stmt,
};
use ruff_text_size::{Ranged, TextSize};

mod calls;
mod forms;

pub(super) use self::forms::is_number;
use self::forms::{certain_calls, defined, is_true, leaves, same_name};
use super::bounds::Bounds;
use super::definitions::Definitions;
use super::dynamic_access;
use super::imports::Imports;
use super::modules;
use super::random::Draws;
use super::verdict::hazard::{gives_a_set, shows_the_interpreter};
use crate::analyse::profile::{Reach, StaticEffect};

/// The largest of something, and where it was.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Peak {
    pub value: f64,
    pub at: TextSize,
}

impl Peak {
    fn raise(&mut self, value: f64, at: TextSize) {
        if value > self.value {
            *self = Self { value, at };
        }
    }

    fn more(&mut self, at: TextSize) {
        if self.value == 0.0 {
            self.at = at;
        }
        self.value += 1.0;
    }
}

pub(super) struct Survey<'a> {
    imports: &'a Imports<'a>,
    bounds: Bounds<'a>,
    pub draws: Draws,
    /// Modules imported by a call with a literal name.
    pub dynamic: Vec<(&'a str, TextSize)>,
    /// The first sighting of each effect.
    pub effects: [Option<TextSize>; StaticEffect::ALL.len()],
    pub files: Reach,
    /// Where the standard input is first read.
    pub input: Option<TextSize>,

    pub statements: f64,
    pub calls: f64,
    pub functions: Peak,
    pub classes: Peak,
    pub loops: Peak,
    pub nesting: Peak,
    /// Rounds that literal bounds promise, nested loops multiplied.
    pub iterations: Peak,
    pub endless: Peak,
    pub recursion: Peak,
    /// Elements or bytes asked for at once.
    pub allocation: Peak,
    /// Elements of all arrays that are made with a literal size.
    pub elements: f64,
    pub training: Peak,
    pub drawing: Peak,
    pub dynamic_code: Peak,
    pub branches: f64,
    /// A set is made or asked for somewhere, so that an order of hashes may show.
    pub sets: bool,
    /// Where it looks at frames or at the classes that the interpreter happens to have.
    pub inner: Option<TextSize>,
    /// It names something by which it may do what its text does not say.
    pub way_out: bool,
    /// Times that `open` is named beyond those that it is called.
    pub opens: i32,

    /// The names that the program gives, as far as the walk has come.
    pub own: Definitions<'a>,
    /// The functions around this place.
    inside: Vec<&'a str>,
    /// This place is directly in a class.
    in_class: bool,
    depth: f64,
    rounds: f64,
    /// Calls that certainly run, once and in the order of the lines: statements of the module itself.
    certain: BTreeSet<TextSize>,
    /// Every function and class of the program, those further down included.
    defined: BTreeSet<&'a str>,
}

impl<'a> Survey<'a> {
    pub(super) fn of(body: &'a [Stmt], imports: &'a Imports<'a>) -> Self {
        let mut survey = Self {
            imports,
            bounds: Bounds::default(),
            draws: Draws::default(),
            dynamic: Vec::new(),
            effects: [None; StaticEffect::ALL.len()],
            files: Reach::None,
            input: None,
            statements: 0.0,
            calls: 0.0,
            functions: Peak::default(),
            classes: Peak::default(),
            loops: Peak::default(),
            nesting: Peak::default(),
            iterations: Peak::default(),
            endless: Peak::default(),
            recursion: Peak::default(),
            allocation: Peak::default(),
            elements: 0.0,
            training: Peak::default(),
            drawing: Peak::default(),
            dynamic_code: Peak::default(),
            branches: 0.0,
            sets: false,
            inner: None,
            way_out: false,
            opens: 0,
            own: Definitions::default(),
            inside: Vec::new(),
            in_class: false,
            depth: 0.0,
            rounds: 1.0,
            certain: BTreeSet::new(),
            defined: BTreeSet::new(),
        };
        survey.certain = certain_calls(body);
        survey.defined = defined(body);
        survey.visit_body(body);
        if let Some(at) = survey.draws.unseeded() {
            survey.saw(StaticEffect::Randomness, at);
        }
        survey
    }

    pub(super) fn saw(&mut self, effect: StaticEffect, at: TextSize) {
        let first = &mut self.effects[effect as usize];
        *first = Some(first.map_or(at, |before| before.min(at)));
    }

    /// Runs the visits of a loop's body one level deeper.
    fn looped(&mut self, rounds: f64, at: TextSize, visit: impl FnOnce(&mut Self)) {
        let before = self.rounds;
        self.rounds = (before * rounds.max(1.0)).min(1e300);
        self.depth += 1.0;
        self.nesting.raise(self.depth, at);
        visit(self);
        self.depth -= 1.0;
        self.rounds = before;
    }

    fn rounds_of(&self, iter: &Expr) -> f64 {
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
        let rounds = self.rounds_of(&first.iter);
        self.looped(rounds, first.start(), |survey| {
            first.ifs.iter().for_each(|test| survey.visit_expr(test));
            survey.comprehension(rest, parts);
        });
    }

    fn escape(&mut self, kind: IpyEscapeKind, value: &str, at: TextSize) {
        let shell = matches!(kind, IpyEscapeKind::Shell | IpyEscapeKind::ShCap)
            || value.split_whitespace().next().is_some_and(modules::is_shell_magic);
        self.saw(if shell { StaticEffect::Shell } else { StaticEffect::Magic }, at);
    }
}

impl Survey<'_> {
    /// A path may lead through one module to another.
    pub(super) fn passes(&mut self, path: &[&str]) {
        self.way_out |= path.iter().skip(1).any(|segment| dynamic_access::attribute(segment));
    }

    fn attribute(&mut self, attribute: &ExprAttribute) {
        self.sets |= gives_a_set(attribute.attr.as_str());
        self.way_out |= dynamic_access::attribute(attribute.attr.as_str());
        if shows_the_interpreter(attribute.attr.as_str()) {
            self.inner.get_or_insert(attribute.start());
        }
    }
}

impl<'a> Visitor<'a> for Survey<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        self.statements += 1.0;
        let at = statement.start();
        match statement {
            Stmt::FunctionDef(def) => {
                self.functions.more(at);
                for decorator in &def.decorator_list {
                    self.visit_decorator(decorator);
                    self.draws.own_code(at, !self.inside.is_empty());
                }
                self.visit_parameters(&def.parameters);
                def.returns.iter().for_each(|returns| self.visit_annotation(returns));
                self.own.bind(def.name.as_str());
                if self.in_class {
                    self.own.method(def.name.as_str(), &def.decorator_list);
                } else {
                    self.own.functions.insert(def.name.as_str());
                }
                let outer = (self.depth, self.rounds, self.in_class);
                (self.depth, self.rounds, self.in_class) = (0.0, 1.0, false);
                self.inside.push(def.name.as_str());
                self.visit_body(&def.body);
                self.inside.pop();
                (self.depth, self.rounds, self.in_class) = outer;
            }
            Stmt::ClassDef(class) => {
                self.classes.more(at);
                self.own.bind(class.name.as_str());
                self.own.classes.insert(class.name.as_str());
                class.decorator_list.iter().for_each(|decorator| self.visit_decorator(decorator));
                self.own.inherits |= class.arguments.as_ref().is_some_and(|arguments| !arguments.args.is_empty());
                class.arguments.iter().for_each(|arguments| self.visit_arguments(arguments));
                let outer = std::mem::replace(&mut self.in_class, true);
                self.visit_body(&class.body);
                self.in_class = outer;
            }
            Stmt::Assign(assign) => {
                if let [Expr::Name(target)] = assign.targets.as_slice() {
                    self.bounds.learn(target.id.as_str(), &assign.value);
                    if let Expr::Call(call) = &*assign.value
                        && let Expr::Name(class) = &*call.func
                        && self.own.classes.contains(class.id.as_str())
                    {
                        *self.own.instances.entry(target.id.as_str()).or_default() += 1;
                    }
                }
                if let ([target], Expr::BinOp(sum)) = (assign.targets.as_slice(), &*assign.value)
                    && same_name(target, &sum.left)
                    && same_name(target, &sum.right)
                {
                    self.allocation.raise(self.rounds.min(1000.0).exp2(), at);
                }
                visitor::walk_stmt(self, statement);
            }
            // Doubled on every round.
            Stmt::AugAssign(assign) => {
                if matches!(assign.op, Operator::Add) && same_name(&assign.target, &assign.value) {
                    self.allocation.raise(self.rounds.min(1000.0).exp2(), at);
                }
                visitor::walk_stmt(self, statement);
            }
            Stmt::For(each) => {
                self.loops.more(at);
                self.visit_expr(&each.iter);
                self.visit_expr(&each.target);
                let rounds = self.rounds_of(&each.iter);
                self.looped(rounds, at, |survey| survey.visit_body(&each.body));
                self.visit_body(&each.orelse);
            }
            Stmt::While(each) => {
                self.loops.more(at);
                if is_true(&each.test) && !leaves(&each.body, 0) {
                    self.endless.more(at);
                }
                self.looped(1.0, at, |survey| {
                    survey.visit_expr(&each.test);
                    survey.visit_body(&each.body);
                });
                self.visit_body(&each.orelse);
            }
            Stmt::If(branch) => {
                self.branches += 1.0 + branch.elif_else_clauses.len() as f64;
                visitor::walk_stmt(self, statement);
            }
            Stmt::IpyEscapeCommand(command) => self.escape(command.kind, &command.value, at),
            _ => visitor::walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        self.sets |= matches!(expr, Expr::Set(_));
        match expr {
            Expr::Call(call) => {
                if let Expr::Attribute(method) = &*call.func {
                    self.attribute(method);
                }
                self.call(call);
            }
            Expr::Name(name) => {
                if name.ctx != ExprContext::Load {
                    self.own.bind(name.id.as_str());
                    if self.in_class {
                        self.own.data.insert(name.id.as_str());
                    }
                    return;
                }
                match name.id.as_str() {
                    "input" => self.reads_input(name.start()),
                    "set" | "frozenset" => self.sets = true,
                    "open" => self.opens += 1,
                    name => self.way_out |= dynamic_access::name(name),
                }
                if let Some(path) = self.imports.name(&name.id) {
                    // A module that is handed on as a value: what is done with it is not seen.
                    self.way_out |= path.segments().len() == 1;
                    self.read(path.segments(), name.start());
                }
                if self.inside.is_empty() && self.defined.contains(name.id.as_str()) {
                    self.draws.own_code(name.start(), false);
                }
            }
            Expr::Attribute(attribute) => {
                self.attribute(attribute);
                if let Some(path) = self.imports.path(expr) {
                    self.passes(path.segments());
                    self.read(path.segments(), attribute.start());
                    self.root(expr);
                } else if attribute.ctx == ExprContext::Store {
                    self.own.data.insert(attribute.attr.as_str());
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
                    self.allocation.raise(size, binary.start());
                }
                if matches!(binary.op, Operator::Pow) {
                    self.allocation.raise(self.bounds.digits(binary), binary.start());
                }
                visitor::walk_expr(self, expr);
            }
            Expr::ListComp(list) => self.comprehension(&list.generators, &[&list.elt]),
            Expr::SetComp(set) => {
                self.sets = true;
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
            // Whatever it mentions may run without being mentioned again.
            Expr::Lambda(_) => {
                self.draws.own_code(expr.start(), !self.inside.is_empty());
                visitor::walk_expr(self, expr);
            }
            Expr::Yield(_) | Expr::YieldFrom(_) => {
                self.own.generators.extend(self.inside.last().copied());
                visitor::walk_expr(self, expr);
            }
            Expr::IpyEscapeCommand(command) => self.escape(command.kind, &command.value, command.start()),
            _ => visitor::walk_expr(self, expr),
        }
    }

    fn visit_parameter(&mut self, parameter: &'a Parameter) {
        self.own.bind(parameter.name.as_str());
        visitor::walk_parameter(self, parameter);
    }

    fn visit_except_handler(&mut self, handler: &'a ExceptHandler) {
        let ExceptHandler::ExceptHandler(caught) = handler;
        if let Some(name) = &caught.name {
            self.own.bind(name.as_str());
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
            self.own.bind(name.as_str());
        }
        visitor::walk_pattern(self, pattern);
    }
}
