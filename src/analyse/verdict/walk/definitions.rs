//! Functions, classes and what decorates them.

use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{Decorator, Expr, Stmt, StmtClassDef, StmtFunctionDef};
use ruff_text_size::Ranged;

use super::Walk;
use crate::analyse::imports::Path;
use crate::analyse::verdict::allowed;
use crate::analyse::verdict::hazard::Place;

impl<'a> Walk<'a, '_> {
    pub(super) fn decorators(&mut self, decorators: &'a [Decorator]) {
        for decorator in decorators {
            let (expr, arguments) = match &decorator.expression {
                Expr::Call(call) => (&*call.func, Some(&call.arguments)),
                expr => (expr, None),
            };
            let path = self.imports.path(expr);
            let fits = match (expr, path.as_ref().map(Path::segments)) {
                (_, Some(["functools", "lru_cache" | "cache" | "total_ordering" | "cached_property"])) => true,
                (_, Some(["abc", "abstractmethod"] | ["enum", "unique"])) => true,
                (_, Some(["dataclasses", "dataclass"])) => {
                    arguments.is_none_or(|given| given.find_keyword("repr").is_none())
                }
                (_, Some(_)) => false,
                (Expr::Name(name), None) => {
                    arguments.is_none()
                        && matches!(name.id.as_str(), "property" | "staticmethod" | "classmethod")
                        && !self.own.bound.contains(name.id.as_str())
                }
                (Expr::Attribute(attribute), None) => {
                    matches!(attribute.attr.as_str(), "setter" | "getter" | "deleter")
                }
                _ => false,
            };
            if !fits {
                self.no(decorator.start(), "a decorator changes what a name stands for");
            }
            arguments.into_iter().for_each(|arguments| self.plain_arguments(arguments));
        }
    }

    pub(super) fn function(&mut self, def: &'a StmtFunctionDef) {
        if def.is_async {
            self.no(def.start(), "it runs asynchronously");
        }
        if self.in_class
            && matches!(def.name.as_str(), "__del__" | "__hash__" | "__init_subclass__" | "__class_getitem__")
        {
            self.reasons.add(def.start(), || format!("Python calls {} when it sees fit", def.name.as_str()));
        }
        if self.own.generators.contains(def.name.as_str()) && def.name.starts_with("__") && &def.name != "__iter__" {
            self.no(def.start(), "Python makes an iterator of its own accord");
        }
        self.decorators(&def.decorator_list);
        self.visit_parameters(&def.parameters);
        def.returns.iter().for_each(|returns| self.visit_annotation(returns));
        let in_class = std::mem::replace(&mut self.in_class, false);
        self.visit_body(&def.body);
        self.in_class = in_class;
    }

    pub(super) fn class(&mut self, class: &'a StmtClassDef) {
        self.decorators(&class.decorator_list);
        let mut prints = class.decorator_list.iter().any(|decorator| {
            let expr = match &decorator.expression {
                Expr::Call(call) => &*call.func,
                expr => expr,
            };
            self.imports.path(expr).is_some_and(|path| path.segments() == ["dataclasses", "dataclass"])
        });
        prints |=
            class.body.iter().any(|statement| matches!(statement, Stmt::FunctionDef(def) if &def.name == "__repr__"));
        if let Some(arguments) = &class.arguments {
            if !arguments.keywords.is_empty() {
                self.no(class.start(), "a class is made in a way of its own");
            }
            for base in &arguments.args {
                let (own, name) = match base {
                    Expr::Name(name) => (self.own.bound.contains(name.id.as_str()), name.id.as_str()),
                    Expr::Attribute(attribute) => (false, attribute.attr.as_str()),
                    Expr::Subscript(generic) if matches!(&*generic.value, Expr::Name(name) if name.id == "Generic") => {
                        (false, "Generic")
                    }
                    _ => (false, ""),
                };
                match (own, name) {
                    // Its own definition was looked at.
                    (true, name) if self.own.classes.contains(name) && !self.imports.binds(name) => prints = true,
                    (false, name) if allowed::base(name) => prints = true,
                    (false, "object" | "ABC" | "Generic" | "Protocol") => {}
                    _ => self.no(class.start(), "nothing certain is known of what a class inherits"),
                }
                if name != "object" {
                    self.visit_in(Place::Type, base);
                }
            }
        }
        if !prints {
            self.reasons.add(class.start(), || {
                format!("{} has no __repr__: its objects print their address", class.name.as_str())
            });
        }
        let in_class = std::mem::replace(&mut self.in_class, true);
        self.visit_body(&class.body);
        self.in_class = in_class;
    }
}
