//! What it takes to fit each kind of model, in operations of which the scientific tier runs about 10⁹ in a second.
//!
//! The formulas are the textbooks' orders of growth; their factors were measured with scikit-learn 1.9 and statsmodels 0.14
//! on one core, and hold within a factor of ten.

use ruff_python_ast::ExprCall;

use super::amount::Amount;
use super::scope::Scope;

/// Operations of the smallest fit: checks of arguments and data.
const SMALLEST_FIT: f64 = 1e6;
/// How much faster matrix products are than other operations.
const MATRIX_FACTOR: f64 = 0.2;

/// How the work of a fit grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    /// One pass over the data.
    Pass,
    /// A closed solution: a decomposition of the data.
    Closed,
    /// So many passes at most, unless an argument says otherwise.
    Iterative(u32),
    Tree,
    /// So many trees, grown independently.
    Forest(u32),
    /// So many small trees, each over all data.
    Boosting(u32),
    /// So many trees over binned data.
    Histogram(u32),
    /// A kernel between all pairs of samples.
    Kernel,
    Neighbours,
    /// Centres of so many clusters.
    Clusters(u32),
    Mixture,
    /// Distances between all pairs of samples.
    Pairwise,
    Embedding,
    /// A matrix of all pairs of samples, decomposed so often.
    Cubic(u32),
    Perceptron,
    /// Layers that the program lists.
    Layers,
    TimeSeries,
}

/// A part of a model: how the work of its fit grows, and the call with its arguments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) growth: Growth,
    pub(super) call: Option<&'a ExprCall>,
}

/// Returns how the fit of the class or function at this path grows, if it is a model's.
pub(super) fn growth(path: &[&str]) -> Option<Growth> {
    use Growth::{
        Boosting, Closed, Clusters, Cubic, Embedding, Forest, Histogram, Iterative, Kernel, Layers, Mixture,
        Neighbours, Pairwise, Pass, Perceptron, TimeSeries, Tree,
    };
    let (name, package) = (*path.last()?, *path.first()?);
    if path.contains(&"kernels") {
        return None;
    }
    Some(match name {
        "LinearRegression"
        | "Ridge"
        | "RidgeCV"
        | "RidgeClassifier"
        | "RidgeClassifierCV"
        | "PCA"
        | "IncrementalPCA"
        | "TruncatedSVD"
        | "LinearDiscriminantAnalysis"
        | "QuadraticDiscriminantAnalysis"
        | "PLSRegression"
        | "CCA"
        | "BayesianRidge"
        | "ARDRegression"
        | "FactorAnalysis"
        | "FastICA"
        | "OLS"
        | "WLS"
        | "GLS"
        | "GLSAR"
        | "ols"
        | "wls"
        | "gls"
        | "AutoReg"
        | "IV2SLS" => Closed,
        "Lasso"
        | "ElasticNet"
        | "SGDClassifier"
        | "SGDRegressor"
        | "LinearSVC"
        | "LinearSVR"
        | "Perceptron"
        | "PassiveAggressiveClassifier"
        | "PassiveAggressiveRegressor"
        | "SparsePCA"
        | "DictionaryLearning" => Iterative(1000),
        "LassoCV" | "ElasticNetCV" | "LassoLarsCV" | "LogisticRegressionCV" | "GraphicalLasso" => Iterative(5000),
        "LogisticRegression"
        | "HuberRegressor"
        | "PoissonRegressor"
        | "GammaRegressor"
        | "TweedieRegressor"
        | "RANSACRegressor"
        | "TheilSenRegressor"
        | "QuantileRegressor"
        | "NMF"
        | "LatentDirichletAllocation"
        | "BernoulliRBM"
        | "Lars"
        | "LassoLars"
        | "IterativeImputer"
        | "Logit"
        | "Probit"
        | "MNLogit"
        | "GLM"
        | "RLM"
        | "Poisson"
        | "NegativeBinomial"
        | "QuantReg"
        | "OrderedModel"
        | "MixedLM"
        | "GEE"
        | "PHReg"
        | "logit"
        | "probit"
        | "glm"
        | "rlm"
        | "poisson"
        | "quantreg"
        | "mixedlm"
        | "mnlogit"
        | "negativebinomial" => Iterative(100),
        "DecisionTreeClassifier" | "DecisionTreeRegressor" | "ExtraTreeClassifier" | "ExtraTreeRegressor" => Tree,
        "RandomForestClassifier"
        | "RandomForestRegressor"
        | "ExtraTreesClassifier"
        | "ExtraTreesRegressor"
        | "RandomTreesEmbedding"
        | "IsolationForest" => Forest(100),
        "GradientBoostingClassifier" | "GradientBoostingRegressor" => Boosting(100),
        "AdaBoostClassifier" | "AdaBoostRegressor" => Boosting(50),
        "HistGradientBoostingClassifier"
        | "HistGradientBoostingRegressor"
        | "XGBClassifier"
        | "XGBRegressor"
        | "XGBRanker"
        | "XGBRFClassifier"
        | "XGBRFRegressor"
        | "LGBMClassifier"
        | "LGBMRegressor"
        | "LGBMRanker" => Histogram(100),
        "CatBoostClassifier" | "CatBoostRegressor" | "CatBoost" => Histogram(1000),
        "SVC" | "SVR" | "NuSVC" | "NuSVR" | "OneClassSVM" => Kernel,
        "KNeighborsClassifier"
        | "KNeighborsRegressor"
        | "RadiusNeighborsClassifier"
        | "RadiusNeighborsRegressor"
        | "NearestNeighbors"
        | "NearestCentroid"
        | "KernelDensity"
        | "LocalOutlierFactor"
        | "Birch"
        | "DBSCAN" => Neighbours,
        "KMeans" | "MiniBatchKMeans" | "BisectingKMeans" => Clusters(8),
        "GaussianMixture" | "BayesianGaussianMixture" => Mixture,
        "AgglomerativeClustering" | "FeatureAgglomeration" | "HDBSCAN" | "OPTICS" | "MeanShift" | "KNNImputer" => {
            Pairwise
        }
        "TSNE" | "UMAP" => Embedding,
        "GaussianProcessClassifier" | "GaussianProcessRegressor" => Cubic(50),
        "AffinityPropagation" | "MDS" | "LabelPropagation" | "LabelSpreading" => Cubic(10),
        "SpectralClustering"
        | "SpectralEmbedding"
        | "SpectralBiclustering"
        | "SpectralCoclustering"
        | "KernelPCA"
        | "KernelRidge"
        | "Isomap"
        | "LocallyLinearEmbedding" => Cubic(2),
        "MLPClassifier" | "MLPRegressor" => Perceptron,
        "Sequential" | "Model" if matches!(package, "keras" | "tensorflow" | "torch") => Layers,
        "ARIMA"
        | "SARIMAX"
        | "VARMAX"
        | "VAR"
        | "UnobservedComponents"
        | "DynamicFactor"
        | "ExponentialSmoothing"
        | "Holt"
        | "SimpleExpSmoothing"
        | "ETSModel"
        | "MarkovRegression"
        | "MarkovAutoregression"
        | "Prophet" => TimeSeries,
        // Scalers, encoders, selections, naive Bayes.
        _ if package == "sklearn" && name.starts_with(char::is_uppercase) => Pass,
        _ => return None,
    })
}

impl<'a> Scope<'a> {
    /// Returns the operations of one fit of a part to this many samples and features.
    pub(super) fn fit_operations(&self, part: &Part<'a>, rows: Amount, columns: Amount) -> Amount {
        let (n, f) = (rows.at_least.max(1.0), columns.at_least.max(1.0));
        let argument = |name: &str, default: f64| self.number_argument(part.call, name, None, default);
        let first = |name: &str, default: f64| self.number_argument(part.call, name, Some(0), default);
        let known = Amount::exactly;
        let levels = (n + 2.0).log2();
        let work = match part.growth {
            Growth::Pass => known(20.0 * n * f),
            Growth::Closed => known(2.0 * n * f * n.min(f) + f * 1e3),
            Growth::Iterative(passes) => {
                let passes = argument("max_iter", f64::from(passes)) * argument("epochs", 1.0);
                // Most converge long before their last pass.
                passes.min(5000.0) * known(0.2 * n * f) + passes.min(200.0) * known(2.0 * n * f + 2e3)
            }
            Growth::Tree => known(25.0 * n * levels * f),
            Growth::Forest(trees) => {
                let each = if part.is_of_classes() { f.sqrt() } else { f };
                first("n_estimators", f64::from(trees)) * known(25.0 * n * levels * each + 1.5e6)
            }
            Growth::Boosting(trees) => {
                let depth = argument("max_depth", 3.0).min(30.0);
                first("n_estimators", f64::from(trees)) * depth * known(60.0 * n * f + 6e5)
            }
            Growth::Histogram(trees) => {
                let rounds = ["n_estimators", "max_iter", "iterations", "num_boost_round", "num_iterations"];
                let named = rounds.iter().find(|name| self.argument(part.call, name, None).is_some());
                let rounds = argument(named.copied().unwrap_or_default(), f64::from(trees));
                rounds * known(20.0 * n * f + 3e6)
            }
            Growth::Kernel => known(n * n * (f + 10.0)),
            Growth::Neighbours => known(20.0 * n * levels * f),
            Growth::Clusters(clusters) => {
                let clusters = first("n_clusters", f64::from(clusters));
                let starts = argument("n_init", 1.0);
                let passes = argument("max_iter", 300.0).min(30.0);
                clusters * starts * passes * known(2.0 * n * f) + starts * passes * known(1e4)
            }
            Growth::Mixture => {
                let passes = argument("n_init", 1.0) * argument("max_iter", 100.0).min(50.0);
                first("n_components", 1.0) * passes * known(2.0 * n * f * f + 1e4)
            }
            Growth::Pairwise => known(2.0 * n * n * (f + levels)),
            Growth::Embedding => argument("max_iter", 1000.0) * known(300.0 * n * levels),
            Growth::Cubic(times) => known(f64::from(times) * (0.5 * n * n * n + n * n * f + 4e6)),
            Growth::Perceptron => {
                let (weights, width) = self.hidden_layers(part.call, f);
                let batches = (n / 200.0).ceil();
                let pass = weights * known(6.0 * MATRIX_FACTOR * n) + width * known(20.0 * n) + known(batches * 2e5);
                argument("max_iter", 200.0) * pass
            }
            Growth::Layers => self.layers() * known(6.0 * MATRIX_FACTOR * n),
            Growth::TimeSeries => {
                let states = self.states(part.call);
                let state = states.at_least;
                known(300.0 * n * (50.0 * state * state + 3000.0) + 1e8).and(states)
            }
        };
        work.and(rows).and(columns) + known(SMALLEST_FIT)
    }

    /// Returns the operations of one step of an optimiser over this many samples.
    pub(super) fn step_operations(&self, rows: Amount) -> Amount {
        self.layers() * rows * Amount::exactly(6.0 * MATRIX_FACTOR) + Amount::exactly(3e5)
    }

    /// Returns the operations of a product of matrices.
    pub(super) fn product_operations(rows: Amount, inner: Amount, columns: Amount) -> Amount {
        rows * inner * columns * Amount::exactly(2.0 * MATRIX_FACTOR) + Amount::exactly(2e3)
    }
}

impl Part<'_> {
    /// Returns whether it is a classifier: its trees look at the square root of the features.
    fn is_of_classes(&self) -> bool {
        self.call.is_none_or(|call| match &*call.func {
            ruff_python_ast::Expr::Name(name) => !name.id.ends_with("Regressor"),
            ruff_python_ast::Expr::Attribute(attribute) => !attribute.attr.ends_with("Regressor"),
            _ => true,
        })
    }
}
