//! What calls and reads of known names say.

use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{Expr, ExprCall};
use ruff_text_size::{Ranged, TextSize};

use super::Survey;
use super::forms::{is_number, is_seed, literal};
use crate::analyse::profile::{Reach, StaticEffect};
use crate::analyse::python::modules::{self, Chance};
use crate::analyse::python::{arrays, files, imports};

impl<'a> Survey<'a> {
    /// A path is read, with or without being called.
    pub(super) fn read(&mut self, path: &[&str], at: TextSize) {
        match path {
            [] | [_] => return,
            ["sys", "stdin", ..] => self.reads_input(at),
            _ => {}
        }
        if let Some(effect) = modules::effect(path) {
            if effect != StaticEffect::Files {
                self.saw(effect, at);
            } else if self.effects[StaticEffect::Files as usize].is_none() {
                self.file(Reach::Unseen, at);
            }
        }
        match modules::chance(path) {
            Chance::Fresh => self.draws.fresh(at),
            Chance::Draws(shared) => self.draws.draw(shared, at, !self.inside.is_empty()),
            // Not called here, so nobody knows with what.
            Chance::Seeds(_) | Chance::Makes => self.draws.fresh(at),
            Chance::None => {}
        }
    }

    /// A path is called.
    pub(super) fn called(&mut self, path: &[&str], call: &'a ExprCall) {
        let at = call.start();
        match modules::chance(path) {
            Chance::Seeds(shared) if is_seed(call) => {
                // Its arguments are evaluated before it seeds.
                self.draws.seed(shared, call.end(), self.certain.contains(&at));
            }
            Chance::Makes if is_seed(call) => {}
            _ if modules::effect(path) == Some(StaticEffect::Files) => {
                let place = files::place(call.arguments.args.first());
                self.reached(place, at);
                if modules::chance(path) == Chance::Fresh {
                    self.draws.fresh(at);
                }
            }
            _ => self.read(path, at),
        }
        self.makes(arrays::elements(path, call, &self.bounds), at);
        match path {
            ["math", "factorial" | "comb" | "perm", ..] => {
                let size = call.arguments.args.first().and_then(|size| self.bounds.number(size));
                self.allocation.raise(size.unwrap_or(0.0), at);
            }
            ["matplotlib" | "seaborn" | "plotly", _, ..] => self.drawing.more(at),
            ["itertools", "permutations" | "product" | "combinations", ..] => {
                let rounds = self.bounds.selections(path[1], call);
                self.iterations.raise(rounds * self.rounds, at);
            }
            ["collections", "namedtuple"] => self.own.named_tuple(call),
            ["importlib", "import_module"] => {
                self.dynamic.extend(call.arguments.args.first().and_then(literal).map(|module| (module, at)));
            }
            _ => {}
        }
    }

    /// An array of this many elements is made.
    pub(super) fn makes(&mut self, elements: Option<f64>, at: TextSize) {
        if let Some(elements) = elements {
            self.allocation.raise(elements, at);
            self.elements += elements;
        }
    }

    pub(super) fn reads_input(&mut self, at: TextSize) {
        self.input = Some(self.input.map_or(at, |before| before.min(at)));
    }

    pub(super) fn file(&mut self, reach: Reach, at: TextSize) {
        self.files = self.files.max(reach);
        self.saw(StaticEffect::Files, at);
    }

    pub(super) fn reached(&mut self, place: files::Place, at: TextSize) {
        match place {
            files::Place::Nowhere => {}
            files::Place::Network => self.saw(StaticEffect::Network, at),
            files::Place::File(reach) => self.file(reach, at),
        }
    }

    pub(super) fn builtin(&mut self, name: &'a str, call: &'a ExprCall) {
        let at = call.start();
        match name {
            "open" => {
                self.opens -= 1;
                self.reached(files::place(call.arguments.args.first()), at);
            }
            "range" => {
                let rounds = self.bounds.range(call).unwrap_or(0.0);
                self.iterations.raise(rounds * self.rounds, at);
            }
            "exec" | "eval" | "compile" => self.dynamic_code.more(at),
            "__import__" => {
                self.dynamic.extend(call.arguments.args.first().and_then(literal).map(|module| (module, at)));
            }
            "display" if !self.own.bound.contains(name) => self.saw(StaticEffect::Display, at),
            _ => {}
        }
        if self.inside.contains(&name) {
            self.recursion.more(at);
        }
    }

    pub(super) fn method(&mut self, name: &'a str, receiver: &'a Expr, call: &'a ExprCall) {
        let at = call.start();
        match name {
            "fit" | "fit_transform" | "fit_predict" | "backward" | "train" | "partial_fit" => self.training.more(at),
            "plot" | "hist" | "scatter" | "bar" | "boxplot" | "savefig" | "set_title" | "imshow" => {
                self.drawing.more(at);
            }
            "show" if call.arguments.args.is_empty() => self.saw(StaticEffect::Display, at),
            "sample" | "rvs"
                if !call.arguments.find_keyword("random_state").is_some_and(|seed| is_number(&seed.value)) =>
            {
                self.draws.fresh(at);
            }
            _ => {}
        }
        self.makes(arrays::drawn(name, call, &self.bounds), at);
        match modules::method_effect(name) {
            Some(StaticEffect::Files) if name.starts_with("to_") => {
                if let Some(target) = call.arguments.args.first() {
                    self.reached(files::place(Some(target)), at);
                }
            }
            Some(StaticEffect::Files) if name == "savefig" => {
                self.reached(files::place(call.arguments.args.first()), at);
            }
            Some(StaticEffect::Files) => self.reached(files::place(Some(receiver)), at),
            Some(effect) => self.saw(effect, at),
            None => {}
        }
        if self.inside.contains(&name) && matches!(receiver, Expr::Name(own) if own.id == "self" || own.id == "cls") {
            self.recursion.more(at);
        }
    }

    pub(super) fn call(&mut self, call: &'a ExprCall) {
        self.calls += 1.0;
        if let Some(path) = self.imports.path(&call.func) {
            self.passes(path.segments());
            self.called(path.segments(), call);
            self.root(&call.func);
        } else {
            match &*call.func {
                Expr::Name(name) => {
                    self.builtin(name.id.as_str(), call);
                    self.visit_expr(&call.func);
                }
                Expr::Attribute(attribute) => {
                    self.method(attribute.attr.as_str(), &attribute.value, call);
                    self.visit_expr(&attribute.value);
                }
                other => self.visit_expr(other),
            }
        }
        self.visit_arguments(&call.arguments);
    }

    /// What a path that was followed begins with may be an import by a call.
    pub(super) fn root(&mut self, expr: &'a Expr) {
        let mut expr = expr;
        while let Expr::Attribute(attribute) = expr {
            expr = &attribute.value;
        }
        if let Expr::Call(call) = expr {
            if let Some(module) = imports::dynamic(expr) {
                self.dynamic.push((module, call.start()));
            } else if let Some(object) = call.arguments.args.first() {
                self.root(object);
            }
        }
    }
}
