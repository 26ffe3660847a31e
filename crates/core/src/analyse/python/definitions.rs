//! The names that a program binds, by the kind of object that they are bound to.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::{Decorator, Expr, ExprCall};

#[derive(Debug, Default)]
pub(super) struct Definitions<'a> {
    /// All names that are bound by anything other than an import.
    pub bound: BTreeSet<&'a str>,
    /// The number of bindings of each of them.
    pub binding_counts: BTreeMap<&'a str, usize>,
    /// Functions outside of classes.
    pub functions: BTreeSet<&'a str>,
    pub classes: BTreeSet<&'a str>,
    pub methods: BTreeSet<&'a str>,
    /// Functions and methods with `yield`.
    pub generators: BTreeSet<&'a str>,
    /// Attributes that hold data: assigned, declared in a class, or computed by a property.
    pub data_attributes: BTreeSet<&'a str>,
    /// The properties among them: read on the class itself, a property is an object whose text is its address.
    pub properties: BTreeSet<&'a str>,
    /// How often each name is bound to a new instance of a class that the program defines.
    pub instance_counts: BTreeMap<&'a str, usize>,
    /// Whether some class has a base class.
    pub has_base_classes: bool,
}

impl<'a> Definitions<'a> {
    /// Records a binding of this name.
    pub(super) fn bind(&mut self, name: &'a str) {
        self.bound.insert(name);
        *self.binding_counts.entry(name).or_default() += 1;
    }

    /// Returns whether the name has exactly one binding.
    pub(super) fn is_bound_once(&self, name: &str) -> bool {
        self.binding_counts.get(name) == Some(&1)
    }

    /// Returns whether every binding of the name is to a new instance of a class that the program defines.
    pub(super) fn is_instance(&self, name: &str) -> bool {
        self.instance_counts.get(name).is_some_and(|count| self.binding_counts.get(name) == Some(count))
    }

    /// Records a method or a property of a class.
    pub(super) fn add_method(&mut self, name: &'a str, decorators: &[Decorator]) {
        let is_property = |decorator: &Decorator| match &decorator.expression {
            Expr::Name(name) => matches!(name.id.as_str(), "property" | "cached_property"),
            Expr::Attribute(attribute) => matches!(attribute.attr.as_str(), "setter" | "cached_property"),
            _ => false,
        };
        if decorators.iter().any(is_property) {
            self.properties.insert(name);
            self.data_attributes.insert(name)
        } else {
            self.methods.insert(name)
        };
    }

    /// Records the fields that `namedtuple("P", "x y")` or `namedtuple("P", ["x", "y"])` declares.
    pub(super) fn add_named_tuple(&mut self, call: &'a ExprCall) {
        let mut declare =
            |text: &'a str| self.data_attributes.extend(text.split([',', ' ']).filter(|name| !name.is_empty()));
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
