//! The functions, methods and classes that a program defines.

use std::collections::BTreeMap;

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Expr, Stmt};

/// Returns the parameters of the functions, methods and classes of a program; those of a class are its constructor's.
pub(super) fn functions(body: &[Stmt]) -> BTreeMap<&str, Vec<&str>> {
    #[derive(Default)]
    struct Defined<'a> {
        functions: BTreeMap<&'a str, Vec<&'a str>>,
        class: Option<&'a str>,
    }

    impl<'a> Visitor<'a> for Defined<'a> {
        fn visit_stmt(&mut self, statement: &'a Stmt) {
            match statement {
                Stmt::FunctionDef(def) => {
                    let names = def.parameters.iter_non_variadic_params().map(|given| given.parameter.name.as_str());
                    let own = usize::from(self.class.is_some());
                    let name = match self.class {
                        Some(class) if def.name.as_str() == "__init__" => class,
                        _ => def.name.as_str(),
                    };
                    self.functions.insert(name, names.skip(own).collect());
                    let class = self.class.take();
                    visitor::walk_body(self, &def.body);
                    self.class = class;
                }
                Stmt::ClassDef(class) => {
                    let outer = self.class.replace(class.name.as_str());
                    visitor::walk_body(self, &class.body);
                    self.class = outer;
                }
                _ => visitor::walk_stmt(self, statement),
            }
        }

        // Expressions contain no statements.
        fn visit_expr(&mut self, _expr: &'a Expr) {}
    }

    let mut defined = Defined::default();
    defined.visit_body(body);
    defined.functions
}
