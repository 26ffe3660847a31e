//! The sizes of the arrays that a program creates, as far as they are literals.

use ruff_python_ast::{Expr, ExprCall};

use super::bounds::Bounds;

/// Returns the number of elements that a call creates, if the call is known to create an array. A dimension that is not
/// a literal counts as 1.
pub(super) fn elements(path: &[&str], call: &ExprCall, bounds: &Bounds<'_>) -> Option<f64> {
    let sizes = Sizes { call, bounds };
    match path {
        ["numpy", "zeros" | "ones" | "full" | "empty", ..] => sizes.shape(0, "shape"),
        ["numpy", "arange", ..] => bounds.range(call),
        ["numpy", "linspace" | "logspace" | "geomspace", ..] => sizes.shape(2, "num"),
        ["numpy", "eye" | "identity", ..] => {
            let rows = sizes.shape(0, "N")?;
            Some(rows * sizes.shape(1, "M").unwrap_or(rows))
        }
        // Seeds and generators create no arrays.
        ["numpy", "random", "seed" | "default_rng" | "RandomState" | "Generator" | "PCG64" | "SeedSequence", ..] => {
            None
        }
        ["numpy", "random", "rand" | "randn", ..] => {
            Some(call.arguments.args.iter().filter_map(|side| sizes.product(side)).product())
        }
        ["numpy", "random", draw, ..] => sizes.draw(draw),
        ["pandas", "date_range" | "bdate_range" | "period_range" | "timedelta_range", ..] => sizes.shape(2, "periods"),
        ["sklearn", "datasets", maker, ..] if maker.starts_with("make_") => {
            let samples = sizes.shape(0, "n_samples").unwrap_or(100.0);
            Some(samples * sizes.shape(1, "n_features").unwrap_or(20.0))
        }
        _ => None,
    }
}

/// Returns the number of elements that a call of a generator's method draws: `rng.normal(0, 1, 1000)`.
pub(super) fn drawn_elements(method: &str, call: &ExprCall, bounds: &Bounds<'_>) -> Option<f64> {
    Sizes { call, bounds }.draw(method)
}

struct Sizes<'c, 'a> {
    call: &'c ExprCall,
    bounds: &'c Bounds<'a>,
}

impl Sizes<'_, '_> {
    /// Returns the number of elements that a distribution draws. The position of the `size` argument depends on the
    /// distribution.
    fn draw(&self, distribution: &str) -> Option<f64> {
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

    /// Returns the product of a size or shape argument, given by keyword or by position.
    fn shape(&self, index: usize, name: &str) -> Option<f64> {
        let named = self.call.arguments.find_keyword(name).map(|keyword| &keyword.value);
        self.product(named.or_else(|| self.call.arguments.args.get(index))?)
    }

    fn product(&self, shape: &Expr) -> Option<f64> {
        let side = |side: &Expr| self.bounds.number(side).unwrap_or(1.0).max(1.0);
        match shape {
            Expr::Tuple(shape) => Some(shape.elts.iter().map(side).product()),
            Expr::List(shape) => Some(shape.elts.iter().map(side).product()),
            size => self.bounds.number(size).map(|size| size.max(1.0)),
        }
    }
}
