//! The values of calls of libraries: data that they create or read, models and what wraps them.

use ruff_python_ast::{Comprehension, Expr, ExprCall};

use super::amount::Amount;
use super::data;
use super::estimators::{Growth, growth};
use super::scope::Scope;
use super::value::{Model, Value, larger, models};
use crate::analyse::python::arrays::{self, Shape};

impl<'a> Scope<'a> {
    /// Returns the value of a call of a library's function or class.
    pub(super) fn library_call(&self, path: &[&'a str], call: &'a ExprCall, depth: usize) -> Option<Value<'a>> {
        let arguments = &*call.arguments.args;
        let name = *path.last()?;
        let package = *path.first()?;
        if let Some(shape) = arrays::created(path, call, &self.bounds).or_else(|| data::sample(path)) {
            let shape = self.add_data(shape);
            let labelled = package == "sklearn" && name.starts_with("make_")
                || call.arguments.find_keyword("return_X_y").is_some()
                || name == "load_data";
            let labels = Value::Data(Shape { columns: Some(1.0), ..shape });
            return Some(match labelled {
                true => Value::Tuple(vec![Some(Value::Data(shape)), Some(labels)]),
                false => Value::Data(shape),
            });
        }
        if let Some(model) = self.wrapper(path, call, depth) {
            return Some(Value::Model(model));
        }
        match path {
            ["pandas", reader, ..] if reader.starts_with("read_") && !reader.starts_with("read_sql") => {
                return Some(Value::Data(self.file(arguments.first(), depth)));
            }
            ["numpy", "load" | "loadtxt" | "genfromtxt" | "fromfile", ..] => {
                return Some(Value::Data(self.file(arguments.first(), depth)));
            }
            ["sklearn", "model_selection", "train_test_split"] => {
                let parts = self.elements(arguments, depth);
                return Some(Value::tuple(parts.into_iter().flat_map(|part| [part.clone(), part]).collect()));
            }
            ["sklearn", "model_selection", "LeaveOneOut"] => {
                return Some(Value::Batches { count: None, rows: None });
            }
            ["sklearn", "model_selection", splitter] if splitter.contains("Fold") || splitter.ends_with("Split") => {
                let default = if splitter.contains("Shuffle") || splitter.starts_with("Repeated") { 10.0 } else { 5.0 };
                let folds = self.number_argument(Some(call), "n_splits", Some(0), default)
                    * self.number_argument(Some(call), "n_repeats", None, 1.0);
                return Some(Value::Batches { count: folds.exact.then_some(folds.at_least), rows: None });
            }
            ["torch", .., "DataLoader"] => {
                let rows = arguments.first().and_then(|data| self.evaluate(data, depth)?.shape()?.rows);
                let size = self.number_argument(Some(call), "batch_size", Some(1), 1.0);
                let count = rows.map(|rows| (rows / size.at_least.max(1.0)).ceil()).filter(|_| size.exact);
                return Some(Value::Batches { count, rows: Some(size.at_least) });
            }
            ["numpy", "column_stack" | "hstack"] => return self.stacked(Stack::Columns, arguments, depth),
            ["numpy", "vstack" | "concatenate" | "row_stack"] | ["pandas", "concat"] | ["torch", "cat"] => {
                return self.stacked(Stack::Rows, arguments, depth);
            }
            ["numpy" | "pandas" | "torch", ..] => {}
            _ => {
                if let Some(growth) = growth(path) {
                    let mut model = Model::of(growth, Some(call));
                    model.data = (package == "statsmodels").then(|| self.model_data(call, depth)).flatten();
                    return Some(Value::Model(model));
                }
            }
        }
        let named = call.arguments.keywords.iter().filter(|_| arguments.is_empty()).map(|keyword| &keyword.value);
        self.joined(arguments, depth).or_else(|| {
            let shapes = named.filter_map(|value| self.evaluate(value, depth)?.shape());
            shapes.reduce(larger).map(Value::Data)
        })
    }

    /// Returns the data that a model of statsmodels is created with.
    fn model_data(&self, call: &'a ExprCall, depth: usize) -> Option<Shape> {
        let named = call.arguments.keywords.iter().map(|keyword| &keyword.value);
        let all = call.arguments.args.iter().chain(named);
        // Those of the order, `(1, 1, 1)`, are none.
        let data = all.filter(|argument| !argument.is_tuple_expr());
        data.filter_map(|argument| self.evaluate(argument, depth)?.shape()).reduce(larger)
    }

    /// Returns the size of the table in a file.
    fn file(&self, path: Option<&'a Expr>, depth: usize) -> Shape {
        let path = match path {
            Some(Expr::StringLiteral(path)) => Some(path.value.to_str()),
            // A text in memory.
            Some(text @ Expr::Call(_)) => {
                let rows = self.evaluate(text, depth).and_then(|value| value.shape()?.rows);
                return self.add_data(Shape { rows: Some(rows.unwrap_or(100.0)), columns: None });
            }
            _ => None,
        };
        self.add_data(data::table(path, self.files).unwrap_or_default())
    }

    /// Returns the model that another one is wrapped in.
    fn wrapper(&self, path: &[&str], call: &'a ExprCall, depth: usize) -> Option<Model<'a>> {
        let name = *path.last()?;
        let argument = |name: &str, position| self.argument(Some(call), name, position);
        let number = |name: &str, default| self.number_argument(Some(call), name, None, default);
        let inner = |names: [&str; 2]| {
            let given = argument(names[0], Some(0)).or_else(|| argument(names[1], None));
            given.map(|given| self.evaluate(given, depth).and_then(Value::into_model))
        };
        // A wrapper around a model that cannot be traced.
        let unknown = || Model::of(Growth::Iterative(100), None).repeated(Amount::UNKNOWN);
        let of_estimator = || inner(["estimator", "base_estimator"]).map(|model| model.unwrap_or_else(unknown));
        let folds = || self.folds(argument("cv", None), depth);
        let runs = match name {
            "Pipeline"
            | "make_pipeline"
            | "ColumnTransformer"
            | "make_column_transformer"
            | "FeatureUnion"
            | "make_union"
            | "VotingClassifier"
            | "VotingRegressor"
            | "StackingClassifier"
            | "StackingRegressor" => {
                let models = models(self.elements(&call.arguments.args, depth));
                let named = || inner(["steps", "estimators"]).flatten();
                let model = models.or_else(named).unwrap_or_else(unknown);
                return Some(if name.starts_with("Stacking") { model.repeated(folds() + Amount::ONE) } else { model });
            }
            "GridSearchCV" | "HalvingGridSearchCV" => {
                self.combinations(argument("param_grid", Some(1))) * folds() + Amount::ONE
            }
            "RandomizedSearchCV" | "HalvingRandomSearchCV" | "BayesSearchCV" => {
                self.number_argument(Some(call), "n_iter", Some(2), 10.0) * folds() + Amount::ONE
            }
            "BaggingClassifier" | "BaggingRegressor" => number("n_estimators", 10.0),
            "AdaBoostClassifier" | "AdaBoostRegressor" if argument("estimator", Some(0)).is_some() => {
                number("n_estimators", 50.0)
            }
            "CalibratedClassifierCV" => folds(),
            "OneVsRestClassifier"
            | "OneVsOneClassifier"
            | "MultiOutputClassifier"
            | "MultiOutputRegressor"
            | "ClassifierChain"
            | "RegressorChain"
            | "SelfTrainingClassifier" => Amount::exactly(5.0),
            "TransformedTargetRegressor" | "SelectFromModel" | "clone" => Amount::ONE,
            "RFE" => Amount::exactly(10.0),
            "RFECV" | "SequentialFeatureSelector" => folds() * Amount::exactly(10.0),
            _ => return None,
        };
        let tree =
            || matches!(name, "BaggingClassifier" | "BaggingRegressor").then(|| Model::of(Growth::Tree, Some(call)));
        let regressor = || inner(["regressor", "regressor"]).map(|model| model.unwrap_or_else(unknown));
        Some(of_estimator().or_else(regressor).or_else(tree).unwrap_or_else(unknown).repeated(runs))
    }

    /// Returns the folds of a cross-validation.
    pub(super) fn folds(&self, cv: Option<&'a Expr>, depth: usize) -> Amount {
        match cv {
            None | Some(Expr::NoneLiteral(_)) => Amount::exactly(5.0),
            Some(cv) => match (self.bounds.number(cv), self.evaluate(cv, depth)) {
                (Some(folds), _) => Amount::exactly(folds.max(1.0)),
                (None, Some(Value::Batches { count: Some(count), .. })) => Amount::exactly(count),
                _ => Amount::exactly(5.0).and(Amount::UNKNOWN),
            },
        }
    }

    fn stacked(&self, along: Stack, arguments: &'a [Expr], depth: usize) -> Option<Value<'a>> {
        match arguments.first()? {
            Expr::List(list) => self.stack(along, &list.elts, depth),
            Expr::Tuple(tuple) => self.stack(along, &tuple.elts, depth),
            Expr::ListComp(list) => self.stack_of(along, &list.generators, &list.elt, depth),
            Expr::Generator(generator) => self.stack_of(along, &generator.generators, &generator.elt, depth),
            other => self.evaluate(other, depth),
        }
    }

    fn stack_of(
        &self,
        along: Stack,
        generators: &'a [Comprehension],
        part: &'a Expr,
        depth: usize,
    ) -> Option<Value<'a>> {
        let counts = generators.iter().map(|generator| self.iterations_within(&generator.iter, depth));
        let count = counts.fold(Amount::ONE, |product, count| product * count);
        let times = |side: Option<f64>| side.filter(|_| count.exact).map(|side| side * count.at_least);
        let shape = self.evaluate(part, depth)?.shape()?;
        Some(Value::Data(self.add_data(match along {
            Stack::Rows => Shape { rows: times(shape.rows), ..shape },
            Stack::Columns => Shape { columns: times(shape.columns), ..shape },
        })))
    }

    /// Returns arrays that are put together.
    pub(super) fn stack(&self, along: Stack, parts: &'a [Expr], depth: usize) -> Option<Value<'a>> {
        let shapes: Vec<Shape> =
            self.elements(parts, depth).into_iter().flatten().filter_map(|value| value.shape()).collect();
        let largest = shapes.iter().copied().reduce(larger)?;
        let sum = |side: fn(&Shape) -> Option<f64>| shapes.iter().map(side).sum::<Option<f64>>();
        let shape = match along {
            Stack::Rows => Shape { rows: sum(|shape| shape.rows), ..largest },
            Stack::Columns => Shape { columns: sum(|shape| shape.columns), ..largest },
        };
        Some(Value::Data(self.add_data(shape)))
    }
}

/// The direction in which arrays are put together.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stack {
    Rows,
    Columns,
}
