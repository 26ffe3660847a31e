//! The effects of calls and of reads of known names.

use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{Expr, ExprCall};
use ruff_text_size::{Ranged, TextSize};

use super::Survey;
use super::forms::{has_literal_seed, is_number_literal, string_literal};
use crate::analyse::profile::{FileScope, StaticEffect};
use crate::analyse::python::modules::{self, RandomOperation};
use crate::analyse::python::random::{Execution, Scope};
use crate::analyse::python::{arrays, files, imports, pip};

impl<'a> Survey<'a> {
    /// Records a read of a path.
    pub(super) fn add_read(&mut self, path: &[&str], at: TextSize) {
        match path {
            [] | [_] => return,
            ["sys", "stdin", ..] => self.add_input_read(at),
            _ => {}
        }
        if let Some(effect) = modules::effect(path) {
            if effect != StaticEffect::Files {
                self.add_effect(effect, at);
            } else if self.effects[StaticEffect::Files as usize].is_none() {
                self.add_file(FileScope::Computed, at);
            }
        }
        match modules::random_operation(path) {
            RandomOperation::SystemEntropy => self.random_draws.draw_system_entropy(at),
            RandomOperation::Draw(shared) => self.random_draws.draw(shared, at, self.scope()),
            // It is not called here, so its arguments are unknown.
            RandomOperation::Seed(_) | RandomOperation::CreateGenerator => self.random_draws.draw_system_entropy(at),
            RandomOperation::None => {}
        }
    }

    /// Records a call of a path.
    pub(super) fn add_path_call(&mut self, path: &[&str], call: &'a ExprCall) {
        let at = call.start();
        match modules::random_operation(path) {
            RandomOperation::Seed(shared) if has_literal_seed(call) => {
                // The arguments are evaluated before the generator is seeded.
                self.random_draws.seed(shared, call.end(), self.execution(at));
            }
            RandomOperation::CreateGenerator if has_literal_seed(call) => {}
            // A tier that has pip answers it without a process.
            _ if pip::is_started(path, call) => self.dynamic_imports.push((pip::MODULE, at)),
            _ if modules::effect(path) == Some(StaticEffect::Files) => {
                let target = files::target(call.arguments.args.first());
                self.add_file_target(target, at);
                if modules::random_operation(path) == RandomOperation::SystemEntropy {
                    self.random_draws.draw_system_entropy(at);
                }
            }
            _ => self.add_read(path, at),
        }
        self.add_array(arrays::elements(path, call, &self.bounds), at);
        match path {
            ["math", "factorial" | "comb" | "perm", ..] => {
                let size = call.arguments.args.first().and_then(|size| self.bounds.number(size));
                self.allocation.raise_to(size.unwrap_or(0.0), at);
            }
            ["matplotlib" | "seaborn" | "plotly", _, ..] => self.plotting_calls.increment(at),
            ["itertools", "permutations" | "product" | "combinations", ..] => {
                let iterations = self.bounds.selections(path[1], call);
                self.iterations.raise_to(iterations * self.enclosing_iterations, at);
            }
            ["collections", "namedtuple"] => self.definitions.add_named_tuple(call),
            ["importlib", "import_module"] => {
                self.dynamic_imports
                    .extend(call.arguments.args.first().and_then(string_literal).map(|module| (module, at)));
            }
            _ => {}
        }
    }

    /// Records the creation of an array with this number of elements.
    pub(super) fn add_array(&mut self, elements: Option<f64>, at: TextSize) {
        if let Some(elements) = elements {
            self.allocation.raise_to(elements, at);
            self.elements += elements;
        }
    }

    /// Returns whether a call at this position certainly runs.
    fn execution(&self, at: TextSize) -> Execution {
        if self.certain_calls.contains(&at) { Execution::Certain } else { Execution::Possible }
    }

    /// Returns whether the node that is being visited is in a function.
    pub(super) fn scope(&self) -> Scope {
        if self.enclosing_functions.is_empty() { Scope::Module } else { Scope::Function }
    }

    pub(super) fn add_input_read(&mut self, at: TextSize) {
        self.input_read = Some(self.input_read.map_or(at, |before| before.min(at)));
    }

    pub(super) fn add_file(&mut self, scope: FileScope, at: TextSize) {
        self.files = self.files.max(scope);
        self.add_effect(StaticEffect::Files, at);
    }

    pub(super) fn add_file_target(&mut self, target: files::FileTarget, at: TextSize) {
        match target {
            files::FileTarget::Memory => {}
            files::FileTarget::Network => self.add_effect(StaticEffect::Network, at),
            files::FileTarget::File(scope) => self.add_file(scope, at),
        }
    }

    pub(super) fn add_name_call(&mut self, name: &'a str, call: &'a ExprCall) {
        let at = call.start();
        match name {
            "open" => {
                self.uncalled_opens -= 1;
                self.add_file_target(files::target(call.arguments.args.first()), at);
            }
            "range" => {
                let iterations = self.bounds.range(call).unwrap_or(0.0);
                self.iterations.raise_to(iterations * self.enclosing_iterations, at);
            }
            "exec" | "eval" | "compile" => self.dynamic_code.increment(at),
            "__import__" => {
                self.dynamic_imports
                    .extend(call.arguments.args.first().and_then(string_literal).map(|module| (module, at)));
            }
            "display" if !self.definitions.bound.contains(name) => self.add_effect(StaticEffect::Display, at),
            _ => {}
        }
        if self.enclosing_functions.contains(&name) {
            self.recursion.increment(at);
        }
    }

    pub(super) fn add_method_call(&mut self, name: &'a str, receiver: &'a Expr, call: &'a ExprCall) {
        let at = call.start();
        match name {
            "fit" | "fit_transform" | "fit_predict" | "backward" | "train" | "partial_fit" => {
                self.training_calls.increment(at);
            }
            "plot" | "hist" | "scatter" | "bar" | "boxplot" | "savefig" | "set_title" | "imshow" => {
                self.plotting_calls.increment(at);
            }
            "show" if call.arguments.args.is_empty() => self.add_effect(StaticEffect::Display, at),
            "sample" | "rvs"
                if !call.arguments.find_keyword("random_state").is_some_and(|seed| is_number_literal(&seed.value)) =>
            {
                self.random_draws.draw_system_entropy(at);
            }
            _ => {}
        }
        self.add_array(arrays::drawn_elements(name, call, &self.bounds), at);
        match modules::method_effect(name) {
            Some(StaticEffect::Files) if name.starts_with("to_") => {
                if let Some(target) = call.arguments.args.first() {
                    self.add_file_target(files::target(Some(target)), at);
                }
            }
            Some(StaticEffect::Files) if name == "savefig" => {
                self.add_file_target(files::target(call.arguments.args.first()), at);
            }
            Some(StaticEffect::Files) => self.add_file_target(files::target(Some(receiver)), at),
            Some(effect) => self.add_effect(effect, at),
            None => {}
        }
        if self.enclosing_functions.contains(&name)
            && matches!(receiver, Expr::Name(own) if own.id == "self" || own.id == "cls")
        {
            self.recursion.increment(at);
        }
    }

    pub(super) fn visit_call(&mut self, call: &'a ExprCall) {
        self.calls += 1.0;
        if let Some(path) = self.imports.resolve(&call.func) {
            self.check_path(path.segments());
            self.add_path_call(path.segments(), call);
            self.add_dynamic_import_of(&call.func);
        } else {
            match &*call.func {
                Expr::Name(name) => {
                    self.add_name_call(name.id.as_str(), call);
                    self.visit_expr(&call.func);
                }
                Expr::Attribute(attribute) => {
                    self.add_method_call(attribute.attr.as_str(), &attribute.value, call);
                    self.visit_expr(&attribute.value);
                }
                other => self.visit_expr(other),
            }
        }
        self.visit_arguments(&call.arguments);
    }

    /// Records the dynamic import that a path begins with, if it does.
    pub(super) fn add_dynamic_import_of(&mut self, expr: &'a Expr) {
        let mut expr = expr;
        while let Expr::Attribute(attribute) = expr {
            expr = &attribute.value;
        }
        if let Expr::Call(call) = expr {
            if let Some(module) = imports::dynamic_import(expr) {
                self.dynamic_imports.push((module, call.start()));
            } else if let Some(object) = call.arguments.args.first() {
                self.add_dynamic_import_of(object);
            }
        }
    }
}
