//! An estimate of the work of training models: samples × features × what each kind of model takes × loops and searches
//! around it, as far as the program's text shows.
//!
//! The program's statements are visited in their order, three times: the first two visits find what functions are called
//! with, how often, and what they return.

use std::collections::BTreeMap;

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Comprehension, Expr, Number, Operator, Stmt, StmtFunctionDef};
use ruff_text_size::{Ranged, TextSize};
use switchtower_contract::File;

mod amount;
mod calls;
mod data;
mod estimators;
mod functions;
mod library;
mod scope;
mod value;

use self::amount::Amount;
use self::functions::functions;
use self::scope::Scope;
use self::value::Value;
use super::imports::Imports;
use super::modules::{self, Domain};

/// How often the statements are visited.
const VISITS: usize = 3;

/// The work of training models, in operations of which the scientific tier runs about 10⁹ in a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) operations: f64,
    /// Whether the text shows all sizes; otherwise the operations are a lower bound.
    pub(super) exact: bool,
    /// Where the first model is trained.
    pub(super) at: TextSize,
}

/// Returns the work of training models, if the program trains one.
pub(super) fn estimate<'a>(body: &'a [Stmt], imports: &'a Imports<'a>, files: &'a [File]) -> Option<Work> {
    let used = || imports.modules.iter().filter(|imported| imported.used.get());
    let learns = used().any(|imported| {
        imported.domain == Domain::MachineLearning || matches!(modules::top(imported.module), "sklearn" | "statsmodels")
    });
    if !learns && !used().any(|imported| modules::top(imported.module) == "numpy") {
        return None;
    }
    let mut training = Training {
        scope: Scope::new(imports, files, functions(body)),
        learns,
        calls: BTreeMap::new(),
        arguments: BTreeMap::new(),
        visit: Visit::default(),
        enclosing_functions: Vec::new(),
    };
    for _ in 0..VISITS {
        training.visit = Visit { callers: std::mem::take(&mut training.calls), ..Visit::default() };
        (training.scope.weights, training.scope.units) = (Amount::ZERO, 0.0);
        training.visit_body(body);
    }
    let Visit { fits, products, steps, first, .. } = training.visit;
    let work = if steps > 0 { fits + products } else { fits };
    first.map(|at| Work { operations: work.at_least, exact: work.exact, at })
}

struct Training<'a> {
    scope: Scope<'a>,
    /// Whether the program uses a library that trains models. Without one, `fit` means something else.
    learns: bool,
    /// How often each of the program's functions is called, as far as this visit has found.
    calls: BTreeMap<&'a str, Amount>,
    /// The values that parameters are given.
    arguments: BTreeMap<(&'a str, &'a str), Value<'a>>,
    visit: Visit<'a>,
    enclosing_functions: Vec<&'a str>,
}

/// What a visit of the statements has found.
struct Visit<'a> {
    /// How often each of the program's functions is called, as the previous visit found.
    callers: BTreeMap<&'a str, Amount>,
    /// The operations of all fits.
    fits: Amount,
    /// The operations of products of matrices in loops.
    products: Amount,
    /// Steps against a gradient in loops: `w -= rate * slope`.
    steps: usize,
    /// Where the first model is trained.
    first: Option<TextSize>,
    /// The number of loops around the node that is visited.
    depth: usize,
    /// How often it runs.
    times: Amount,
    /// The samples of a batch, in a loop over batches.
    batch: Option<f64>,
}

impl Default for Visit<'_> {
    fn default() -> Self {
        Self {
            callers: BTreeMap::new(),
            fits: Amount::ZERO,
            products: Amount::ZERO,
            steps: 0,
            first: None,
            depth: 0,
            times: Amount::ONE,
            batch: None,
        }
    }
}

impl<'a> Training<'a> {
    fn add_fit(&mut self, operations: Amount, at: TextSize) {
        self.visit.fits = self.visit.fits + operations * self.visit.times;
        self.visit.first = Some(self.visit.first.map_or(at, |first| first.min(at)));
    }

    /// Visits the body of a loop.
    fn visit_loop(&mut self, times: Amount, visit: impl FnOnce(&mut Self)) {
        let (outer, batch) = (self.visit.times, self.visit.batch);
        self.visit.times = outer * times;
        self.visit.depth += 1;
        visit(self);
        self.visit.depth -= 1;
        (self.visit.times, self.visit.batch) = (outer, batch);
    }

    fn visit_function(&mut self, def: &'a StmtFunctionDef) {
        def.decorator_list.iter().for_each(|decorator| self.visit_decorator(decorator));
        self.visit_parameters(&def.parameters);
        let name = def.name.as_str();
        for given in def.parameters.iter_non_variadic_params() {
            let parameter = given.parameter.name.as_str();
            if let Some(default) = given.default.as_deref() {
                self.bind_literal(parameter, default);
            }
            let default = || given.default.as_deref().and_then(|default| self.scope.value(default));
            let value = self.arguments.get(&(name, parameter)).cloned().or_else(default);
            // A parameter that is given nothing known may have the name of a variable that it is given.
            if value.is_some() || self.visit.callers.contains_key(name) {
                self.scope.bind(parameter, value);
            }
            self.scope.bound.insert(parameter);
        }
        let outer = (self.visit.depth, self.visit.times, self.visit.batch);
        let times = self.visit.callers.get(name).copied().unwrap_or(Amount::ONE);
        (self.visit.depth, self.visit.times, self.visit.batch) = (usize::from(times.at_least > 1.0), times, None);
        self.enclosing_functions.push(name);
        self.visit_body(&def.body);
        self.enclosing_functions.pop();
        (self.visit.depth, self.visit.times, self.visit.batch) = outer;
    }

    fn bind_literal(&mut self, name: &'a str, value: &'a Expr) {
        self.scope.bounds.assign(name, value);
        if let Some(literal) = self.scope.literal(value) {
            self.scope.literals.insert(name, literal);
        }
    }

    fn bind_target(&mut self, target: &'a Expr, value: Option<Value<'a>>) {
        match target {
            Expr::Name(name) => self.scope.bind(name.id.as_str(), value),
            Expr::Attribute(attribute) => self.scope.bind(attribute.attr.as_str(), value),
            Expr::Starred(starred) => self.bind_target(&starred.value, value),
            Expr::Tuple(tuple) => self.bind_targets(&tuple.elts, value),
            Expr::List(list) => self.bind_targets(&list.elts, value),
            _ => {}
        }
    }

    fn bind_targets(&mut self, targets: &'a [Expr], value: Option<Value<'a>>) {
        let parts = match value {
            Some(Value::Tuple(parts)) => parts,
            other => vec![other; targets.len()],
        };
        let rest = std::iter::repeat(None);
        for (target, part) in targets.iter().zip(parts.into_iter().chain(rest)) {
            self.bind_target(target, part);
        }
    }

    fn assign(&mut self, target: &'a Expr, value: &'a Expr) {
        match target {
            Expr::Name(name) => self.bind_literal(name.id.as_str(), value),
            Expr::Attribute(attribute) => self.bind_literal(attribute.attr.as_str(), value),
            Expr::Tuple(targets) => {
                if let Expr::Tuple(values) = value {
                    for (target, value) in targets.elts.iter().zip(&values.elts) {
                        self.assign(target, value);
                    }
                    return;
                }
            }
            _ => {}
        }
        if is_step(target, value) {
            self.add_step(value.start());
        }
        let value = self.scope.value(value);
        self.bind_target(target, value);
    }

    /// Records a step against a gradient.
    fn add_step(&mut self, at: TextSize) {
        if self.visit.depth > 0 {
            self.visit.steps += 1;
            let samples = self.visit.batch.map_or_else(|| self.scope.largest_samples(), Amount::exactly);
            self.visit.products =
                self.visit.products + self.visit.times * (samples * Amount::exactly(10.0) + Amount::exactly(2e4));
            self.visit.first.get_or_insert(at);
        }
    }

    /// Binds the targets of a loop to an element of what it iterates over.
    fn bind_element(&mut self, target: &'a Expr, iter: &'a Expr) {
        let of = match iter {
            Expr::Call(call) => match &*call.func {
                Expr::Attribute(method) if matches!(method.attr.as_str(), "items" | "values") => &*method.value,
                Expr::Name(name) if matches!(name.id.as_str(), "enumerate" | "tqdm" | "zip" | "list" | "sorted") => {
                    call.arguments.args.first().unwrap_or(iter)
                }
                _ => iter,
            },
            _ => iter,
        };
        self.bind_number(target, iter);
        let value = self.scope.value(of);
        let element = match value {
            Some(value @ Value::Model(_)) => Some(value),
            Some(Value::Tuple(elements)) => elements.into_iter().flatten().reduce(|one, other| match (one, other) {
                (Value::Tuple(one), Value::Tuple(other)) => {
                    let both = one.into_iter().zip(other);
                    Value::Tuple(
                        both.map(|(one, other)| match (one, other) {
                            (Some(one), Some(other)) => Some(one.or(other)),
                            (one, other) => one.or(other),
                        })
                        .collect(),
                    )
                }
                (one, other) => one.or(other),
            }),
            Some(Value::Batches { rows: Some(rows), .. }) => {
                self.visit.batch = Some(rows);
                Some(Value::Data(super::arrays::Shape { rows: Some(rows), columns: None }))
            }
            Some(Value::Data(_) | Value::Batches { .. }) | None => None,
        };
        self.bind_target(target, element);
    }

    /// Binds the target of a loop over numbers to the largest of them.
    fn bind_number(&mut self, target: &'a Expr, iter: &'a Expr) {
        let Expr::Name(name) = target else { return };
        let numbers: &[Expr] = match iter {
            Expr::List(list) => &list.elts,
            Expr::Tuple(tuple) => &tuple.elts,
            Expr::Call(call) if matches!(&*call.func, Expr::Name(range) if range.id == "range") => {
                let end = call.arguments.args.len().min(2);
                &call.arguments.args[end.saturating_sub(1)..end]
            }
            _ => return,
        };
        for number in numbers {
            self.scope.bounds.assign(name.id.as_str(), number);
        }
    }

    fn visit_comprehension(&mut self, generators: &'a [Comprehension], parts: &[&'a Expr]) {
        let Some((first, rest)) = generators.split_first() else {
            parts.iter().for_each(|part| self.visit_expr(part));
            return;
        };
        self.visit_expr(&first.iter);
        let times = self.scope.iterations(&first.iter);
        self.visit_loop(times, |training| {
            training.bind_element(&first.target, &first.iter);
            first.ifs.iter().for_each(|test| training.visit_expr(test));
            training.visit_comprehension(rest, parts);
        });
    }
}

/// Returns whether an assignment is a step against a gradient: `w = w - rate * slope`.
fn is_step(target: &Expr, value: &Expr) -> bool {
    let Expr::BinOp(difference) = value else { return false };
    let same = match (target, &*difference.left) {
        (Expr::Name(target), Expr::Name(left)) => target.id == left.id,
        (Expr::Attribute(target), Expr::Attribute(left)) => target.attr == left.attr,
        _ => false,
    };
    same && matches!(difference.op, Operator::Sub) && has_rate(&difference.right, MAX_STEP_DEPTH)
}

/// How many levels of a step are looked at.
const MAX_STEP_DEPTH: usize = 8;

/// Returns whether an expression is a product with a learning rate.
fn has_rate(expr: &Expr, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let is_rate = |name: &str| {
        let name = name.to_ascii_lowercase();
        matches!(name.as_str(), "lr" | "alpha" | "eta" | "step" | "step_size" | "stepsize") || name.ends_with("rate")
    };
    match expr {
        Expr::BinOp(product) if matches!(product.op, Operator::Mult | Operator::MatMult | Operator::Div) => {
            has_rate(&product.left, depth) || has_rate(&product.right, depth)
        }
        Expr::NumberLiteral(literal) => matches!(literal.value, Number::Float(_)),
        Expr::Name(name) => is_rate(&name.id),
        Expr::Attribute(attribute) => is_rate(attribute.attr.as_str()),
        _ => false,
    }
}

impl<'a> Visitor<'a> for Training<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(def) => self.visit_function(def),
            Stmt::Assign(assign) => {
                self.visit_expr(&assign.value);
                assign.targets.iter().for_each(|target| self.assign(target, &assign.value));
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    self.visit_expr(value);
                    self.assign(&assign.target, value);
                }
            }
            Stmt::AugAssign(assign) => {
                self.visit_expr(&assign.value);
                if matches!(assign.op, Operator::Sub) && has_rate(&assign.value, MAX_STEP_DEPTH) {
                    self.add_step(assign.start());
                }
            }
            Stmt::For(each) => {
                self.visit_expr(&each.iter);
                let times = self.scope.iterations(&each.iter);
                self.visit_loop(times, |training| {
                    training.bind_element(&each.target, &each.iter);
                    training.visit_body(&each.body);
                });
                self.visit_body(&each.orelse);
            }
            Stmt::While(each) => {
                self.visit_loop(Amount::UNKNOWN, |training| {
                    training.visit_expr(&each.test);
                    training.visit_body(&each.body);
                });
                self.visit_body(&each.orelse);
            }
            Stmt::Return(returned) => {
                let Some(value) = returned.value.as_deref() else { return };
                self.visit_expr(value);
                if let (Some(value), Some(function)) = (self.scope.value(value), self.enclosing_functions.last()) {
                    let joined = match self.scope.returns.remove(function) {
                        Some(before) => before.or(value),
                        None => value,
                    };
                    self.scope.returns.insert(function, joined);
                }
            }
            _ => visitor::walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Call(call) => {
                self.add_call(call);
                visitor::walk_expr(self, expr);
            }
            Expr::BinOp(product) if matches!(product.op, Operator::MatMult) => {
                if self.visit.depth > 0 {
                    let shape = |side: &'a Expr| self.scope.value(side).and_then(|value| value.shape());
                    let (left, right) = (shape(&product.left), shape(&product.right));
                    self.add_product(left.unwrap_or_default(), right.unwrap_or_default());
                }
                visitor::walk_expr(self, expr);
            }
            Expr::ListComp(list) => self.visit_comprehension(&list.generators, &[&list.elt]),
            Expr::SetComp(set) => self.visit_comprehension(&set.generators, &[&set.elt]),
            Expr::Generator(generator) => self.visit_comprehension(&generator.generators, &[&generator.elt]),
            Expr::Named(named) => {
                self.visit_expr(&named.value);
                self.assign(&named.target, &named.value);
            }
            _ => visitor::walk_expr(self, expr),
        }
    }
}
