//! Functions, classes and what decorates them.

use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{Decorator, Expr, Stmt, StmtClassDef, StmtFunctionDef};
use ruff_text_size::{Ranged, TextSize};

use super::forms::is_special;
use super::{Fields, Walk};
use crate::analyse::python::imports::Path;
use crate::analyse::python::verdict::allowed;
use crate::analyse::python::verdict::hazard::Place;

impl<'a> Walk<'a, '_> {
    pub(super) fn decorators(&mut self, decorators: &'a [Decorator]) {
        for decorator in decorators {
            let (expr, arguments) = match &decorator.expression {
                Expr::Call(call) => (&*call.func, Some(&call.arguments)),
                expr => (expr, None),
            };
            let path = self.path(expr);
            let fits = match (expr, path.as_ref().map(Path::segments)) {
                (_, Some(["functools", "lru_cache" | "cache" | "total_ordering" | "cached_property"])) => true,
                (_, Some(["abc", "abstractmethod"] | ["enum", "unique"])) => true,
                (_, Some(["dataclasses", "dataclass"])) => arguments.is_none_or(|given| {
                    given.args.is_empty()
                        && given.keywords.iter().all(|keyword| {
                            keyword.arg.as_ref().is_some_and(|name| {
                                matches!(name.as_str(), "frozen" | "eq" | "order" | "unsafe_hash" | "slots" | "kw_only")
                            })
                        })
                }),
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
            // Its objects are ordered by some of their fields, or told apart by some.
            self.own_order |= path.as_ref().is_some_and(|path| path.segments() == ["dataclasses", "dataclass"])
                && arguments.is_some_and(|given| !given.keywords.is_empty());
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
            && matches!(
                def.name.as_str(),
                "__del__" | "__hash__" | "__init_subclass__" | "__class_getitem__" | "__deepcopy__"
            )
        {
            self.reasons.add(def.start(), || format!("Python calls {} when it sees fit", def.name.as_str()));
        }
        if self.own.generators.contains(def.name.as_str()) && def.name.starts_with("__") && &def.name != "__iter__" {
            self.no(def.start(), "Python makes an iterator of its own accord");
        }
        let by_class = def.name.as_str() == "__new__"
            || def
                .decorator_list
                .iter()
                .any(|decorator| matches!(&decorator.expression, Expr::Name(name) if name.id == "classmethod"));
        let first = def.parameters.posonlyargs.first().or(def.parameters.args.first());
        if by_class && !self.own.properties.is_empty() && first.is_none_or(|own| own.parameter.name.as_str() != "cls") {
            self.no(def.start(), "a property may be asked of its class");
        }
        self.decorators(&def.decorator_list);
        self.visit_parameters(&def.parameters);
        def.returns.iter().for_each(|returns| self.visit_annotation(returns));
        let in_class = std::mem::replace(&mut self.in_class, false);
        self.functions += 1;
        self.visit_body(&def.body);
        self.functions -= 1;
        self.in_class = in_class;
    }

    pub(super) fn class(&mut self, class: &'a StmtClassDef) {
        self.decorators(&class.decorator_list);
        let data = class.decorator_list.iter().any(|decorator| {
            let expr = match &decorator.expression {
                Expr::Call(call) => &*call.func,
                expr => expr,
            };
            self.path(expr).is_some_and(|path| path.segments() == ["dataclasses", "dataclass"])
        });
        let mut prints = data
            || class
                .body
                .iter()
                .any(|statement| matches!(statement, Stmt::FunctionDef(def) if &def.name == "__repr__"));
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
        let outer = (self.in_class, self.fields);
        let lists = class.arguments.as_ref().is_some_and(|bases| {
            bases.args.iter().any(|base| {
                matches!(base, Expr::Name(name) if name.id.ends_with("Enum") || name.id.ends_with("Flag"))
                    || matches!(base, Expr::Attribute(name) if name.attr.ends_with("Enum") || name.attr.ends_with("Flag"))
            })
        });
        (self.in_class, self.fields) = (true, Fields { data, lists });
        for statement in &class.body {
            self.member(statement);
        }
        (self.in_class, self.fields) = outer;
    }

    /// A statement directly in a class. What stands for a field, or for a value that is to be chosen, is an object that
    /// shows an address until the class has been made of it.
    fn member(&mut self, statement: &'a Stmt) {
        let leads_to = |expr: &'a Expr, wanted: [&str; 2]| {
            let Expr::Call(call) = expr else { return None };
            (self.path(&call.func)?.segments() == wanted).then_some(call)
        };
        match statement {
            Stmt::AnnAssign(assign) if self.fields.data => {
                let field = assign.value.as_deref().and_then(|value| leads_to(value, ["dataclasses", "field"]));
                if let (Some(call), Expr::Name(name)) = (field, &*assign.target) {
                    self.visit_annotation(&assign.annotation);
                    self.special(name.id.as_str(), name.start());
                    return self.plain_arguments(&call.arguments);
                }
            }
            Stmt::Assign(assign) if self.fields.lists => {
                if let ([Expr::Name(name)], Some(_)) = (&*assign.targets, leads_to(&assign.value, ["enum", "auto"])) {
                    return self.special(name.id.as_str(), name.start());
                }
            }
            _ => {}
        }
        self.visit_stmt(statement);
    }

    /// A name that means something to Python is given to something in a class, other than by a definition.
    pub(super) fn special(&mut self, name: &str, at: TextSize) {
        if is_special(name) && !matches!(name, "__slots__" | "__doc__") {
            self.no(at, "a class changes what Python does with its objects");
        }
    }
}
