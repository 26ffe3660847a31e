//! How large the arrays are that a program asks for by literal sizes.

use ruff_python_ast::{Expr, ExprCall};

use super::bounds::Bounds;

/// Elements that a call makes, where its text tells; of what it leaves to the run, one.
pub(super) fn elements(path: &[&str], call: &ExprCall, bounds: &Bounds<'_>) -> Option<f64> {
    let of = Sizes { call, bounds };
    match path {
        ["numpy", "zeros" | "ones" | "full" | "empty", ..] => of.shape(0, "shape"),
        ["numpy", "arange", ..] => bounds.range(call),
        ["numpy", "linspace" | "logspace" | "geomspace", ..] => of.shape(2, "num"),
        ["numpy", "eye" | "identity", ..] => {
            let rows = of.shape(0, "N")?;
            Some(rows * of.shape(1, "M").unwrap_or(rows))
        }
        // Seeds and generators make nothing.
        ["numpy", "random", "seed" | "default_rng" | "RandomState" | "Generator" | "PCG64" | "SeedSequence", ..] => {
            None
        }
        ["numpy", "random", "rand" | "randn", ..] => {
            Some(call.arguments.args.iter().filter_map(|side| of.product(side)).product())
        }
        ["numpy", "random", draw, ..] => of.draw(draw),
        ["pandas", "date_range" | "bdate_range" | "period_range" | "timedelta_range", ..] => of.shape(2, "periods"),
        ["sklearn", "datasets", maker, ..] if maker.starts_with("make_") => {
            let samples = of.shape(0, "n_samples").unwrap_or(100.0);
            Some(samples * of.shape(1, "n_features").unwrap_or(20.0))
        }
        _ => None,
    }
}

/// Elements that a generator draws at once: `rng.normal(0, 1, 1000)`.
pub(super) fn drawn(method: &str, call: &ExprCall, bounds: &Bounds<'_>) -> Option<f64> {
    Sizes { call, bounds }.draw(method)
}

struct Sizes<'c, 'a> {
    call: &'c ExprCall,
    bounds: &'c Bounds<'a>,
}

impl Sizes<'_, '_> {
    /// Where the size stands among the arguments is a matter of the distribution.
    fn draw(&self, kind: &str) -> Option<f64> {
        let at = match kind {
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
        self.shape(at, "size")
    }

    /// A size or a shape, by its name or its place.
    fn shape(&self, at: usize, name: &str) -> Option<f64> {
        let named = self.call.arguments.find_keyword(name).map(|keyword| &keyword.value);
        self.product(named.or_else(|| self.call.arguments.args.get(at))?)
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
