//! Whether `self` and `cls` are what they look like: the object or class of the program's own that a method is called on.

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Expr, Stmt, StmtFunctionDef};

use crate::analyse::python::definitions::Definitions;

/// Names that are nothing but the first parameter of methods that are called on an object, or on a class.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Receivers {
    pub(super) object: bool,
    pub(super) class: bool,
}

struct Search<'a, 'd> {
    own: &'d Definitions<'a>,
    objects: usize,
    classes: usize,
    /// A method is asked of its class, and may then be called on anything.
    unbound: bool,
}

impl Receivers {
    pub(super) fn of<'a>(body: &'a [Stmt], own: &Definitions<'a>) -> Self {
        let mut search = Search { own, objects: 0, classes: 0, unbound: false };
        search.visit_body(body);
        let all = |name: &str, found: usize| own.times.get(name).copied().unwrap_or_default() == found;
        Self { object: all("self", search.objects) && !search.unbound, class: all("cls", search.classes) }
    }
}

impl Search<'_, '_> {
    fn method(&mut self, def: &StmtFunctionDef) {
        let decorated = |wanted: &str| {
            let is = |decorator: &Expr| matches!(decorator, Expr::Name(name) if name.id == wanted);
            def.decorator_list.iter().any(|decorator| is(&decorator.expression))
        };
        let first = def.parameters.posonlyargs.first().or(def.parameters.args.first());
        match first.map(|first| first.parameter.name.as_str()) {
            Some("self") if !decorated("staticmethod") && !decorated("classmethod") => self.objects += 1,
            Some("cls") if decorated("classmethod") || def.name.as_str() == "__new__" => self.classes += 1,
            _ => {}
        }
    }
}

impl<'a> Visitor<'a> for Search<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if let Stmt::ClassDef(class) = statement {
            for inside in &class.body {
                if let Stmt::FunctionDef(def) = inside {
                    self.method(def);
                }
            }
        }
        visitor::walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Attribute(attribute) = expr
            && let Expr::Name(name) = &*attribute.value
            && self.own.classes.contains(name.id.as_str())
            && self.own.methods.contains(attribute.attr.as_str())
        {
            self.unbound = true;
        }
        visitor::walk_expr(self, expr);
    }
}
