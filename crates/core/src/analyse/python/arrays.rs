//! The sizes of the arrays that a program creates, as far as they are literals.

use ruff_python_ast::{Expr, ExprCall};

use super::bounds::Bounds;

/// The size of an array or a table: its first dimension, and the product of the others. `None` where the source does not
/// show it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Shape {
    pub rows: Option<f64>,
    pub columns: Option<f64>,
}

impl Shape {
    pub(super) fn new(rows: f64, columns: f64) -> Self {
        Self { rows: Some(rows), columns: Some(columns) }
    }

    /// Returns the number of elements; a size that the source does not show counts as 1.
    fn elements(self) -> f64 {
        self.rows.unwrap_or(1.0) * self.columns.unwrap_or(1.0)
    }
}

/// Returns the number of elements that a call creates, if the call is known to create an array. A dimension that is not
/// a literal counts as 1.
pub(super) fn elements(path: &[&str], call: &ExprCall, bounds: &Bounds<'_>) -> Option<f64> {
    created(path, call, bounds).map(Shape::elements)
}

/// Returns the shape of the array that a call creates, if the call is known to create one.
pub(super) fn created(path: &[&str], call: &ExprCall, bounds: &Bounds<'_>) -> Option<Shape> {
    let sizes = Sizes { call, bounds };
    match path {
        ["numpy", "zeros" | "ones" | "full" | "empty", ..] => sizes.shape(0, "shape"),
        ["torch", "zeros" | "ones" | "rand" | "randn" | "empty", ..] => match sizes.shape(0, "size") {
            Some(Shape { columns: Some(1.0), .. }) => Some(sizes.sides()),
            shape => shape,
        },
        ["numpy", "arange", ..] => bounds.range(call).map(|length| Shape::new(length, 1.0)),
        ["numpy", "linspace" | "logspace" | "geomspace", ..] => sizes.shape(2, "num"),
        ["numpy", "eye" | "identity", ..] => {
            let rows = sizes.shape(0, "N")?.rows;
            let columns = sizes.shape(1, "M").map_or(rows, |columns| columns.rows);
            Some(Shape { rows, columns })
        }
        // Seeds and generators create no arrays.
        ["numpy", "random", "seed" | "default_rng" | "RandomState" | "Generator" | "PCG64" | "SeedSequence", ..] => {
            None
        }
        ["numpy", "random", "rand" | "randn", ..] => Some(sizes.sides()),
        ["numpy", "random", draw, ..] => sizes.draw(draw),
        ["pandas", "date_range" | "bdate_range" | "period_range" | "timedelta_range", ..] => sizes.shape(2, "periods"),
        ["sklearn", "datasets", maker, ..] if maker.starts_with("make_") => Some(sizes.sample(maker)),
        _ => None,
    }
}

/// Returns the number of elements that a call of a generator's method draws: `rng.normal(0, 1, 1000)`.
pub(super) fn drawn_elements(method: &str, call: &ExprCall, bounds: &Bounds<'_>) -> Option<f64> {
    drawn(method, call, bounds).map(Shape::elements)
}

/// Returns the shape of the array that a call of a generator's method draws.
pub(super) fn drawn(method: &str, call: &ExprCall, bounds: &Bounds<'_>) -> Option<Shape> {
    let sizes = Sizes { call, bounds };
    match method {
        "rand" | "randn" => Some(sizes.sides()),
        _ => sizes.draw(method),
    }
}

struct Sizes<'c, 'a> {
    call: &'c ExprCall,
    bounds: &'c Bounds<'a>,
}

impl Sizes<'_, '_> {
    /// Returns the shape of what a distribution draws. The position of the `size` argument depends on the distribution.
    fn draw(&self, distribution: &str) -> Option<Shape> {
        let index = match distribution {
            "random" | "random_sample" | "ranf" | "standard_normal" | "standard_exponential" | "standard_cauchy" => 0,
            "choice" | "poisson" | "exponential" | "geometric" | "chisquare" | "pareto" | "weibull" | "rayleigh"
            | "standard_t" | "power" | "dirichlet" => 1,
            "normal"
            | "uniform"
            | "randint"
            | "integers"
            | "binomial"
            | "lognormal"
            | "gamma"
            | "beta"
            | "laplace"
            | "logistic"
            | "gumbel"
            | "multivariate_normal"
            | "negative_binomial"
            | "multinomial" => 2,
            "triangular" | "hypergeometric" => 3,
            _ => return None,
        };
        self.shape(index, "size")
    }

    /// Returns the shape of what one of the makers of scikit-learn's samples makes.
    fn sample(&self, maker: &str) -> Shape {
        let at = usize::from(maker == "make_gaussian_quantiles") * 2;
        let samples = match self.argument(at, "n_samples") {
            // The samples of each class.
            Some(Expr::List(list)) => list.elts.iter().map(|part| self.bounds.number(part)).sum(),
            Some(Expr::Tuple(tuple)) => tuple.elts.iter().map(|part| self.bounds.number(part)).sum(),
            Some(samples) => self.bounds.number(samples),
            None => Some(if maker == "make_hastie_10_2" { 12_000.0 } else { 100.0 }),
        };
        let features = match maker {
            "make_moons" | "make_circles" => Some(2.0),
            "make_swiss_roll" | "make_s_curve" => Some(3.0),
            "make_friedman2" | "make_friedman3" => Some(4.0),
            "make_hastie_10_2" => Some(10.0),
            _ => match self.argument(at + 1, "n_features") {
                Some(features) => self.bounds.number(features),
                None => Some(match maker {
                    "make_blobs" | "make_gaussian_quantiles" => 2.0,
                    "make_friedman1" | "make_sparse_uncorrelated" => 10.0,
                    "make_regression" | "make_low_rank_matrix" => 100.0,
                    _ => 20.0,
                }),
            },
        };
        Shape { rows: samples, columns: features }
    }

    /// Returns the shape whose dimensions are the arguments: `rand(3, 4)`.
    fn sides(&self) -> Shape {
        let arguments = &self.call.arguments.args;
        match arguments.split_first() {
            None => Shape::new(1.0, 1.0),
            Some((rows, columns)) => Shape { rows: self.side(rows), columns: self.product(columns) },
        }
    }

    /// Returns a size or shape argument, given by keyword or by position.
    fn shape(&self, index: usize, name: &str) -> Option<Shape> {
        Some(match self.argument(index, name)? {
            Expr::Tuple(shape) => self.shape_of(&shape.elts),
            Expr::List(shape) => self.shape_of(&shape.elts),
            // That of another array.
            Expr::Attribute(_) => return None,
            size => Shape { rows: self.side(size), columns: Some(1.0) },
        })
    }

    fn shape_of(&self, sides: &[Expr]) -> Shape {
        match sides.split_first() {
            None => Shape::new(1.0, 1.0),
            Some((rows, columns)) => Shape { rows: self.side(rows), columns: self.product(columns) },
        }
    }

    fn argument(&self, index: usize, name: &str) -> Option<&Expr> {
        let named = self.call.arguments.find_keyword(name).map(|keyword| &keyword.value);
        named.or_else(|| self.call.arguments.args.get(index))
    }

    fn side(&self, side: &Expr) -> Option<f64> {
        self.bounds.number(side).map(|side| side.max(1.0))
    }

    /// Returns the product of the sides that are known; `None` if there are some and none is known.
    fn product(&self, sides: &[Expr]) -> Option<f64> {
        let known = sides.iter().filter_map(|side| self.side(side));
        match sides {
            [] => Some(1.0),
            _ => known.reduce(|product, side| product * side),
        }
    }
}
