//! What is known of numpy, pandas, scipy and scikit-learn: what gives the same on the same build and the same machine.
//!
//! Not here, and so never deterministic: memory that nobody wrote (`empty`), dates that pandas reads from text (a time
//! without a date is of today), whatever draws without a literal seed, more than one job, and messages of exceptions.

use ruff_python_ast::{Expr, ExprCall};

use super::{Member, tables};
use crate::analyse::python::modules::top;
use crate::analyse::python::survey::is_number;
use crate::analyse::python::verdict::hazard::Hazard;

/// True for the packages of this file.
pub(in crate::analyse::python::verdict) fn is_science(module: &str) -> bool {
    matches!(top(module), "numpy" | "pandas" | "scipy" | "sklearn")
}

pub(super) fn module(name: &str) -> bool {
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
    use Member::{Class, Keeps, Makes, Value};
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
            Some(Keeps)
        }
        ["sklearn", "datasets", "make_regression" | "make_classification" | "make_blobs" | "make_moons"]
        | ["sklearn", "model_selection", "train_test_split"] => Some(Keeps),
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
        ] => Some(Keeps),
        _ => None,
    }
    .map(|member| match path {
        // An instance is told from others by its address where it is only named.
        ["scipy", "stats", _] if member == Class => Makes(Hazard::Opaque),
        _ => member,
    })
}

fn numpy(path: &[&str]) -> Option<Member> {
    use Member::{Calls, Class, Keeps, Makes, Type, Value};
    Some(match path {
        ["pi" | "e" | "inf" | "nan" | "newaxis" | "euler_gamma"] => Value,
        ["ndarray" | "number" | "integer" | "floating" | "generic"] | ["typing", _] => Type,
        [
            "float64" | "float32" | "float16" | "int64" | "int32" | "int16" | "int8" | "uint64" | "uint32" | "uint16"
            | "uint8" | "bool_" | "complex128" | "complex64" | "str_" | "object_" | "bool",
        ] => Class,
        ["vectorize"] => Makes(Hazard::Function),
        ["ndenumerate" | "ndindex"] => Makes(Hazard::Iterator),
        ["errstate" | "printoptions"] => Makes(Hazard::Opaque),
        ["apply_along_axis" | "fromfunction"] => Calls,
        ["fromiter"] => Calls,
        ["poly1d"] | ["linalg", "LinAlgError"] => Class,
        // Made and reshaped.
        [
            "array" | "asarray" | "zeros" | "ones" | "full" | "zeros_like" | "ones_like" | "full_like" | "arange"
            | "linspace" | "logspace" | "geomspace" | "eye" | "identity" | "diag" | "meshgrid" | "tile" | "repeat"
            | "reshape" | "ravel" | "transpose" | "concatenate" | "vstack" | "hstack" | "dstack" | "column_stack"
            | "stack" | "split" | "array_split" | "hsplit" | "vsplit" | "expand_dims" | "squeeze" | "flip" | "fliplr"
            | "flipud" | "roll" | "rot90" | "append" | "insert" | "delete" | "pad" | "tri" | "tril" | "triu" | "vander"
            | "copy" | "broadcast_to" | "broadcast_shapes" | "atleast_1d" | "atleast_2d" | "swapaxes" | "moveaxis"
            | "indices" | "diag_indices" | "tril_indices" | "triu_indices" | "ix_" | "block" | "asmatrix" | "matrix",
        ] => Keeps,
        // Asked.
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
        ] => Keeps,
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
        ] => Keeps,
        // Linear algebra and polynomials.
        [
            "dot" | "matmul" | "inner" | "outer" | "cross" | "kron" | "vdot" | "tensordot" | "einsum" | "trace"
            | "roots" | "poly" | "polyfit" | "polyval" | "polyadd" | "polymul" | "polyder" | "polyint" | "polydiv",
        ] => Keeps,
        [
            "linalg",
            "solve" | "inv" | "pinv" | "det" | "slogdet" | "eig" | "eigh" | "eigvals" | "eigvalsh" | "svd" | "qr"
            | "cholesky" | "norm" | "lstsq" | "matrix_rank" | "matrix_power" | "cond" | "multi_dot",
        ] => Keeps,
        [
            "fft",
            "fft" | "ifft" | "rfft" | "irfft" | "fft2" | "ifft2" | "fftfreq" | "rfftfreq" | "fftshift" | "ifftshift",
        ] => Keeps,
        // Whether it is seeded is told by the survey.
        ["random", "default_rng" | "RandomState" | "PCG64" | "MT19937" | "Philox" | "SFC64" | "Generator"] => {
            Makes(Hazard::Opaque)
        }
        ["random", "seed"] => Keeps,
        ["random", name] if is_draw(name) => Keeps,
        ["finfo" | "iinfo"] => return None,
        ["set_printoptions" | "seterr" | "array2string" | "array_str" | "array_repr"] => Keeps,
        _ => return None,
    })
}

/// What numpy puts around an array, all of it written.
const PADDINGS: [&str; 10] =
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
    use Member::{Class, Keeps, Value};
    Some(match path {
        ["DataFrame" | "Series" | "Index" | "MultiIndex" | "Categorical" | "RangeIndex"] => Class,
        ["NA"] => Value,
        ["DataFrame", "from_dict" | "from_records"] => Keeps,
        ["MultiIndex", "from_tuples" | "from_product" | "from_arrays"] => Keeps,
        [
            "concat" | "merge" | "pivot_table" | "pivot" | "crosstab" | "cut" | "qcut" | "get_dummies" | "melt"
            | "isna" | "isnull" | "notna" | "notnull" | "unique" | "factorize" | "to_numeric" | "set_option"
            | "read_csv" | "merge_ordered" | "wide_to_long",
        ] => Keeps,
        _ => return None,
    })
}

fn scipy(path: &[&str]) -> Option<Member> {
    use Member::{Calls, Class, Keeps, Makes, Value};
    Some(match path {
        // Frozen with its parameters; the instance shows its address.
        ["stats", name] if is_distribution(name) => Class,
        [
            "stats",
            name,
            "pdf" | "logpdf" | "pmf" | "logpmf" | "cdf" | "logcdf" | "sf" | "logsf" | "ppf" | "isf" | "mean" | "var"
            | "std" | "median" | "stats" | "entropy" | "interval" | "moment" | "fit" | "rvs",
        ] if is_distribution(name) => Keeps,
        [
            "stats",
            "ttest_ind" | "ttest_rel" | "ttest_1samp" | "pearsonr" | "spearmanr" | "kendalltau" | "linregress"
            | "chi2_contingency" | "chisquare" | "f_oneway" | "kruskal" | "mannwhitneyu" | "wilcoxon" | "shapiro"
            | "ks_2samp" | "normaltest" | "levene" | "bartlett" | "friedmanchisquare" | "fisher_exact" | "zscore"
            | "skew" | "kurtosis" | "mode" | "iqr" | "rankdata" | "gmean" | "hmean" | "sem" | "entropy"
            | "percentileofscore" | "trim_mean" | "quantile" | "describe" | "binomtest" | "jarque_bera" | "variation",
        ] => Keeps,
        [
            "optimize",
            "minimize" | "minimize_scalar" | "root" | "root_scalar" | "fsolve" | "brentq" | "bisect" | "newton"
            | "brenth" | "ridder" | "curve_fit" | "least_squares" | "fixed_point",
        ] => Calls,
        ["optimize", "linear_sum_assignment" | "nnls"] => Keeps,
        ["integrate", "quad" | "dblquad" | "tplquad" | "odeint" | "solve_ivp"] => Calls,
        ["integrate", "simpson" | "trapezoid" | "cumulative_trapezoid" | "romb"] => Keeps,
        [
            "linalg",
            "solve" | "inv" | "pinv" | "det" | "eig" | "eigh" | "eigvals" | "eigvalsh" | "svd" | "svdvals" | "qr"
            | "lu" | "lu_factor" | "lu_solve" | "cholesky" | "norm" | "lstsq" | "expm" | "logm" | "sqrtm" | "schur"
            | "null_space" | "orth" | "circulant" | "toeplitz" | "hilbert" | "hadamard" | "block_diag" | "companion"
            | "solve_triangular" | "solve_banded" | "kron",
        ] => Keeps,
        [
            "interpolate",
            "interp1d" | "CubicSpline" | "UnivariateSpline" | "PchipInterpolator" | "Akima1DInterpolator",
        ] => Makes(Hazard::Function),
        [
            "special",
            "comb" | "perm" | "factorial" | "factorial2" | "gamma" | "gammaln" | "loggamma" | "beta" | "betaln" | "erf"
            | "erfc" | "erfinv" | "expit" | "logit" | "binom" | "zeta" | "digamma" | "psi" | "j0" | "j1" | "jv" | "jn"
            | "yv" | "iv" | "kv" | "ellipk" | "ellipe" | "lambertw" | "softmax" | "logsumexp" | "xlogy" | "gammainc"
            | "gammaincc" | "betainc" | "ndtr" | "ndtri",
        ] => Keeps,
        ["constants", "convert_temperature"] => Keeps,
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
        ] => Keeps,
        ["fft", "fft" | "ifft" | "rfft" | "irfft" | "fftfreq" | "rfftfreq" | "fftshift" | "dct" | "idct"] => Keeps,
        ["signal", "find_peaks" | "convolve" | "correlate" | "butter" | "lfilter" | "filtfilt" | "savgol_filter"] => {
            Keeps
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

/// Members that are the same every time only where a call says so.
pub(in crate::analyse::python::verdict) fn wants_a_seed(path: &[&str]) -> bool {
    matches!(path, ["sklearn", ..] | ["scipy", "stats", _, "rvs"])
}

/// Why a call of something known is not the same every time, for what it is given.
pub(in crate::analyse::python::verdict) fn objection(path: &[&str], call: &ExprCall) -> Option<&'static str> {
    if !path.first().is_some_and(|module| is_science(module)) {
        return None;
    }
    let keyword = |name: &str| call.arguments.find_keyword(name).map(|keyword| &keyword.value);
    let is_text = |expr: &Expr, texts: &[&str]| match expr {
        Expr::StringLiteral(text) => texts.contains(&text.value.to_str()),
        _ => false,
    };
    let starred = !tables::takes_a_list(path) && call.arguments.args.iter().any(Expr::is_starred_expr);
    if starred || call.arguments.keywords.iter().any(|keyword| keyword.arg.is_none()) {
        return Some("its arguments are not written here");
    }
    if keyword("n_jobs").is_some() || keyword("workers").is_some() {
        return Some("it works with several at once");
    }
    if path == ["numpy", "pad"] {
        let mode = keyword("mode").or_else(|| call.arguments.args.get(2));
        if mode.is_some_and(|mode| !is_text(mode, &PADDINGS)) {
            return Some("an edge is left as its memory was found");
        }
    }
    // The draws of these are not seen by the survey.
    let seeded = keyword("random_state").is_some_and(is_number);
    let drawn = match path {
        ["sklearn", "datasets", maker] => maker.starts_with("make_"),
        ["sklearn", "metrics", _] => keyword("sample_size").is_some(),
        ["sklearn", "model_selection", _] | ["sklearn", "decomposition", _] | ["scipy", "stats", _, "rvs"] => true,
        ["sklearn", "linear_model", model] => {
            *model == "LogisticRegression" && keyword("solver").is_some()
                || *model != "LinearRegression" && (keyword("selection").is_some() || keyword("solver").is_some())
        }
        _ => false,
    };
    if drawn && !seeded {
        return Some("it draws randomness that no literal seed fixes");
    }
    if ["random_state", "rng", "seed"].into_iter().filter_map(keyword).any(|seed| !is_number(seed)) {
        return Some("it draws randomness that no literal seed fixes");
    }
    let unknown = [
        "permutations",
        "parse_dates",
        "date_format",
        "converters",
        "date_parser",
        "engine",
        // A reader that is kept shows its address.
        "chunksize",
        "iterator",
        "storage_options",
        // What an algorithm leaves of its input, or makes of a NaN, nobody promises.
        "check_finite",
        "overwrite_a",
        "overwrite_b",
        "overwrite_ab",
        "overwrite_x",
        "overwrite_y",
        "overwrite_data",
        "overwrite_input",
        "lapack_driver",
        // The order of hashes.
        "sorted",
    ];
    if unknown.into_iter().any(|name| keyword(name).is_some()) {
        return Some("nothing certain is known of what it is asked for");
    }
    let most = match path {
        // Below it stand what is left out above by its name.
        ["scipy", "stats", test] if !is_distribution(test) => 3,
        ["pandas", "read_csv"] => 2,
        ["pandas", "pivot_table" | "crosstab"] => 4,
        ["scipy", "linalg", _] => 2,
        _ => usize::MAX,
    };
    if call.arguments.args.len() > most {
        return Some("nothing certain is known of what it is asked for");
    }
    if path == ["pandas", "set_option"] {
        let shows =
            |option: &Expr| matches!(option, Expr::StringLiteral(name) if name.value.to_str().starts_with("display."));
        if !call.arguments.args.first().is_some_and(shows) || call.arguments.args.len() != 2 {
            return Some("an option changes more than what is displayed");
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
        return Some("a method of optimisation may tell how long it took");
    }
    // By place: `minimize(f, x0, args, method)`, `solve_ivp(f, span, y0, method)`, `root_scalar(f, args, method)`.
    if matches!(path, ["scipy", "optimize", "minimize" | "root" | "root_scalar" | "minimize_scalar"])
        && call.arguments.args.len() > 2
    {
        return Some("a method of optimisation may tell how long it took");
    }
    // Its answer as a function shows an address.
    if path == ["scipy", "integrate", "solve_ivp"]
        && (keyword("dense_output").is_some() || call.arguments.args.len() > 3)
    {
        return Some("an object is kept whose text is its address");
    }
    None
}

/// Methods of arrays, tables, distributions and models whose results hold no surprise.
pub(in crate::analyse::python::verdict) fn method(name: &str) -> bool {
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
            // Distributions and what is drawn from a seeded generator.
            | "pdf" | "cdf" | "sf" | "ppf" | "pmf" | "isf" | "interval"
            | "integers" | "normal" | "standard_normal" | "permutation" | "exponential" | "poisson" | "binomial" | "randn"
            | "rand" | "beta" | "gamma" | "lognormal" | "multivariate_normal" | "random_sample"
            // Models.
            | "fit" | "predict" | "fit_transform" | "inverse_transform" | "score" | "predict_proba"
            | "decision_function" | "toarray" | "get_feature_names_out"
            // What may draw: only where the survey sees it seeded.
            | "sample"
    )
}

/// Methods of generators and distributions, which may be called on what shows an address.
pub(super) fn object_method(name: &str) -> bool {
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

/// What a method of a table makes that must not be seen.
pub(super) fn made_by_method(name: &str) -> Option<Hazard> {
    match name {
        "groupby" | "rolling" | "expanding" => Some(Hazard::Group),
        "iterrows" | "itertuples" => Some(Hazard::Iterator),
        _ => None,
    }
}

/// Attributes that are no values but ways to them.
pub(in crate::analyse::python::verdict) fn accessor(name: &str) -> Option<Hazard> {
    match name {
        "loc" | "iloc" | "at" | "iat" | "str" => Some(Hazard::Accessor),
        // Of a table they are data, of lists and dictionaries methods.
        "index" | "values" => Some(Hazard::Method),
        _ => None,
    }
}

/// Methods whose first argument is called, for itself or in a list or dictionary.
pub(in crate::analyse::python::verdict) fn calls_back(name: &str) -> bool {
    matches!(name, "apply" | "map" | "agg" | "aggregate" | "transform" | "filter")
}

/// Attributes that hold data, of every object that has them.
pub(super) fn attribute(name: &str) -> bool {
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

/// Attributes of tables and arrays that a program may set: names and shapes.
pub(in crate::analyse::python::verdict) fn is_stored(name: &str) -> bool {
    matches!(name, "columns" | "index" | "name" | "names" | "shape")
}

/// Names under which arrays and tables have what is not allowed: a program's own must not hide it.
pub(in crate::analyse::python::verdict) fn hides(name: &str) -> bool {
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
