//! The names that a program itself gives, by what it gives them to.

use std::collections::BTreeSet;

use ruff_python_ast::{Decorator, Expr, ExprCall};

#[derive(Debug, Default)]
pub(super) struct Definitions<'a> {
    /// Every name that is bound by anything but an import.
    pub bound: BTreeSet<&'a str>,
    /// Functions outside of classes.
    pub functions: BTreeSet<&'a str>,
    pub classes: BTreeSet<&'a str>,
    pub methods: BTreeSet<&'a str>,
    /// Functions and methods that yield.
    pub generators: BTreeSet<&'a str>,
    /// Attributes that hold data: assigned, declared in a class, computed by a property.
    pub data: BTreeSet<&'a str>,
    /// Some class has a base.
    pub inherits: bool,
}

impl<'a> Definitions<'a> {
    /// True for functions and classes.
    pub(super) fn defines(&self, name: &str) -> bool {
        self.functions.contains(name) || self.classes.contains(name)
    }

    pub(super) fn method(&mut self, name: &'a str, decorators: &[Decorator]) {
        let is_property = |decorator: &Decorator| match &decorator.expression {
            Expr::Name(name) => matches!(name.id.as_str(), "property" | "cached_property"),
            Expr::Attribute(attribute) => matches!(attribute.attr.as_str(), "setter" | "cached_property"),
            _ => false,
        };
        if decorators.iter().any(is_property) {
            self.data.insert(name)
        } else {
            self.methods.insert(name)
        };
    }

    /// The fields that `namedtuple("P", "x y")` or `namedtuple("P", ["x", "y"])` declares.
    pub(super) fn named_tuple(&mut self, call: &'a ExprCall) {
        let mut declare = |text: &'a str| self.data.extend(text.split([',', ' ']).filter(|name| !name.is_empty()));
        match call.arguments.args.get(1) {
            Some(Expr::StringLiteral(fields)) => declare(fields.value.to_str()),
            Some(Expr::List(fields)) => {
                for field in &fields.elts {
                    if let Expr::StringLiteral(field) = field {
                        declare(field.value.to_str());
                    }
                }
            }
            _ => {}
        }
    }
}
