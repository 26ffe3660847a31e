//! The allow-list for numpy, pandas, scipy and scikit-learn: what is deterministic with the same build on the same
//! machine.
//!
//! Excluded, and so never proven: uninitialised memory (`empty`), dates that pandas parses from text (a time without a
//! date is of today), random numbers without a literal seed, parallel jobs, and messages of exceptions.

use ruff_python_ast::{Expr, ExprCall};

use super::{Member, tables};
use crate::analyse::python::modules::top;
use crate::analyse::python::survey::is_number_literal;
use crate::analyse::python::verdict::hazard::Hazard;

/// Returns whether a module belongs to the packages of this file.
pub(in crate::analyse::python::verdict) fn is_science(module: &str) -> bool {
    matches!(top(module), "numpy" | "pandas" | "scipy" | "sklearn")
}

pub(super) fn is_known_module(name: &str) -> bool {
    matches!(
        name,
        "numpy"
            | "numpy.linalg"
            | "numpy.random"
            | "numpy.fft"
            | "numpy.polynomial"
            | "numpy.typing"
            | "pandas"
            | "scipy"
    ) || name.strip_prefix("scipy.").is_some_and(|part| {
        matches!(
            part,
            "stats"
                | "optimize"
                | "integrate"
                | "linalg"
                | "interpolate"
                | "special"
                | "constants"
                | "spatial"
                | "spatial.distance"
                | "fft"
                | "signal"
        )
    }) || name.strip_prefix("sklearn.").is_some_and(|part| {
        matches!(part, "preprocessing" | "linear_model" | "metrics" | "model_selection" | "datasets" | "decomposition")
    })
}

pub(super) fn member(path: &[&str]) -> Option<Member> {
    use Member::{Class, Produces, Retains, Value};
    match path {
        ["numpy" | "pandas" | "scipy" | "sklearn", "__version__"] => Some(Value),
        ["numpy", rest @ ..] => numpy(rest),
        ["pandas", rest @ ..] => pandas(rest),
        ["scipy", rest @ ..] => scipy(rest),
        [
            "sklearn",
            "preprocessing",
            "StandardScaler" | "MinMaxScaler" | "MaxAbsScaler" | "RobustScaler" | "Normalizer",
        ]
        | ["sklearn", "preprocessing", "LabelEncoder" | "OneHotEncoder" | "OrdinalEncoder" | "Binarizer"]
        | ["sklearn", "preprocessing", "PolynomialFeatures" | "LabelBinarizer"]
        | ["sklearn", "linear_model", "LinearRegression" | "Ridge" | "Lasso" | "ElasticNet"] => Some(Class),
        ["sklearn", "decomposition", "PCA"] | ["sklearn", "linear_model", "LogisticRegression"] => Some(Class),
        ["sklearn", "datasets", "load_iris" | "load_wine" | "load_breast_cancer" | "load_diabetes" | "load_digits"] => {
            Some(Retains)
        }
        ["sklearn", "datasets", "make_regression" | "make_classification" | "make_blobs" | "make_moons"]
        | ["sklearn", "model_selection", "train_test_split"] => Some(Retains),
        [
            "sklearn",
            "metrics",
            "accuracy_score"
            | "mean_squared_error"
            | "mean_absolute_error"
            | "r2_score"
            | "precision_score"
            | "recall_score"
            | "f1_score"
            | "confusion_matrix"
            | "classification_report"
            | "roc_auc_score"
            | "log_loss"
            | "zero_one_loss"
            | "silhouette_score"
            | "adjusted_rand_score"
            | "root_mean_squared_error",
        ] => Some(Retains),
        _ => None,
    }
    .map(|member| match path {
        // A frozen distribution prints its address.
        ["scipy", "stats", _] if member == Class => Produces(Hazard::Opaque),
        _ => member,
    })
}

fn numpy(path: &[&str]) -> Option<Member> {
    use Member::{Class, Consumes, Produces, Retains, Type, Value};
    Some(match path {
        ["pi" | "e" | "inf" | "nan" | "newaxis" | "euler_gamma"] => Value,
        ["ndarray" | "number" | "integer" | "floating" | "generic"] | ["typing", _] => Type,
        [
            "float64" | "float32" | "float16" | "int64" | "int32" | "int16" | "int8" | "uint64" | "uint32" | "uint16"
            | "uint8" | "bool_" | "complex128" | "complex64" | "str_" | "object_" | "bool",
        ] => Class,
        ["vectorize"] => Produces(Hazard::Function),
        ["ndenumerate" | "ndindex"] => Produces(Hazard::Iterator),
        ["errstate" | "printoptions"] => Produces(Hazard::Opaque),
        ["apply_along_axis" | "fromfunction"] => Consumes,
        ["fromiter"] => Consumes,
        ["poly1d"] | ["linalg", "LinAlgError"] => Class,
        // Creating and reshaping.
        [
            "array" | "asarray" | "zeros" | "ones" | "full" | "zeros_like" | "ones_like" | "full_like" | "arange"
            | "linspace" | "logspace" | "geomspace" | "eye" | "identity" | "diag" | "meshgrid" | "tile" | "repeat"
            | "reshape" | "ravel" | "transpose" | "concatenate" | "vstack" | "hstack" | "dstack" | "column_stack"
            | "stack" | "split" | "array_split" | "hsplit" | "vsplit" | "expand_dims" | "squeeze" | "flip" | "fliplr"
            | "flipud" | "roll" | "rot90" | "append" | "insert" | "delete" | "pad" | "tri" | "tril" | "triu" | "vander"
            | "copy" | "broadcast_to" | "broadcast_shapes" | "atleast_1d" | "atleast_2d" | "swapaxes" | "moveaxis"
            | "indices" | "diag_indices" | "tril_indices" | "triu_indices" | "ix_" | "block" | "asmatrix" | "matrix",
        ] => Retains,
        // Reductions and queries.
        [
            "sum" | "prod" | "mean" | "median" | "average" | "std" | "var" | "min" | "max" | "amin" | "amax" | "ptp"
            | "cumsum" | "cumprod" | "diff" | "gradient" | "percentile" | "quantile" | "nanmean" | "nansum" | "nanstd"
            | "nanvar" | "nanmin" | "nanmax" | "nanmedian" | "nanpercentile" | "nanquantile" | "argmin" | "argmax"
            | "argsort" | "sort" | "searchsorted" | "where" | "nonzero" | "flatnonzero" | "argwhere" | "count_nonzero"
            | "unique" | "bincount" | "histogram" | "digitize" | "corrcoef" | "cov" | "correlate" | "convolve" | "any"
            | "all" | "isnan" | "isinf" | "isfinite" | "isclose" | "allclose" | "array_equal" | "isin" | "in1d"
            | "union1d" | "intersect1d" | "setdiff1d" | "setxor1d" | "shape" | "ndim" | "size" | "clip" | "round"
            | "around" | "interp" | "trapezoid" | "take" | "choose" | "select" | "piecewise" | "nan_to_num" | "isreal"
            | "real" | "imag" | "angle" | "unwrap" | "iscomplex" | "isscalar" | "lexsort" | "ediff1d" | "fmod",
        ] => Retains,
        // Element by element.
        [
            "abs" | "absolute" | "fabs" | "sign" | "sqrt" | "cbrt" | "square" | "exp" | "exp2" | "expm1" | "log"
            | "log2" | "log10" | "log1p" | "sin" | "cos" | "tan" | "arcsin" | "arccos" | "arctan" | "arctan2" | "sinh"
            | "cosh" | "tanh" | "arcsinh" | "arccosh" | "arctanh" | "hypot" | "degrees" | "radians" | "deg2rad"
            | "rad2deg" | "floor" | "ceil" | "trunc" | "rint" | "add" | "subtract" | "multiply" | "divide"
            | "true_divide" | "floor_divide" | "power" | "float_power" | "mod" | "remainder" | "divmod" | "maximum"
            | "minimum" | "fmax" | "fmin" | "equal" | "not_equal" | "greater" | "greater_equal" | "less" | "less_equal"
            | "logical_and" | "logical_or" | "logical_not" | "logical_xor" | "bitwise_and" | "bitwise_or"
            | "bitwise_xor" | "invert" | "left_shift" | "right_shift" | "gcd" | "lcm" | "reciprocal" | "negative"
            | "positive" | "conj" | "conjugate" | "heaviside" | "sinc" | "signbit" | "copysign",
        ] => Retains,
        // Linear algebra and polynomials.
        [
            "dot" | "matmul" | "inner" | "outer" | "cross" | "kron" | "vdot" | "tensordot" | "einsum" | "trace"
            | "roots" | "poly" | "polyfit" | "polyval" | "polyadd" | "polymul" | "polyder" | "polyint" | "polydiv",
        ] => Retains,
        [
            "linalg",
            "solve" | "inv" | "pinv" | "det" | "slogdet" | "eig" | "eigh" | "eigvals" | "eigvalsh" | "svd" | "qr"
            | "cholesky" | "norm" | "lstsq" | "matrix_rank" | "matrix_power" | "cond" | "multi_dot",
        ] => Retains,
        [
            "fft",
            "fft" | "ifft" | "rfft" | "irfft" | "fft2" | "ifft2" | "fftfreq" | "rfftfreq" | "fftshift" | "ifftshift",
        ] => Retains,
        // The survey checks whether it is seeded.
        ["random", "default_rng" | "RandomState" | "PCG64" | "MT19937" | "Philox" | "SFC64" | "Generator"] => {
            Produces(Hazard::Opaque)
        }
        ["random", "seed"] => Retains,
        ["random", name] if is_draw(name) => Retains,
        ["finfo" | "iinfo"] => return None,
        ["set_printoptions" | "seterr" | "array2string" | "array_str" | "array_repr"] => Retains,
        _ => return None,
    })
}

/// The modes of `numpy.pad` that initialise all elements.
const PAD_MODES: [&str; 10] =
    ["constant", "edge", "linear_ramp", "maximum", "mean", "median", "minimum", "reflect", "symmetric", "wrap"];

fn is_draw(name: &str) -> bool {
    matches!(
        name,
        "rand"
            | "randn"
            | "randint"
            | "random"
            | "random_sample"
            | "choice"
            | "shuffle"
            | "permutation"
            | "normal"
            | "uniform"
            | "standard_normal"
            | "exponential"
            | "poisson"
            | "binomial"
            | "beta"
            | "gamma"
            | "lognormal"
            | "multivariate_normal"
            | "integers"
            | "geometric"
            | "chisquare"
            | "triangular"
            | "laplace"
            | "multinomial"
            | "standard_t"
            | "weibull"
            | "pareto"
            | "gumbel"
            | "logistic"
            | "negative_binomial"
            | "dirichlet"
    )
}

fn pandas(path: &[&str]) -> Option<Member> {
    use Member::{Class, Retains, Value};
    Some(match path {
        ["DataFrame" | "Series" | "Index" | "MultiIndex" | "Categorical" | "RangeIndex"] => Class,
        ["NA"] => Value,
        ["DataFrame", "from_dict" | "from_records"] => Retains,
        ["MultiIndex", "from_tuples" | "from_product" | "from_arrays"] => Retains,
        [
            "concat" | "merge" | "pivot_table" | "pivot" | "crosstab" | "cut" | "qcut" | "get_dummies" | "melt"
            | "isna" | "isnull" | "notna" | "notnull" | "unique" | "factorize" | "to_numeric" | "set_option"
            | "read_csv" | "merge_ordered" | "wide_to_long",
        ] => Retains,
        _ => return None,
    })
}

fn scipy(path: &[&str]) -> Option<Member> {
    use Member::{Class, Consumes, Produces, Retains, Value};
    Some(match path {
        // A call freezes the parameters; the instance prints its address.
        ["stats", name] if is_distribution(name) => Class,
        [
            "stats",
            name,
            "pdf" | "logpdf" | "pmf" | "logpmf" | "cdf" | "logcdf" | "sf" | "logsf" | "ppf" | "isf" | "mean" | "var"
            | "std" | "median" | "stats" | "entropy" | "interval" | "moment" | "fit" | "rvs",
        ] if is_distribution(name) => Retains,
        [
            "stats",
            "ttest_ind" | "ttest_rel" | "ttest_1samp" | "pearsonr" | "spearmanr" | "kendalltau" | "linregress"
            | "chi2_contingency" | "chisquare" | "f_oneway" | "kruskal" | "mannwhitneyu" | "wilcoxon" | "shapiro"
            | "ks_2samp" | "normaltest" | "levene" | "bartlett" | "friedmanchisquare" | "fisher_exact" | "zscore"
            | "skew" | "kurtosis" | "mode" | "iqr" | "rankdata" | "gmean" | "hmean" | "sem" | "entropy"
            | "percentileofscore" | "trim_mean" | "quantile" | "describe" | "binomtest" | "jarque_bera" | "variation",
        ] => Retains,
        [
            "optimize",
            "minimize" | "minimize_scalar" | "root" | "root_scalar" | "fsolve" | "brentq" | "bisect" | "newton"
            | "brenth" | "ridder" | "curve_fit" | "least_squares" | "fixed_point",
        ] => Consumes,
        ["optimize", "linear_sum_assignment" | "nnls"] => Retains,
        ["integrate", "quad" | "dblquad" | "tplquad" | "odeint" | "solve_ivp"] => Consumes,
        ["integrate", "simpson" | "trapezoid" | "cumulative_trapezoid" | "romb"] => Retains,
        [
            "linalg",
            "solve" | "inv" | "pinv" | "det" | "eig" | "eigh" | "eigvals" | "eigvalsh" | "svd" | "svdvals" | "qr"
            | "lu" | "lu_factor" | "lu_solve" | "cholesky" | "norm" | "lstsq" | "expm" | "logm" | "sqrtm" | "schur"
            | "null_space" | "orth" | "circulant" | "toeplitz" | "hilbert" | "hadamard" | "block_diag" | "companion"
            | "solve_triangular" | "solve_banded" | "kron",
        ] => Retains,
        [
            "interpolate",
            "interp1d" | "CubicSpline" | "UnivariateSpline" | "PchipInterpolator" | "Akima1DInterpolator",
        ] => Produces(Hazard::Function),
        [
            "special",
            "comb" | "perm" | "factorial" | "factorial2" | "gamma" | "gammaln" | "loggamma" | "beta" | "betaln" | "erf"
            | "erfc" | "erfinv" | "expit" | "logit" | "binom" | "zeta" | "digamma" | "psi" | "j0" | "j1" | "jv" | "jn"
            | "yv" | "iv" | "kv" | "ellipk" | "ellipe" | "lambertw" | "softmax" | "logsumexp" | "xlogy" | "gammainc"
            | "gammaincc" | "betainc" | "ndtr" | "ndtri",
        ] => Retains,
        ["constants", "convert_temperature"] => Retains,
        [
            "constants",
            "value" | "unit" | "precision" | "find" | "lambda2nu" | "nu2lambda" | "test" | "codata" | "constants",
        ] => {
            return None;
        }
        ["constants", name] if !name.starts_with('_') => Value,
        [
            "spatial",
            "distance",
            "euclidean" | "cosine" | "cityblock" | "chebyshev" | "minkowski" | "hamming" | "jaccard" | "correlation"
            | "sqeuclidean" | "cdist" | "pdist" | "squareform" | "mahalanobis" | "canberra" | "braycurtis",
        ] => Retains,
        ["fft", "fft" | "ifft" | "rfft" | "irfft" | "fftfreq" | "rfftfreq" | "fftshift" | "dct" | "idct"] => Retains,
        ["signal", "find_peaks" | "convolve" | "correlate" | "butter" | "lfilter" | "filtfilt" | "savgol_filter"] => {
            Retains
        }
        _ => return None,
    })
}

fn is_distribution(name: &str) -> bool {
    matches!(
        name,
        "norm"
            | "t"
            | "chi2"
            | "f"
            | "binom"
            | "poisson"
            | "uniform"
            | "expon"
            | "gamma"
            | "beta"
            | "lognorm"
            | "bernoulli"
            | "geom"
            | "nbinom"
            | "hypergeom"
            | "weibull_min"
            | "pareto"
            | "cauchy"
            | "logistic"
            | "laplace"
            | "triang"
            | "randint"
            | "rayleigh"
            | "gumbel_r"
    )
}

/// Returns whether a member is deterministic only with the right arguments of its call.
pub(in crate::analyse::python::verdict) fn requires_seed(path: &[&str]) -> bool {
    matches!(path, ["sklearn", ..] | ["scipy", "stats", _, "rvs"])
}

/// Returns why a call of a known function is not deterministic with its arguments, if it is not.
pub(in crate::analyse::python::verdict) fn call_problem(path: &[&str], call: &ExprCall) -> Option<&'static str> {
    if !path.first().is_some_and(|module| is_science(module)) {
        return None;
    }
    let keyword = |name: &str| call.arguments.find_keyword(name).map(|keyword| &keyword.value);
    let is_text = |expr: &Expr, texts: &[&str]| match expr {
        Expr::StringLiteral(text) => texts.contains(&text.value.to_str()),
        _ => false,
    };
    let has_starred = !tables::is_variadic(path) && call.arguments.args.iter().any(Expr::is_starred_expr);
    if has_starred || call.arguments.keywords.iter().any(|keyword| keyword.arg.is_none()) {
        return Some("some arguments are not written out in the call");
    }
    if keyword("n_jobs").is_some() || keyword("workers").is_some() {
        return Some("it runs jobs in parallel");
    }
    if path == ["numpy", "pad"] {
        let mode = keyword("mode").or_else(|| call.arguments.args.get(2));
        if mode.is_some_and(|mode| !is_text(mode, &PAD_MODES)) {
            return Some("a padding mode may leave elements uninitialised");
        }
    }
    // The survey does not detect the draws of these.
    let seeded = keyword("random_state").is_some_and(is_number_literal);
    let draws = match path {
        ["sklearn", "datasets", maker] => maker.starts_with("make_"),
        ["sklearn", "metrics", _] => keyword("sample_size").is_some(),
        ["sklearn", "model_selection", _] | ["sklearn", "decomposition", _] | ["scipy", "stats", _, "rvs"] => true,
        ["sklearn", "linear_model", model] => {
            *model == "LogisticRegression" && keyword("solver").is_some()
                || *model != "LinearRegression" && (keyword("selection").is_some() || keyword("solver").is_some())
        }
        _ => false,
    };
    if draws && !seeded {
        return Some("it draws random numbers without a literal seed");
    }
    if ["random_state", "rng", "seed"].into_iter().filter_map(keyword).any(|seed| !is_number_literal(seed)) {
        return Some("it draws random numbers without a literal seed");
    }
    let unknown_keywords = [
        "permutations",
        "parse_dates",
        "date_format",
        "converters",
        "date_parser",
        "engine",
        // A reader prints its address.
        "chunksize",
        "iterator",
        "storage_options",
        // What an algorithm leaves in its input, or returns for a NaN, is unspecified.
        "check_finite",
        "overwrite_a",
        "overwrite_b",
        "overwrite_ab",
        "overwrite_x",
        "overwrite_y",
        "overwrite_data",
        "overwrite_input",
        "lapack_driver",
        // Without sorting, the order depends on hashes.
        "sorted",
    ];
    if unknown_keywords.into_iter().any(|name| keyword(name).is_some()) {
        return Some("an argument of this call is not known to be deterministic");
    }
    let max_arguments = match path {
        // The further positional arguments include those that are rejected above by keyword.
        ["scipy", "stats", test] if !is_distribution(test) => 3,
        ["pandas", "read_csv"] => 2,
        ["pandas", "pivot_table" | "crosstab"] => 4,
        ["scipy", "linalg", _] => 2,
        _ => usize::MAX,
    };
    if call.arguments.args.len() > max_arguments {
        return Some("an argument of this call is not known to be deterministic");
    }
    if path == ["pandas", "set_option"] {
        let is_display_option =
            |option: &Expr| matches!(option, Expr::StringLiteral(name) if name.value.to_str().starts_with("display."));
        if !call.arguments.args.first().is_some_and(is_display_option) || call.arguments.args.len() != 2 {
            return Some("an option changes more than the display");
        }
    }
    let methods = [
        "BFGS",
        "Nelder-Mead",
        "Powell",
        "CG",
        "L-BFGS-B",
        "SLSQP",
        "TNC",
        "hybr",
        "lm",
        "brentq",
        "bisect",
        "newton",
        "secant",
        "bounded",
        "brent",
        "golden",
        "RK45",
        "RK23",
        "Radau",
        "BDF",
        "LSODA",
        "DOP853",
        "trf",
    ];
    if matches!(path, ["scipy", "optimize" | "integrate", _])
        && keyword("method").is_some_and(|method| !is_text(method, &methods))
    {
        return Some("a method of optimisation may report its run time");
    }
    // By position: `minimize(f, x0, args, method)`, `solve_ivp(f, span, y0, method)`, `root_scalar(f, args, method)`.
    if matches!(path, ["scipy", "optimize", "minimize" | "root" | "root_scalar" | "minimize_scalar"])
        && call.arguments.args.len() > 2
    {
        return Some("a method of optimisation may report its run time");
    }
    // The solution as a function prints its address.
    if path == ["scipy", "integrate", "solve_ivp"]
        && (keyword("dense_output").is_some() || call.arguments.args.len() > 3)
    {
        return Some("an object is used where its address could be printed");
    }
    None
}

/// Returns whether a method of arrays, tables, distributions and models has a deterministic result.
pub(in crate::analyse::python::verdict) fn is_safe_method(name: &str) -> bool {
    matches!(
        name,
        // Arrays.
        "reshape" | "ravel" | "flatten" | "transpose" | "dot" | "sum" | "mean" | "std" | "var" | "min" | "max" | "argmin"
            | "argmax" | "argsort" | "cumsum" | "cumprod" | "cummax" | "cummin" | "prod" | "round" | "clip" | "astype"
            | "tolist" | "item" | "fill" | "repeat" | "nonzero" | "diagonal" | "trace" | "swapaxes" | "squeeze" | "any"
            | "all" | "searchsorted" | "take" | "conj"
            // Tables.
            | "head" | "tail" | "describe" | "median" | "mode" | "quantile" | "corr" | "cov" | "skew" | "kurt" | "sem"
            | "nunique" | "unique" | "value_counts" | "sort_values" | "sort_index" | "nlargest" | "nsmallest" | "rank"
            | "diff" | "pct_change" | "shift" | "dropna" | "fillna" | "ffill" | "bfill" | "interpolate" | "isna" | "isnull"
            | "notna" | "notnull" | "isin" | "between" | "where" | "mask" | "drop" | "drop_duplicates" | "duplicated"
            | "rename" | "reset_index" | "set_index" | "reindex" | "assign" | "merge" | "pivot" | "pivot_table" | "melt"
            | "stack" | "unstack" | "explode" | "groupby" | "rolling" | "expanding" | "agg" | "aggregate" | "apply" | "map"
            | "transform" | "filter" | "first" | "last" | "size" | "nth" | "get_group" | "ngroup" | "cumcount" | "idxmax"
            | "idxmin" | "iterrows" | "itertuples" | "to_dict" | "to_list" | "to_numpy" | "to_string" | "to_frame"
            | "to_json" | "to_csv" | "to_records" | "select_dtypes" | "add_prefix" | "add_suffix" | "abs" | "equals"
            | "sub" | "mul" | "div" | "pow" | "eq" | "ne" | "gt" | "lt" | "ge" | "le" | "droplevel"
            | "get_level_values" | "swaplevel" | "set_axis" | "rename_axis" | "convert_dtypes"
            | "infer_objects" | "combine_first" | "xs"
            // Text in tables.
            | "contains" | "len" | "extract" | "cat" | "slice" | "pad" | "get_dummies"
            // Distributions and draws of a seeded generator.
            | "pdf" | "cdf" | "sf" | "ppf" | "pmf" | "isf" | "interval"
            | "integers" | "normal" | "standard_normal" | "permutation" | "exponential" | "poisson" | "binomial" | "randn"
            | "rand" | "beta" | "gamma" | "lognormal" | "multivariate_normal" | "random_sample"
            // Models.
            | "fit" | "predict" | "fit_transform" | "inverse_transform" | "score" | "predict_proba"
            | "decision_function" | "toarray" | "get_feature_names_out"
            // May draw random numbers: the survey checks whether it is seeded.
            | "sample"
    )
}

/// Returns whether a method of random number generators and distributions does not reveal the address of the object.
pub(super) fn is_object_safe_method(name: &str) -> bool {
    matches!(
        name,
        "pdf"
            | "cdf"
            | "sf"
            | "ppf"
            | "pmf"
            | "isf"
            | "interval"
            | "mean"
            | "std"
            | "var"
            | "median"
            | "integers"
            | "normal"
            | "standard_normal"
            | "permutation"
            | "exponential"
            | "poisson"
            | "binomial"
            | "randn"
            | "rand"
            | "beta"
            | "gamma"
            | "lognormal"
            | "multivariate_normal"
            | "random_sample"
    )
}

/// Returns the hazard that a method of a table returns.
pub(super) fn method_hazard(name: &str) -> Option<Hazard> {
    match name {
        "groupby" | "rolling" | "expanding" => Some(Hazard::Group),
        "iterrows" | "itertuples" => Some(Hazard::Iterator),
        _ => None,
    }
}

/// Returns the hazard of an attribute of tables that gives access to their values.
pub(in crate::analyse::python::verdict) fn accessor(name: &str) -> Option<Hazard> {
    match name {
        "loc" | "iloc" | "at" | "iat" | "str" => Some(Hazard::Accessor),
        // They are data of tables, but methods of lists and dictionaries.
        "index" | "values" => Some(Hazard::PossibleMethod),
        _ => None,
    }
}

/// Returns whether a method calls its first argument, or the elements of a list or dictionary in its place.
pub(in crate::analyse::python::verdict) fn takes_callback(name: &str) -> bool {
    matches!(name, "apply" | "map" | "agg" | "aggregate" | "transform" | "filter")
}

/// Returns whether pandas 2 takes a method of its own in the place of this function, and warns of that with the function's
/// address. NumPy's universal functions, such as `numpy.sqrt`, are called as they are.
pub(in crate::analyse::python::verdict) fn is_replaced_by_pandas(path: &[&str]) -> bool {
    let ["numpy", name] = path else { return false };
    matches!(
        name.strip_prefix("nan").unwrap_or(name),
        "all"
            | "any"
            | "sum"
            | "mean"
            | "prod"
            | "std"
            | "var"
            | "median"
            | "max"
            | "min"
            | "amax"
            | "amin"
            | "cumsum"
            | "cumprod"
    )
}

/// Returns whether an attribute holds data in every type that has it.
pub(super) fn is_data_attribute(name: &str) -> bool {
    matches!(
        name,
        "shape" | "ndim" | "size" | "dtype" | "dtypes" | "columns" | "T" | "empty" | "nbytes" | "itemsize"
            // Results of scipy.
            | "x" | "fun" | "success" | "message" | "nit" | "nfev" | "status" | "root" | "converged" | "statistic" | "pvalue"
            | "slope" | "intercept" | "rvalue" | "stderr" | "t" | "y"
            // Fitted models and data sets.
            | "coef_" | "intercept_" | "mean_" | "var_" | "scale_" | "classes_" | "components_"
            | "explained_variance_" | "explained_variance_ratio_" | "singular_values_" | "data_min_" | "data_max_"
            | "target" | "feature_names" | "target_names"
    )
}

/// Returns whether a program may set an attribute of tables and arrays: names and shapes.
pub(in crate::analyse::python::verdict) fn is_settable_attribute(name: &str) -> bool {
    matches!(name, "columns" | "index" | "name" | "names" | "shape")
}

/// Returns whether arrays and tables have a member of this name that is not allowed. A program's own member of the same
/// name must not hide it.
pub(in crate::analyse::python::verdict) fn is_unsafe_member(name: &str) -> bool {
    matches!(
        name,
        "sample"
            | "rvs"
            | "resample"
            | "ewm"
            | "info"
            | "plot"
            | "hist"
            | "boxplot"
            | "query"
            | "eval"
            | "pipe"
            | "flat"
            | "data"
            | "ctypes"
            | "style"
            | "dt"
            | "sparse"
            | "random_state"
            | "memory_usage"
            | "dump"
            | "dumps"
            | "view"
            | "base"
            | "freeze"
            | "resize"
            | "flags"
            | "getfield"
            | "setflags"
            | "groups"
            | "indices"
            | "attrs"
    )
}
