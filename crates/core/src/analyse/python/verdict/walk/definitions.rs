//! Definitions of functions and classes, and their decorators.

use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{Decorator, Expr, Stmt, StmtClassDef, StmtFunctionDef};
use ruff_text_size::{Ranged, TextSize};

use super::forms::is_special;
use super::{ClassKind, Walk};
use crate::analyse::python::imports::DottedPath;
use crate::analyse::python::verdict::allowed;
use crate::analyse::python::verdict::hazard::Usage;

impl<'a> Walk<'a, '_> {
    pub(super) fn visit_decorators(&mut self, decorators: &'a [Decorator]) {
        for decorator in decorators {
            let (expr, arguments) = match &decorator.expression {
                Expr::Call(call) => (&*call.func, Some(&call.arguments)),
                expr => (expr, None),
            };
            let path = self.resolve(expr);
            let is_allowed = match (expr, path.as_ref().map(DottedPath::segments)) {
                (_, Some(["functools", "lru_cache" | "cache" | "total_ordering" | "cached_property"])) => true,
                (_, Some(["abc", "abstractmethod"] | ["enum", "unique"])) => true,
                (_, Some(["dataclasses", "dataclass"])) => arguments.is_none_or(|arguments| {
                    arguments.args.is_empty()
                        && arguments.keywords.iter().all(|keyword| {
                            keyword.arg.as_ref().is_some_and(|name| {
                                matches!(name.as_str(), "frozen" | "eq" | "order" | "unsafe_hash" | "slots" | "kw_only")
                            })
                        })
                }),
                (_, Some(_)) => false,
                (Expr::Name(name), None) => {
                    arguments.is_none()
                        && matches!(name.id.as_str(), "property" | "staticmethod" | "classmethod")
                        && !self.definitions.bound.contains(name.id.as_str())
                }
                (Expr::Attribute(attribute), None) => {
                    matches!(attribute.attr.as_str(), "setter" | "getter" | "deleter")
                }
                _ => false,
            };
            // Its instances may be ordered or compared by some of their fields only.
            self.overrides_ordering |=
                path.as_ref().is_some_and(|path| path.segments() == ["dataclasses", "dataclass"])
                    && arguments.is_some_and(|arguments| !arguments.keywords.is_empty());
            if !is_allowed {
                self.reject(decorator.start(), "a decorator may replace the function or class");
            }
            arguments.into_iter().for_each(|arguments| self.visit_plain_arguments(arguments));
        }
    }

    pub(super) fn visit_function(&mut self, def: &'a StmtFunctionDef) {
        if def.is_async {
            self.reject(def.start(), "it uses asynchronous code");
        }
        if self.in_class
            && matches!(
                def.name.as_str(),
                "__del__" | "__hash__" | "__init_subclass__" | "__class_getitem__" | "__deepcopy__"
            )
        {
            self.reasons.add(def.start(), || format!("Python may call {} at any time", def.name.as_str()));
        }
        if self.definitions.generators.contains(def.name.as_str())
            && def.name.starts_with("__")
            && &def.name != "__iter__"
        {
            self.reject(def.start(), "Python may create an iterator implicitly");
        }
        let is_class_bound = def.name.as_str() == "__new__"
            || def
                .decorator_list
                .iter()
                .any(|decorator| matches!(&decorator.expression, Expr::Name(name) if name.id == "classmethod"));
        let first = def.parameters.posonlyargs.first().or(def.parameters.args.first());
        if is_class_bound
            && !self.definitions.properties.is_empty()
            && first.is_none_or(|own| own.parameter.name.as_str() != "cls")
        {
            self.reject(def.start(), "a property may be read on its class");
        }
        self.visit_decorators(&def.decorator_list);
        self.visit_parameters(&def.parameters);
        def.returns.iter().for_each(|returns| self.visit_annotation(returns));
        let in_class = std::mem::replace(&mut self.in_class, false);
        self.function_depth += 1;
        self.visit_body(&def.body);
        self.function_depth -= 1;
        self.in_class = in_class;
    }

    pub(super) fn visit_class(&mut self, class: &'a StmtClassDef) {
        self.visit_decorators(&class.decorator_list);
        let is_dataclass = class.decorator_list.iter().any(|decorator| {
            let expr = match &decorator.expression {
                Expr::Call(call) => &*call.func,
                expr => expr,
            };
            self.resolve(expr).is_some_and(|path| path.segments() == ["dataclasses", "dataclass"])
        });
        let mut has_repr = is_dataclass
            || class
                .body
                .iter()
                .any(|statement| matches!(statement, Stmt::FunctionDef(def) if &def.name == "__repr__"));
        if let Some(arguments) = &class.arguments {
            if !arguments.keywords.is_empty() {
                self.reject(class.start(), "a class has keyword arguments, such as a metaclass");
            }
            for base in &arguments.args {
                let (own, name) = match base {
                    Expr::Name(name) => (self.definitions.bound.contains(name.id.as_str()), name.id.as_str()),
                    Expr::Attribute(attribute) => (false, attribute.attr.as_str()),
                    Expr::Subscript(generic) if matches!(&*generic.value, Expr::Name(name) if name.id == "Generic") => {
                        (false, "Generic")
                    }
                    _ => (false, ""),
                };
                match (own, name) {
                    // Its definition is checked like this one.
                    (true, name) if self.definitions.classes.contains(name) && !self.imports.is_bound(name) => {
                        has_repr = true;
                    }
                    (false, name) if allowed::is_safe_base(name) => has_repr = true,
                    (false, "object" | "ABC" | "Generic" | "Protocol") => {}
                    _ => self.reject(class.start(), "a base class is not known to be deterministic"),
                }
                if name != "object" {
                    self.visit_as(Usage::Type, base);
                }
            }
        }
        if !has_repr {
            self.reasons.add(class.start(), || {
                format!("{} has no __repr__: its objects print their address", class.name.as_str())
            });
        }
        let outer = (self.in_class, self.class_kind);
        let is_enum = class.arguments.as_ref().is_some_and(|bases| {
            bases.args.iter().any(|base| {
                matches!(base, Expr::Name(name) if name.id.ends_with("Enum") || name.id.ends_with("Flag"))
                    || matches!(base, Expr::Attribute(name) if name.attr.ends_with("Enum") || name.attr.ends_with("Flag"))
            })
        });
        (self.in_class, self.class_kind) = (true, ClassKind { is_dataclass, is_enum });
        for statement in &class.body {
            self.visit_class_member(statement);
        }
        (self.in_class, self.class_kind) = outer;
    }

    /// Visits a statement directly in a class. `field(…)` and `auto()` are allowed there: they are objects that print
    /// an address, but creating the class replaces them.
    fn visit_class_member(&mut self, statement: &'a Stmt) {
        let leads_to = |expr: &'a Expr, wanted: [&str; 2]| {
            let Expr::Call(call) = expr else { return None };
            (self.resolve(&call.func)?.segments() == wanted).then_some(call)
        };
        match statement {
            Stmt::AnnAssign(assign) if self.class_kind.is_dataclass => {
                let field = assign.value.as_deref().and_then(|value| leads_to(value, ["dataclasses", "field"]));
                if let (Some(call), Expr::Name(name)) = (field, &*assign.target) {
                    self.visit_annotation(&assign.annotation);
                    self.check_special_name(name.id.as_str(), name.start());
                    return self.visit_plain_arguments(&call.arguments);
                }
            }
            Stmt::Assign(assign) if self.class_kind.is_enum => {
                if let ([Expr::Name(name)], Some(_)) = (&*assign.targets, leads_to(&assign.value, ["enum", "auto"])) {
                    return self.check_special_name(name.id.as_str(), name.start());
                }
            }
            _ => {}
        }
        self.visit_stmt(statement);
    }

    /// Checks the assignment of a special name in a class.
    pub(super) fn check_special_name(&mut self, name: &str, at: TextSize) {
        if is_special(name) && !matches!(name, "__slots__" | "__doc__") {
            self.reject(at, "a class assigns a special name, which changes its instances");
        }
    }
}
