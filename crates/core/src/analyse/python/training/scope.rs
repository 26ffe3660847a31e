//! What the names of a program are bound to, as far as the training of models is concerned.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::{Expr, ExprCall};
use switchtower_contract::File;

use super::amount::Amount;
use super::estimators::Part;
use super::value::Value;
use crate::analyse::python::arrays::Shape;
use crate::analyse::python::bounds::Bounds;
use crate::analyse::python::imports::Imports;

/// Most expressions that are evaluated; what follows is unknown. It bounds the time of analysis.
const MAX_EVALUATIONS: u32 = 200_000;

/// The program's names with their values. Scopes are ignored: a name has the value that it was last bound to anywhere.
pub(super) struct Scope<'a> {
    pub(super) imports: &'a Imports<'a>,
    pub(super) files: &'a [File],
    pub(super) bounds: Bounds<'a>,
    /// Names and attributes.
    pub(super) values: BTreeMap<&'a str, Value<'a>>,
    /// Names that are bound to a list, a tuple or a dict literal.
    pub(super) literals: BTreeMap<&'a str, &'a Expr>,
    /// All names that the program binds.
    pub(super) bound: BTreeSet<&'a str>,
    /// The parameters of the program's own functions, methods and classes.
    pub(super) functions: BTreeMap<&'a str, Vec<&'a str>>,
    /// What they return.
    pub(super) returns: BTreeMap<&'a str, Value<'a>>,
    /// The largest data whose size is known.
    largest: Cell<Option<Shape>>,
    /// Whether there are data whose size is not known.
    has_unknown_data: Cell<bool>,
    /// The weights of the layers that the program lists.
    pub(super) weights: Amount,
    /// The outputs of the layer that was listed last.
    pub(super) units: f64,
    evaluations: Cell<u32>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(imports: &'a Imports<'a>, files: &'a [File], functions: BTreeMap<&'a str, Vec<&'a str>>) -> Self {
        Self {
            imports,
            files,
            bounds: Bounds::default(),
            values: BTreeMap::new(),
            literals: BTreeMap::new(),
            bound: BTreeSet::new(),
            functions,
            returns: BTreeMap::new(),
            largest: Cell::new(None),
            has_unknown_data: Cell::new(false),
            weights: Amount::ZERO,
            units: 0.0,
            evaluations: Cell::new(MAX_EVALUATIONS),
        }
    }

    /// Counts an evaluation. Returns `None` after the last that is allowed.
    pub(super) fn count_evaluation(&self) -> Option<()> {
        self.evaluations.set(self.evaluations.get().checked_sub(1)?);
        Some(())
    }

    /// Binds a name or an attribute to the value of an expression, or to nothing that is known.
    pub(super) fn bind(&mut self, name: &'a str, value: Option<Value<'a>>) {
        self.bound.insert(name);
        match value {
            Some(value) => {
                if let Some(shape) = value.shape() {
                    self.bounds.set_shape(name, [shape.rows, shape.columns]);
                }
                self.values.insert(name, value);
            }
            None => {
                self.values.remove(name);
            }
        }
    }

    /// Records that the program has data of this size.
    pub(super) fn add_data(&self, shape: Shape) -> Shape {
        match shape.rows {
            None => self.has_unknown_data.set(true),
            Some(_) if self.largest.get().is_none_or(|largest| size(largest) < size(shape)) => {
                self.largest.set(Some(shape));
            }
            Some(_) => {}
        }
        shape
    }

    /// Returns the samples and the features of the data in an argument. Data that cannot be traced are at most the largest
    /// of a program whose data all have a known size.
    pub(super) fn samples(&self, data: Option<&'a Expr>) -> (Amount, Amount) {
        let value = data.and_then(|data| self.value(data));
        self.samples_of(value.as_ref().and_then(Value::shape), data)
    }

    pub(super) fn samples_of(&self, shape: Option<Shape>, data: Option<&Expr>) -> (Amount, Amount) {
        let is_foreign = |data: &Expr| matches!(data, Expr::Name(name) if !self.bound.contains(name.id.as_str()));
        let shape = match (shape, self.largest.get()) {
            (Some(shape), _) => shape,
            (None, Some(largest)) if !self.has_unknown_data.get() && !data.is_some_and(is_foreign) => largest,
            (None, _) => Shape::default(),
        };
        (Amount::or_unknown(shape.rows), Amount::exactly(shape.columns.unwrap_or(UNKNOWN_COLUMNS)))
    }

    /// Returns the samples of the largest data, for a loop that names none.
    pub(super) fn largest_samples(&self) -> Amount {
        self.samples_of(None, None).0
    }

    /// Returns an argument, by keyword, by position or in a `**` literal.
    pub(super) fn argument(&self, call: Option<&'a ExprCall>, name: &str, position: Option<usize>) -> Option<&'a Expr> {
        let arguments = &call?.arguments;
        if let Some(keyword) = arguments.find_keyword(name) {
            return Some(&keyword.value);
        }
        let unpacked = arguments.keywords.iter().filter(|keyword| keyword.arg.is_none());
        for keyword in unpacked {
            if let Some(Expr::Dict(dict)) = self.literal(&keyword.value)
                && let Some(item) = dict
                    .items
                    .iter()
                    .find(|item| matches!(&item.key, Some(Expr::StringLiteral(key)) if key.value.to_str() == name))
            {
                return Some(&item.value);
            }
        }
        arguments.args.get(position?).filter(|argument| !argument.is_starred_expr())
    }

    /// Returns a number that an argument gives, or its default where there is no such argument or it is no number, such as
    /// `"auto"`.
    pub(super) fn number_argument(
        &self,
        call: Option<&'a ExprCall>,
        name: &str,
        position: Option<usize>,
        default: f64,
    ) -> Amount {
        match self.argument(call, name, position) {
            None | Some(Expr::StringLiteral(_) | Expr::NoneLiteral(_) | Expr::BooleanLiteral(_)) => {
                Amount::exactly(default)
            }
            Some(argument) => match self.bounds.number(argument) {
                Some(number) if number >= 0.0 => Amount::exactly(number),
                // `-1` means no limit.
                Some(_) => Amount::exactly(default),
                None => Amount::exactly(default).and(Amount::UNKNOWN),
            },
        }
    }

    /// Returns the list, tuple or dict literal that an expression is or names.
    pub(super) fn literal(&self, expr: &'a Expr) -> Option<&'a Expr> {
        match expr {
            Expr::List(_) | Expr::Tuple(_) | Expr::Dict(_) => Some(expr),
            Expr::Name(name) => self.literals.get(name.id.as_str()).copied(),
            Expr::Attribute(attribute) => self.literals.get(attribute.attr.as_str()).copied(),
            _ => None,
        }
    }

    /// Returns the number of combinations of a grid of parameters.
    pub(super) fn combinations(&self, grid: Option<&'a Expr>) -> Amount {
        match grid.and_then(|grid| self.literal(grid)) {
            Some(Expr::Dict(dict)) => {
                let choices = dict.items.iter().map(|item| match self.literal(&item.value) {
                    Some(Expr::List(list)) => Amount::exactly(list.elts.len() as f64),
                    Some(Expr::Tuple(tuple)) => Amount::exactly(tuple.elts.len() as f64),
                    _ => Amount::or_unknown(self.value(&item.value).and_then(|value| value.shape()?.rows)),
                });
                choices.fold(Amount::ONE, |product, count| product * count)
            }
            Some(Expr::List(grids)) => {
                let each = grids.elts.iter().take(MAX_GRIDS).map(|grid| match grid {
                    Expr::Dict(_) => self.combinations(Some(grid)),
                    _ => Amount::UNKNOWN,
                });
                each.fold(Amount::ZERO, |sum, count| sum + count)
            }
            _ => Amount::UNKNOWN,
        }
    }

    /// Returns the weights of a perceptron with this many inputs, and the sum of its hidden units.
    pub(super) fn hidden_layers(&self, call: Option<&'a ExprCall>, inputs: f64) -> (Amount, Amount) {
        let Some(layers) = self.argument(call, "hidden_layer_sizes", Some(0)) else {
            return (Amount::exactly(100.0 * (inputs + 1.0)), Amount::exactly(100.0));
        };
        let sizes: Vec<Amount> = match self.literal(layers) {
            Some(Expr::Tuple(sizes)) => {
                sizes.elts.iter().map(|size| Amount::or_unknown(self.bounds.number(size))).collect()
            }
            Some(Expr::List(sizes)) => {
                sizes.elts.iter().map(|size| Amount::or_unknown(self.bounds.number(size))).collect()
            }
            _ => vec![Amount::or_unknown(self.bounds.number(layers))],
        };
        let (mut weights, mut before) = (Amount::ZERO, Amount::exactly(inputs));
        for size in &sizes {
            weights = weights + before * *size;
            before = *size;
        }
        (weights + before, sizes.into_iter().fold(Amount::ZERO, |sum, size| sum + size))
    }

    /// Returns the weights of all layers that the program lists; unknown if it lists none.
    pub(super) fn layers(&self) -> Amount {
        if self.weights.at_least > 0.0 { self.weights } else { Amount::exactly(1000.0).and(Amount::UNKNOWN) }
    }

    /// Returns the states of a model of a time series.
    pub(super) fn states(&self, call: Option<&'a ExprCall>) -> Amount {
        let order = |name: &str, position| -> Vec<Amount> {
            match self.argument(call, name, position).and_then(|order| self.literal(order)) {
                Some(Expr::Tuple(order)) => {
                    order.elts.iter().map(|part| Amount::or_unknown(self.bounds.number(part))).collect()
                }
                _ => Vec::new(),
            }
        };
        let largest = |order: &[Amount]| {
            order.iter().fold(Amount::exactly(1.0), |largest, part| Amount {
                at_least: largest.at_least.max(part.at_least),
                exact: largest.exact && part.exact,
            })
        };
        let order = order("order", Some(1));
        let seasonal = match self.argument(call, "seasonal_order", None).and_then(|order| self.literal(order)) {
            Some(Expr::Tuple(parts)) => match parts.elts.as_slice() {
                [p, _, q, period] => {
                    let [p, q, period] = [p, q, period].map(|part| Amount::or_unknown(self.bounds.number(part)));
                    largest(&[p, q]) * period
                }
                _ => Amount::ZERO,
            },
            _ => self.number_argument(call, "seasonal_periods", None, 0.0),
        };
        (largest(&order) + seasonal + Amount::ONE).min(1000.0)
    }

    /// Returns the operations of a fit of all parts of a model.
    pub(super) fn model_operations(&self, parts: &[Part<'a>], rows: Amount, columns: Amount) -> Amount {
        parts.iter().fold(Amount::ZERO, |sum, part| sum + self.fit_operations(part, rows, columns))
    }
}

/// Features of data whose source does not show them.
const UNKNOWN_COLUMNS: f64 = 10.0;
/// Most grids of a list that are counted.
const MAX_GRIDS: usize = 64;

fn size(shape: Shape) -> f64 {
    shape.rows.unwrap_or(1.0) * shape.columns.unwrap_or(1.0)
}
