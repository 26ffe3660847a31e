//! The names that a program itself gives, by what it gives them to.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::{Decorator, Expr, ExprCall};

#[derive(Debug, Default)]
pub(super) struct Definitions<'a> {
    /// Every name that is bound by anything but an import.
    pub bound: BTreeSet<&'a str>,
    /// How many places bind each of them.
    pub times: BTreeMap<&'a str, usize>,
    /// Functions outside of classes.
    pub functions: BTreeSet<&'a str>,
    pub classes: BTreeSet<&'a str>,
    pub methods: BTreeSet<&'a str>,
    /// Functions and methods that yield.
    pub generators: BTreeSet<&'a str>,
    /// Attributes that hold data: assigned, declared in a class, computed by a property.
    pub data: BTreeSet<&'a str>,
    /// Of those, what a property computes: asked of the class itself, it is an object that prints its address.
    pub properties: BTreeSet<&'a str>,
    /// Names that are given a new object of a class of the program's own, and how often.
    pub instances: BTreeMap<&'a str, usize>,
    /// Some class has a base.
    pub inherits: bool,
}

impl<'a> Definitions<'a> {
    /// A place binds this name.
    pub(super) fn bind(&mut self, name: &'a str) {
        self.bound.insert(name);
        *self.times.entry(name).or_default() += 1;
    }

    /// True where the name is bound in one place alone.
    pub(super) fn is_bound_once(&self, name: &str) -> bool {
        self.times.get(name) == Some(&1)
    }

    /// True where whatever the name is given is a new object of the program's own classes.
    pub(super) fn is_instance(&self, name: &str) -> bool {
        self.instances.get(name).is_some_and(|times| self.times.get(name) == Some(times))
    }

    pub(super) fn method(&mut self, name: &'a str, decorators: &[Decorator]) {
        let is_property = |decorator: &Decorator| match &decorator.expression {
            Expr::Name(name) => matches!(name.id.as_str(), "property" | "cached_property"),
            Expr::Attribute(attribute) => matches!(attribute.attr.as_str(), "setter" | "cached_property"),
            _ => false,
        };
        if decorators.iter().any(is_property) {
            self.properties.insert(name);
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
