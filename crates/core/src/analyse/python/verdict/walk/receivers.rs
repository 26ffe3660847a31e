//! Whether `self` and `cls` always are the instance or class that a method is called on.

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Expr, Stmt, StmtFunctionDef};

use crate::analyse::python::definitions::Definitions;

/// What is known of `self` and `cls`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Receivers {
    /// Every binding of `self` is the first parameter of a method, and no method is read on its class.
    pub(super) self_is_instance: bool,
    /// Every binding of `cls` is the first parameter of a class method or of `__new__`.
    pub(super) cls_is_class: bool,
}

struct ReceiverSearch<'a, 'd> {
    definitions: &'d Definitions<'a>,
    /// The number of methods whose first parameter is `self`.
    instance_methods: usize,
    /// The number of class methods whose first parameter is `cls`.
    class_methods: usize,
    /// Whether a method is read on its class, so that it may be called on any object.
    has_unbound_method: bool,
}

impl Receivers {
    pub(super) fn find<'a>(body: &'a [Stmt], definitions: &Definitions<'a>) -> Self {
        let mut search =
            ReceiverSearch { definitions, instance_methods: 0, class_methods: 0, has_unbound_method: false };
        search.visit_body(body);
        let all = |name: &str, found: usize| definitions.binding_counts.get(name).copied().unwrap_or_default() == found;
        Self {
            self_is_instance: all("self", search.instance_methods) && !search.has_unbound_method,
            cls_is_class: all("cls", search.class_methods),
        }
    }
}

impl ReceiverSearch<'_, '_> {
    fn count(&mut self, def: &StmtFunctionDef) {
        let decorated = |wanted: &str| {
            let is = |decorator: &Expr| matches!(decorator, Expr::Name(name) if name.id == wanted);
            def.decorator_list.iter().any(|decorator| is(&decorator.expression))
        };
        let first = def.parameters.posonlyargs.first().or(def.parameters.args.first());
        match first.map(|first| first.parameter.name.as_str()) {
            Some("self") if !decorated("staticmethod") && !decorated("classmethod") => self.instance_methods += 1,
            Some("cls") if decorated("classmethod") || def.name.as_str() == "__new__" => self.class_methods += 1,
            _ => {}
        }
    }
}

impl<'a> Visitor<'a> for ReceiverSearch<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if let Stmt::ClassDef(class) = statement {
            for inside in &class.body {
                if let Stmt::FunctionDef(def) = inside {
                    self.count(def);
                }
            }
        }
        visitor::walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Attribute(attribute) = expr
            && let Expr::Name(name) = &*attribute.value
            && self.definitions.classes.contains(name.id.as_str())
            && self.definitions.methods.contains(attribute.attr.as_str())
        {
            self.has_unbound_method = true;
        }
        visitor::walk_expr(self, expr);
    }
}
