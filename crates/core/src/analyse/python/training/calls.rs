//! The work of calls: fits of models, products of matrices, steps of optimisers, calls of the program's own functions.

use ruff_python_ast::{Expr, ExprCall};
use ruff_text_size::Ranged;

use super::Training;
use super::amount::Amount;
use super::estimators::{Growth, Part, growth};
use super::scope::Scope;
use super::value::{Model, Value};
use crate::analyse::python::arrays::Shape;

impl<'a> Training<'a> {
    /// Records the work of a call.
    pub(super) fn add_call(&mut self, call: &'a ExprCall) {
        if let Some(path) = self.scope.imports.resolve(&call.func) {
            self.add_library_call(path.segments(), call);
            return;
        }
        match &*call.func {
            Expr::Name(name) => self.add_own_call(name.id.as_str(), call),
            Expr::Attribute(method) => {
                let name = method.attr.as_str();
                match self.scope.value(&method.value) {
                    Some(Value::Model(model)) if is_fit(name) => self.add_model_fit(model, name, call),
                    _ if self.scope.functions.contains_key(name) => self.add_own_call(name, call),
                    Some(Value::Data(left)) if name == "dot" && self.visit.depth > 0 => {
                        let right = call.arguments.args.first().and_then(|right| self.scope.value(right)?.shape());
                        self.add_product(left, right.unwrap_or_default());
                    }
                    _ if name == "backward" && self.learns => {
                        let samples = self.visit.batch.map_or_else(|| self.scope.largest_samples(), Amount::exactly);
                        self.add_fit(self.scope.step_operations(samples), call.start());
                    }
                    // A study calls a function so often.
                    _ if name == "optimize" => {
                        if let Some(Expr::Name(function)) = call.arguments.args.first()
                            && self.scope.functions.contains_key(function.id.as_str())
                        {
                            let trials = self.scope.number_argument(Some(call), "n_trials", Some(1), 100.0);
                            self.add_calls(function.id.as_str(), trials);
                        }
                    }
                    None if is_fit(name) && self.learns => {
                        let (rows, columns) = self.scope.samples(call.arguments.args.first());
                        let part = Part { growth: Growth::Iterative(100), call: Some(call) };
                        let work = self.scope.fit_operations(&part, rows, columns);
                        self.add_fit(work.and(Amount::UNKNOWN), call.start());
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn add_model_fit(&mut self, model: Model<'a>, method: &str, call: &'a ExprCall) {
        let argument = |name: &str| self.scope.argument(Some(call), name, None);
        let given = call.arguments.args.first().or_else(|| argument("X")).or_else(|| argument("x"));
        let (rows, columns) = match model.data {
            Some(data) => self.scope.samples_of(Some(data), None),
            None => self.scope.samples(given),
        };
        let parts: Vec<Part<'a>> = match method {
            // One pass over what it is given.
            "partial_fit" => vec![Part { growth: Growth::Pass, call: None }],
            _ => model.parts,
        };
        let epochs = self.scope.number_argument(Some(call), "epochs", None, 1.0);
        let work = self.scope.model_operations(&parts, rows, columns) * model.runs * epochs;
        self.add_fit(work, call.start());
    }

    fn add_library_call(&mut self, path: &[&'a str], call: &'a ExprCall) {
        let argument = |name: &str, position| self.scope.argument(Some(call), name, Some(position));
        let number = |name: &str, position, default| self.scope.number_argument(Some(call), name, position, default);
        let folds = || self.scope.folds(self.scope.argument(Some(call), "cv", None), 4);
        match path {
            ["sklearn", "model_selection", name, ..] => {
                let runs = match *name {
                    "cross_val_score" | "cross_validate" | "cross_val_predict" => folds(),
                    "learning_curve" => folds() * Amount::exactly(3.0),
                    "permutation_test_score" => folds() * number("n_permutations", None, 100.0),
                    "validation_curve" => {
                        let range = argument("param_range", 4).map_or(Amount::UNKNOWN, |of| self.scope.iterations(of));
                        folds() * range
                    }
                    _ => return,
                };
                let model = argument("estimator", 0).and_then(|model| self.scope.value(model)?.into_model());
                let (rows, columns) = self.scope.samples(argument("X", 1));
                let work = match model {
                    Some(model) => self.scope.model_operations(&model.parts, rows, columns) * model.runs,
                    None => {
                        let part = Part { growth: Growth::Iterative(100), call: None };
                        self.scope.fit_operations(&part, rows, columns).and(Amount::UNKNOWN)
                    }
                };
                self.add_fit(work * runs, call.start());
            }
            ["xgboost" | "lightgbm" | "catboost", name @ ("train" | "cv")] => {
                let (rows, columns) = self.scope.samples(argument("dtrain", 1));
                let default = if path[0] == "xgboost" { 10 } else { 100 };
                let part = Part { growth: Growth::Histogram(default), call: Some(call) };
                let runs = if *name == "cv" { number("nfold", None, 5.0) } else { Amount::ONE };
                self.add_fit(self.scope.fit_operations(&part, rows, columns) * runs, call.start());
            }
            ["numpy", "dot" | "matmul", ..] if self.visit.depth > 0 => {
                let mut shapes = call.arguments.args.iter().map(|side| self.scope.value(side)?.shape());
                let (left, right) = (shapes.next().flatten(), shapes.next().flatten());
                self.add_product(left.unwrap_or_default(), right.unwrap_or_default());
            }
            ["torch" | "tensorflow" | "keras", .., layer] => self.add_layer(layer, call),
            // A model is created and trained at once: `KMeans().fit(X)` is a method's call.
            [_, .., name] if *name == "fit" && growth(&path[..path.len() - 1]).is_some() => {
                let (rows, columns) = self.scope.samples(call.arguments.args.first());
                let part = growth(&path[..path.len() - 1]).map(|growth| Part { growth, call: None });
                let work = part.map(|part| self.scope.fit_operations(&part, rows, columns));
                self.add_fit(work.unwrap_or(Amount::UNKNOWN), call.start());
            }
            _ => {}
        }
    }

    /// Records a product of matrices in a loop.
    pub(super) fn add_product(&mut self, left: Shape, right: Shape) {
        let inner = left.columns.or(right.rows).unwrap_or(1.0);
        let product = Scope::product_operations(
            Amount::or_unknown(left.rows),
            Amount::exactly(inner),
            Amount::exactly(right.columns.unwrap_or(1.0)),
        );
        self.visit.products = self.visit.products + product * self.visit.times;
    }

    /// Records a layer of a network, with the weights that each sample is multiplied with.
    fn add_layer(&mut self, layer: &str, call: &'a ExprCall) {
        let number =
            |name: &str, position, default| self.scope.number_argument(Some(call), name, Some(position), default);
        let (before, area) = (Amount::exactly(self.scope.units.max(32.0)), Amount::exactly(784.0));
        let (weights, units) = match layer {
            "Linear" | "LazyLinear" => {
                let units = number("out_features", 1, 100.0);
                (number("in_features", 0, 100.0) * units, units)
            }
            "Dense" => {
                let units = number("units", 0, 100.0);
                (before * units, units)
            }
            "Conv2d" | "Conv1d" | "Conv3d" | "ConvTranspose2d" => {
                let units = number("out_channels", 1, 32.0);
                let size = number("kernel_size", 2, 3.0);
                (number("in_channels", 0, 3.0) * units * size * size * area, units)
            }
            "Conv2D" | "Conv1D" | "Conv3D" | "Conv2DTranspose" => {
                let (units, size) = (number("filters", 0, 32.0), number("kernel_size", 1, 3.0));
                (before * units * size * size * area, units)
            }
            "LSTM" | "GRU" | "RNN" | "Bidirectional" | "SimpleRNN" => {
                let units = number(if call.arguments.args.len() > 1 { "hidden_size" } else { "units" }, 0, 64.0);
                (Amount::exactly(4.0 * 20.0) * units * (units + before), units)
            }
            "Transformer" | "TransformerEncoderLayer" | "TransformerDecoderLayer" | "MultiheadAttention" => {
                let units = number("d_model", 0, 512.0);
                (Amount::exactly(12.0 * 20.0) * units * units, units)
            }
            _ => return,
        };
        self.scope.weights = self.scope.weights + weights;
        self.scope.units = units.at_least;
    }

    /// Records a call of one of the program's functions: how often, and what its parameters are given.
    fn add_own_call(&mut self, name: &'a str, call: &'a ExprCall) {
        let Some((&name, parameters)) = self.scope.functions.get_key_value(name) else { return };
        let parameters = parameters.clone();
        self.add_calls(name, Amount::ONE);
        let by_position = parameters.iter().copied().zip(&call.arguments.args);
        let by_name = call.arguments.keywords.iter().filter_map(|keyword| {
            let given = keyword.arg.as_ref()?.as_str();
            Some((*parameters.iter().find(|parameter| **parameter == given)?, &keyword.value))
        });
        for (parameter, argument) in by_position.chain(by_name) {
            self.bind_literal(parameter, argument);
            let Some(value) = self.scope.value(argument) else { continue };
            let joined = match self.arguments.remove(&(name, parameter)) {
                Some(before) => before.or(value),
                None => value,
            };
            self.arguments.insert((name, parameter), joined);
        }
    }

    fn add_calls(&mut self, name: &'a str, times: Amount) {
        // A recursive call is part of the first.
        if !self.enclosing_functions.contains(&name) {
            let calls = self.calls.entry(name).or_insert(Amount::ZERO);
            *calls = *calls + self.visit.times * times;
        }
    }
}

/// Returns whether a method with this name trains a model.
fn is_fit(name: &str) -> bool {
    matches!(
        name,
        "fit" | "fit_transform" | "fit_predict" | "partial_fit" | "train" | "fit_generator" | "fit_regularized"
    )
}
