//! The value of an expression: data with their size, a model with its parts, the batches or folds of data.

use ruff_python_ast::{Comprehension, Expr, ExprAttribute, ExprBinOp, ExprCall, ExprSlice, ExprSubscript, Operator};

use super::amount::Amount;
use super::estimators::{Growth, Part};
use super::library::Stack;
use super::scope::Scope;
use crate::analyse::python::arrays::{self, Shape};

/// How many levels of nested expressions are evaluated.
const MAX_DEPTH: usize = 12;
/// Most elements of a literal that are looked at.
const MAX_ELEMENTS: usize = 32;
/// Most values in a tuple with tuples in it.
const MAX_VALUES: usize = 256;
/// Most parts of a model.
const MAX_PARTS: usize = 32;

#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    /// An array, a table, a list, or something computed from them.
    Data(Shape),
    Model(Model<'a>),
    /// Folds or batches: how many, and the samples of each where they are known.
    Batches {
        count: Option<f64>,
        rows: Option<f64>,
    },
    Tuple(Vec<Option<Value<'a>>>),
}

/// A model, or several of them.
#[derive(Debug, Clone)]
pub(super) struct Model<'a> {
    pub(super) parts: Vec<Part<'a>>,
    /// How often a fit fits its parts: the combinations and folds of a search.
    pub(super) runs: Amount,
    /// The data that it was created with.
    pub(super) data: Option<Shape>,
}

impl<'a> Model<'a> {
    pub(super) fn of(growth: Growth, call: Option<&'a ExprCall>) -> Self {
        Self { parts: vec![Part { growth, call }], runs: Amount::ONE, data: None }
    }

    pub(super) fn repeated(mut self, runs: Amount) -> Self {
        self.runs = self.runs * runs;
        self
    }

    /// Adds the parts of another model.
    fn join(&mut self, other: Self) {
        let runs = if other.runs.at_least > self.runs.at_least { other.runs } else { self.runs };
        self.runs = runs.and(self.runs).and(other.runs);
        self.parts.extend(other.parts);
        self.parts.truncate(MAX_PARTS);
        self.data = self.data.or(other.data);
    }
}

impl<'a> Value<'a> {
    /// Returns a tuple, in which tuples are replaced by their sizes if it would have very many values:
    /// `x = (x, x)` doubles it.
    pub(super) fn tuple(mut elements: Vec<Option<Self>>) -> Self {
        if elements.iter().flatten().map(Self::values).sum::<usize>() > MAX_VALUES {
            for element in elements.iter_mut().filter(|element| matches!(element, Some(Self::Tuple(_)))) {
                *element = element.as_ref().and_then(Self::shape).map(Self::Data);
            }
        }
        Self::Tuple(elements)
    }

    /// Returns how many values this one holds, itself included.
    fn values(&self) -> usize {
        match self {
            Self::Tuple(elements) => 1 + elements.iter().flatten().map(Self::values).sum::<usize>(),
            Self::Data(_) | Self::Model(_) | Self::Batches { .. } => 1,
        }
    }

    /// Returns the size of data.
    pub(super) fn shape(&self) -> Option<Shape> {
        match self {
            Self::Data(shape) => Some(*shape),
            Self::Tuple(elements) => {
                let first = elements.iter().flatten().find_map(Self::shape);
                let columns = first.map_or(Some(1.0), |first| Some(first.rows? * first.columns?));
                Some(Shape { rows: Some(elements.len() as f64), columns })
            }
            Self::Model(_) | Self::Batches { .. } => None,
        }
    }

    /// Returns the models in this value.
    pub(super) fn into_model(self) -> Option<Model<'a>> {
        match self {
            Self::Model(model) => Some(model),
            Self::Tuple(elements) => models(elements),
            Self::Data(_) | Self::Batches { .. } => None,
        }
    }

    /// Returns a value that may be this one or another.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Model(mut one), Self::Model(other)) => {
                let is_new = |part: &Part<'_>| {
                    one.parts.iter().all(|known| match (known.call, part.call) {
                        (Some(known), Some(part)) => !std::ptr::eq(known, part),
                        _ => known.growth != part.growth,
                    })
                };
                let parts = other.parts.iter().copied().filter(is_new).collect();
                one.join(Model { parts, ..other });
                Self::Model(one)
            }
            (Self::Data(one), Self::Data(other)) => Self::Data(larger(one, other)),
            (one, _) => one,
        }
    }
}

/// Joins the models among values.
pub(super) fn models<'a>(values: impl IntoIterator<Item = Option<Value<'a>>>) -> Option<Model<'a>> {
    values.into_iter().flatten().filter_map(Value::into_model).reduce(|mut joined, model| {
        joined.join(model);
        joined
    })
}

pub(super) fn larger(one: Shape, other: Shape) -> Shape {
    match (one.rows, other.rows) {
        (None, _) => one,
        (_, None) => other,
        (Some(rows), Some(others)) if rows > others => one,
        (Some(rows), Some(others)) if rows < others => other,
        _ if one.columns >= other.columns => one,
        _ => other,
    }
}

impl<'a> Scope<'a> {
    /// Returns the value of an expression, as far as it is known.
    pub(super) fn value(&self, expr: &'a Expr) -> Option<Value<'a>> {
        self.evaluate(expr, MAX_DEPTH)
    }

    pub(super) fn evaluate(&self, expr: &'a Expr, depth: usize) -> Option<Value<'a>> {
        let depth = depth.checked_sub(1)?;
        self.count_evaluation()?;
        match expr {
            Expr::Name(name) => self.values.get(name.id.as_str()).cloned(),
            Expr::Attribute(attribute) => self.attribute(attribute, depth),
            Expr::Subscript(part) => self.part(part, depth),
            Expr::Starred(starred) => self.evaluate(&starred.value, depth),
            Expr::UnaryOp(unary) => self.evaluate(&unary.operand, depth),
            Expr::Named(named) => self.evaluate(&named.value, depth),
            Expr::If(choice) => match (self.evaluate(&choice.body, depth), self.evaluate(&choice.orelse, depth)) {
                (Some(one), Some(other)) => Some(one.or(other)),
                (one, other) => one.or(other),
            },
            Expr::Tuple(tuple) => Some(Value::tuple(self.elements(&tuple.elts, depth))),
            Expr::List(list) => Some(self.list(&list.elts, depth)),
            Expr::Set(set) => Some(self.list(&set.elts, depth)),
            Expr::Dict(dict) => {
                let values: Vec<_> =
                    dict.items.iter().take(MAX_ELEMENTS).map(|item| self.evaluate(&item.value, depth)).collect();
                let shapes = values.iter().flatten().filter_map(Value::shape);
                let rows = shapes.reduce(larger).map_or(Some(1.0), |largest| largest.rows);
                Some(match models(values) {
                    Some(model) => Value::Model(model),
                    None => Value::Data(self.add_data(Shape { rows, columns: Some(dict.items.len() as f64) })),
                })
            }
            Expr::ListComp(list) => Some(self.comprehension(&list.generators, &list.elt, depth)),
            Expr::SetComp(set) => Some(self.comprehension(&set.generators, &set.elt, depth)),
            Expr::Generator(generator) => Some(self.comprehension(&generator.generators, &generator.elt, depth)),
            Expr::DictComp(dict) => Some(self.comprehension(&dict.generators, &dict.value, depth)),
            Expr::BinOp(operation) => self.operation(operation, depth),
            Expr::Call(call) => self.call(call, depth),
            _ => None,
        }
    }

    pub(super) fn elements(&self, elements: &'a [Expr], depth: usize) -> Vec<Option<Value<'a>>> {
        elements.iter().take(MAX_ELEMENTS).map(|element| self.evaluate(element, depth)).collect()
    }

    fn list(&self, elements: &'a [Expr], depth: usize) -> Value<'a> {
        let rows = elements.len() as f64;
        let columns = match elements.first() {
            None | Some(Expr::NumberLiteral(_) | Expr::StringLiteral(_)) => Some(1.0),
            Some(_) => {
                let values = self.elements(elements, depth);
                let shape = values.first().and_then(|first| first.as_ref()?.shape());
                if let Some(model) = models(values) {
                    return Value::Model(model);
                }
                shape.map_or(Some(1.0), |shape| Some(shape.rows? * shape.columns?))
            }
        };
        Value::Data(self.add_data(Shape { rows: columns.map(|_| rows), columns }))
    }

    fn comprehension(&self, generators: &'a [Comprehension], element: &'a Expr, depth: usize) -> Value<'a> {
        let counts = generators.iter().map(|generator| self.iterations_within(&generator.iter, depth));
        let count = counts.fold(Amount::ONE, |product, count| product * count);
        let columns = match self.evaluate(element, depth) {
            Some(Value::Model(model)) => return Value::Model(model.repeated(count)),
            Some(value) => value.shape().map_or(Some(1.0), |shape| Some(shape.rows? * shape.columns?)),
            None => Some(1.0),
        };
        Value::Data(self.add_data(Shape { rows: count.exact.then_some(count.at_least), columns }))
    }

    /// Returns how often a loop over an expression runs.
    pub(super) fn iterations(&self, iter: &'a Expr) -> Amount {
        self.iterations_within(iter, MAX_DEPTH)
    }

    pub(super) fn iterations_within(&self, iter: &'a Expr, depth: usize) -> Amount {
        let Some(depth) = depth.checked_sub(1) else { return Amount::UNKNOWN };
        if let Expr::Call(call) = iter {
            let first = call.arguments.args.first();
            match &*call.func {
                Expr::Name(name) => match (name.id.as_str(), first) {
                    ("range" | "trange", _) => return Amount::or_unknown(self.bounds.range(call)),
                    (
                        "enumerate" | "zip" | "tqdm" | "reversed" | "sorted" | "list" | "iter" | "tuple" | "set",
                        Some(of),
                    ) => {
                        return self.iterations_within(of, depth);
                    }
                    ("product", _) => {
                        let each = call.arguments.args.iter().map(|of| self.iterations_within(of, depth));
                        return each.fold(Amount::ONE, |product, count| product * count);
                    }
                    ("ParameterGrid", grid) => return self.combinations(grid),
                    _ => {}
                },
                Expr::Attribute(method) => match method.attr.as_str() {
                    "items" | "values" | "keys" => {
                        if let Some(Expr::Dict(dict)) = self.literal(&method.value)
                            && !matches!(self.evaluate(&method.value, depth), Some(Value::Model(_)))
                        {
                            return Amount::exactly(dict.items.len() as f64);
                        }
                        return self.iterations_within(&method.value, depth);
                    }
                    "product" => {
                        let each = call.arguments.args.iter().map(|of| self.iterations_within(of, depth));
                        return each.fold(Amount::ONE, |product, count| product * count);
                    }
                    // The groups together are all data.
                    "groupby" => return Amount::ONE,
                    _ => {}
                },
                _ => {}
            }
        }
        match self.evaluate(iter, depth) {
            Some(Value::Data(shape)) => Amount::or_unknown(shape.rows),
            Some(Value::Tuple(elements)) => match models(elements.iter().cloned()) {
                Some(_) => Amount::ONE,
                None => Amount::exactly(elements.len() as f64),
            },
            Some(Value::Batches { count, .. }) => Amount::or_unknown(count),
            // The body gets all of them at once.
            Some(Value::Model(_)) => Amount::ONE,
            None => Amount::UNKNOWN,
        }
    }

    fn attribute(&self, attribute: &'a ExprAttribute, depth: usize) -> Option<Value<'a>> {
        match self.evaluate(&attribute.value, depth) {
            Some(Value::Data(shape)) => Some(Value::Data(match attribute.attr.as_str() {
                "T" => Shape { rows: shape.columns, columns: shape.rows },
                "target" | "label" | "index" => Shape { columns: Some(1.0), ..shape },
                "columns" => Shape { rows: shape.columns, columns: Some(1.0) },
                _ => shape,
            })),
            Some(_) => None,
            None => self.values.get(attribute.attr.as_str()).cloned(),
        }
    }

    fn part(&self, part: &'a ExprSubscript, depth: usize) -> Option<Value<'a>> {
        if let Some(path) = self.imports.resolve(&part.value) {
            let stacked = match path.segments() {
                ["numpy", "c_"] => Stack::Columns,
                ["numpy", "r_"] => Stack::Rows,
                _ => return None,
            };
            let Expr::Tuple(tuple) = &*part.slice else { return self.evaluate(&part.slice, depth) };
            return self.stack(stacked, &tuple.elts, depth);
        }
        match self.evaluate(&part.value, depth)? {
            Value::Data(shape) => Some(Value::Data(self.sliced(shape, &part.slice))),
            Value::Tuple(elements) => match self.bounds.number(&part.slice) {
                Some(index) => elements.into_iter().nth(index.max(0.0) as usize)?,
                None => models(elements).map(Value::Model),
            },
            value @ (Value::Model(_) | Value::Batches { .. }) => Some(value),
        }
    }

    /// Returns the size of a part of data.
    fn sliced(&self, shape: Shape, slice: &Expr) -> Shape {
        match slice {
            Expr::List(names) => Shape { columns: Some(names.elts.len() as f64), ..shape },
            // The data of a sample of scikit-learn.
            Expr::StringLiteral(name) if name.value.to_str() == "data" => shape,
            Expr::StringLiteral(_) => Shape { columns: Some(1.0), ..shape },
            Expr::NumberLiteral(_) => Shape { rows: shape.columns, columns: Some(1.0) },
            Expr::Slice(slice) => Shape { rows: self.slice_length(slice, shape.rows), ..shape },
            Expr::Tuple(slices) => match slices.elts.as_slice() {
                [rows, columns] => Shape {
                    rows: match rows {
                        Expr::Slice(slice) => self.slice_length(slice, shape.rows),
                        Expr::NumberLiteral(_) => Some(1.0),
                        _ => shape.rows,
                    },
                    columns: match columns {
                        Expr::Slice(slice) => self.slice_length(slice, shape.columns),
                        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Some(1.0),
                        Expr::List(names) => Some(names.elts.len() as f64),
                        _ => shape.columns,
                    },
                },
                _ => shape,
            },
            _ => shape,
        }
    }

    fn slice_length(&self, slice: &ExprSlice, of: Option<f64>) -> Option<f64> {
        let most = |length: f64| Some(of.map_or(length, |of| of.min(length)));
        match (slice.lower.as_deref(), slice.upper.as_deref()) {
            // `i:i + 32`
            (Some(Expr::Name(lower)), Some(Expr::BinOp(upper)))
                if matches!(upper.op, Operator::Add)
                    && matches!(&*upper.left, Expr::Name(left) if left.id == lower.id) =>
            {
                self.bounds.number(&upper.right).map_or(of, most)
            }
            (lower, Some(upper)) => {
                let lower = lower.map_or(Some(0.0), |lower| self.bounds.number(lower));
                match (lower, self.bounds.number(upper)) {
                    (Some(lower), Some(upper)) if upper >= lower && lower >= 0.0 => most(upper - lower),
                    _ => of,
                }
            }
            (_, None) => of,
        }
    }

    fn operation(&self, operation: &'a ExprBinOp, depth: usize) -> Option<Value<'a>> {
        let (left, right) = (self.evaluate(&operation.left, depth), self.evaluate(&operation.right, depth));
        match (left, right) {
            (Some(Value::Data(left)), Some(Value::Data(right))) => Some(Value::Data(match operation.op {
                Operator::MatMult => Shape { rows: left.rows, columns: right.columns },
                Operator::Add if operation.left.is_list_expr() || operation.right.is_list_expr() => {
                    Shape { rows: Some(left.rows? + right.rows?), ..left }
                }
                _ => larger(left, right),
            })),
            (Some(Value::Data(shape)), None)
                if matches!(operation.op, Operator::Mult) && is_sequence(&operation.left) =>
            {
                let times = self.bounds.number(&operation.right);
                let rows = shape.rows.and_then(|rows| Some(rows * times?));
                Some(Value::Data(self.add_data(Shape { rows, ..shape })))
            }
            (Some(value), None) | (None, Some(value)) => Some(value),
            (Some(one), Some(_)) => Some(one),
            (None, None) => None,
        }
    }

    fn call(&self, call: &'a ExprCall, depth: usize) -> Option<Value<'a>> {
        let arguments = &call.arguments;
        if let Some(path) = self.imports.resolve(&call.func) {
            return self.library_call(path.segments(), call, depth);
        }
        match &*call.func {
            Expr::Name(name) => match name.id.as_str() {
                own if self.functions.contains_key(own) => self.returns.get(own).cloned(),
                "range" => Some(Value::Data(Shape { rows: self.bounds.range(call), columns: Some(1.0) })),
                "zip" => {
                    let rows = arguments.args.first().and_then(|first| self.evaluate(first, depth)?.shape()?.rows);
                    Some(Value::Data(Shape { rows: Some(rows?), columns: Some(arguments.args.len() as f64) }))
                }
                "open" | "input" | "print" | "len" | "int" | "float" | "str" | "sum" | "min" | "max" => None,
                _ => self.joined(&arguments.args, depth),
            },
            Expr::Attribute(method) => self.method(method, call, depth),
            _ => None,
        }
    }

    /// Returns the largest data or the models among arguments.
    pub(super) fn joined(&self, arguments: &'a [Expr], depth: usize) -> Option<Value<'a>> {
        let values = self.elements(arguments, depth);
        let batches = values.iter().flatten().find(|value| matches!(value, Value::Batches { .. })).cloned();
        let shape = values.iter().flatten().filter_map(Value::shape).reduce(larger);
        models(values).map(Value::Model).or(shape.map(Value::Data)).or(batches)
    }

    fn method(&self, method: &'a ExprAttribute, call: &'a ExprCall, depth: usize) -> Option<Value<'a>> {
        let arguments = &call.arguments;
        let argument = |index: usize| arguments.args.get(index);
        let name = method.attr.as_str();
        let receiver = self.evaluate(&method.value, depth);
        match receiver {
            Some(Value::Model(model)) => match name {
                "fit" | "set_params" | "eval" | "to" | "double" => Some(Value::Model(model)),
                "predict" | "fit_predict" | "predict_proba" | "decision_function" | "score_samples" => {
                    let shape = self.evaluate(argument(0)?, depth)?.shape()?;
                    Some(Value::Data(Shape { columns: Some(1.0), ..shape }))
                }
                "transform" | "fit_transform" | "inverse_transform" => {
                    let shape = self.evaluate(argument(0)?, depth)?.shape()?;
                    let components =
                        model.parts.last().and_then(|part| self.argument(part.call, "n_components", Some(0)));
                    let columns = components.and_then(|components| self.bounds.number(components)).or(shape.columns);
                    Some(Value::Data(Shape { columns, ..shape }))
                }
                _ => None,
            },
            Some(Value::Data(shape)) => Some(Value::Data(match name {
                "reshape" | "view" => match (argument(0).map(|side| self.bounds.number(side)), argument(1)) {
                    (Some(Some(-1.0)), Some(columns)) => {
                        let columns = self.bounds.number(columns);
                        let elements = shape.rows.and_then(|rows| Some(rows * shape.columns?));
                        Shape { rows: elements.and_then(|elements| Some(elements / columns?.max(1.0))), columns }
                    }
                    (Some(Some(rows)), Some(_)) if rows > 0.0 => {
                        let elements = shape.rows.and_then(|rows| Some(rows * shape.columns?));
                        Shape { rows: Some(rows), columns: elements.map(|elements| elements / rows) }
                    }
                    _ => shape,
                },
                "ravel" | "flatten" => {
                    Shape { rows: shape.rows.and_then(|rows| Some(rows * shape.columns?)), columns: Some(1.0) }
                }
                "transpose" => Shape { rows: shape.columns, columns: shape.rows },
                "head" | "sample" | "tail" => {
                    let count = argument(0).or_else(|| arguments.find_keyword("n").map(|keyword| &keyword.value));
                    let count = count.and_then(|count| self.bounds.number(count));
                    Shape { rows: count.or(shape.rows), ..shape }
                }
                "dot" => {
                    let other = argument(0).and_then(|other| self.evaluate(other, depth)?.shape());
                    Shape { columns: other.and_then(|other| other.columns), ..shape }
                }
                _ => shape,
            })),
            Some(Value::Batches { count, rows }) if name == "split" => {
                let samples = || argument(0).and_then(|data| self.evaluate(data, depth)?.shape()?.rows);
                Some(Value::Batches { count: count.or_else(samples), rows })
            }
            Some(Value::Batches { .. } | Value::Tuple(_)) => None,
            None if self.functions.contains_key(name) => self.returns.get(name).cloned(),
            None => match arrays::drawn(name, call, &self.bounds) {
                Some(shape) => Some(Value::Data(self.add_data(shape))),
                // A library's object that is not known, such as `scaler` from elsewhere: what it makes of the arguments.
                None if matches!(name, "fit_transform" | "transform" | "predict" | "fit_predict") => {
                    self.evaluate(argument(0)?, depth).filter(|value| matches!(value, Value::Data(_)))
                }
                None => None,
            },
        }
    }
}

fn is_sequence(expr: &Expr) -> bool {
    matches!(expr, Expr::List(_) | Expr::Tuple(_))
}
