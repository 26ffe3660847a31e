//! The work of training models: what the text of a program shows of it.

use switchtower_contract::{File, Program};

use super::profile;
use crate::analyse::{Training, analyse};

/// Returns the work of training of a program, if it trains a model.
fn training(source: &str) -> Option<Training> {
    profile(source).training
}

/// Asserts that a program's training is known, and of this order of magnitude or one beside it.
fn assert_magnitude(magnitude: u32, source: &str) {
    let training = training(source).unwrap_or_else(|| panic!("it trains nothing: {source}"));
    assert!(training.exact, "not known: {source}");
    assert!(training.magnitude().abs_diff(magnitude) <= 1, "10^{}: {source}", training.magnitude());
}

// Seconds that these programs take with scikit-learn 1.9 and statsmodels 0.14 on one core, as powers of ten of nanoseconds.
const FIT: u32 = 6;
const TENTH: u32 = 8;
const SECOND: u32 = 9;
const MINUTE: u32 = 11;

#[test]
fn the_work_of_training_follows_from_literals_arguments_loops_and_searches() {
    let iris = "from sklearn.datasets import load_iris\nX, y = load_iris(return_X_y=True)\n";
    let forest = "from sklearn.ensemble import RandomForestClassifier\n";
    let search = "from sklearn.model_selection import GridSearchCV, cross_val_score\n";
    for (magnitude, source) in [
        (FIT, "from sklearn.linear_model import Ridge\nprint(Ridge().fit([[1], [2]], [1, 2]).coef_)".to_owned()),
        (FIT, format!("{iris}from sklearn.preprocessing import StandardScaler\nprint(StandardScaler().fit_transform(X))")),
        (TENTH, format!("{iris}{forest}clf = RandomForestClassifier()\nclf.fit(X, y)")),
        (TENTH, format!("{iris}{forest}{search}print(cross_val_score(RandomForestClassifier(n_estimators=10), X, y, cv=10))")),
        (SECOND, format!("{iris}{forest}{search}grid = {{'n_estimators': [50, 100], 'max_depth': [2, 4]}}\ns = GridSearchCV(RandomForestClassifier(), grid, cv=5)\ns.fit(X, y)")),
        (MINUTE, format!("{iris}{forest}clf = RandomForestClassifier(n_estimators=50_000)\nclf.fit(X, y)")),
        (MINUTE, format!("{iris}{forest}for i in range(1000):\n    RandomForestClassifier(random_state=i).fit(X, y)")),
        // The data of a call, through the function's parameters and its default values.
        (MINUTE, format!("import numpy as np\n{forest}def train(data, target, trees=100):\n    model = RandomForestClassifier(n_estimators=trees)\n    return model.fit(data, target)\nrng = np.random.default_rng(0)\nX = rng.normal(size=(200_000, 40))\ntrain(X, X[:, 0] > 0)")),
        (SECOND, format!("import numpy as np\n{forest}def train(data, target, trees=100):\n    model = RandomForestClassifier(n_estimators=trees)\n    return model.fit(data, target)\nX = np.random.rand(200_000, 40)\ntrain(X[:5000], X[:5000, 0] > 0.5)")),
        // Collections of models.
        (TENTH, format!("{iris}{forest}from sklearn.svm import SVC\nmodels = {{'rf': RandomForestClassifier(), 'svc': SVC()}}\nfor name, model in models.items():\n    print(name, model.fit(X, y).score(X, y))")),
        (TENTH, format!("{iris}{forest}from sklearn.pipeline import Pipeline\nfrom sklearn.preprocessing import StandardScaler\nsteps = [('scale', StandardScaler()), ('rf', RandomForestClassifier())]\nPipeline(steps).fit(X, y)")),
        // Lists that are built in comprehensions.
        (TENTH, "import random\nfrom sklearn.cluster import KMeans\npoints = [[random.random(), random.random()] for _ in range(100_000)]\nKMeans(n_clusters=5).fit(points)".to_owned()),
        // Statistical models get their data when they are created.
        (FIT + 1, "import numpy as np\nimport pandas as pd\nimport statsmodels.formula.api as smf\ndf = pd.DataFrame({'x': np.arange(1000), 'y': np.random.rand(1000)})\nprint(smf.ols('y ~ x', data=df).fit().params)".to_owned()),
        // Descents along a gradient.
        (TENTH, "import numpy as np\nX = np.random.rand(100, 3)\nw = np.zeros(3)\nfor epoch in range(1000):\n    w -= 0.1 * X.T @ (X @ w - 1) / 100".to_owned()),
        (MINUTE, "import numpy as np\nX = np.random.rand(50_000, 784)\nW = np.zeros((784, 128))\nfor epoch in range(100):\n    W = W - 0.1 * (X.T @ (X @ W))".to_owned()),
        // Layers, epochs and batches.
        (MINUTE, "import torch\nfrom torch import nn\nfrom torch.utils.data import DataLoader, TensorDataset\nX = torch.randn(60_000, 784)\nnet = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))\nloader = DataLoader(TensorDataset(X, X), batch_size=64)\nfor epoch in range(10):\n    for xb, yb in loader:\n        loss = net(xb).sum()\n        loss.backward()".to_owned()),
        (SECOND, "import numpy as np\nfrom tensorflow import keras\nX = np.random.rand(1000, 20)\nmodel = keras.Sequential([keras.layers.Dense(64), keras.layers.Dense(1)])\nmodel.compile('adam', 'mse')\nmodel.fit(X, X[:, 0], epochs=100)".to_owned()),
        (TENTH, "import numpy as np\nimport xgboost as xgb\nX = np.random.rand(500, 8)\nxgb.train({}, xgb.DMatrix(X, label=X[:, 0]), num_boost_round=50)".to_owned()),
    ] {
        assert_magnitude(magnitude, &source);
    }
}

#[test]
fn training_on_data_that_the_text_does_not_show_has_an_unknown_size() {
    for source in [
        "from sklearn.svm import SVC\nSVC().fit(X, y)",
        "import pandas as pd\nfrom sklearn.svm import SVC\ndf = pd.read_csv('data.csv')\nSVC().fit(df[['a']], df['b'])",
        "import numpy as np\nfrom sklearn.svm import SVC\nn = int(input())\nX = np.random.rand(n, 2)\nSVC().fit(X, X[:, 0] > 0.5)",
        "from sklearn.ensemble import RandomForestClassifier\ntrees = int(input())\nRandomForestClassifier(n_estimators=trees).fit([[1]], [1])",
        "from sklearn.linear_model import SGDRegressor\nmodel = SGDRegressor()\nwhile not good(model):\n    model.partial_fit([[1]], [1])",
        "from sklearn.base import clone\nimport joblib\nmodel = clone(joblib.load('m'))\nmodel.fit([[1]], [1])",
    ] {
        assert!(!training(source).unwrap_or_else(|| panic!("it trains nothing: {source}")).exact, "{source}");
    }
    // What is known is enough to say that it is large.
    let many = training("from sklearn.ensemble import RandomForestClassifier\nRandomForestClassifier(10**6).fit(X, y)")
        .unwrap();
    assert!(!many.exact && many.magnitude() >= 11, "{many:?}");
}

#[test]
fn the_files_of_a_request_bound_what_is_trained_on() {
    let source = "import pandas as pd\nfrom sklearn.ensemble import RandomForestRegressor\ndf = pd.read_csv('data.csv')\nRandomForestRegressor().fit(df.drop(columns=['y']), df['y'])";
    let with = |path: &str, content: Vec<u8>| {
        let files = vec![File { path: path.to_owned(), content }];
        analyse(&Program { files, ..Program::python(source) }).training.unwrap()
    };
    let small = with("data.csv", b"a,b,y\n1,2,3\n4,5,6\n".to_vec());
    assert!(small.exact && small.magnitude() <= 8, "{small:?}");
    let large = with("/home/user/data.csv", format!("{}y\n", "a,".repeat(30)).repeat(100_000).into_bytes());
    assert!(large.exact && large.magnitude() >= 10, "{large:?}");
    let compressed = with("./data.csv", [b"PAR1\0".to_vec(), vec![7; 100_000]].concat());
    assert!(compressed.exact && (8..=10).contains(&compressed.magnitude()), "{compressed:?}");
}

#[test]
fn what_is_called_fit_but_trains_no_model_is_no_training() {
    for source in [
        "class Suit:\n    def fit(self, size):\n        return size\nprint(Suit().fit(3))",
        "from scipy import stats\nprint(stats.norm.fit([1.0, 2.0, 3.0]))",
        "import numpy as np\nx = 2.0\nfor _ in range(10):\n    x = x - (x * x - 2) / (2 * x)\nprint(np.round(x, 3))",
        "from sklearn.metrics import accuracy_score\nprint(accuracy_score([1], [1]))",
        "import numpy as np\nfrom sklearn.base import BaseEstimator\nclass Mean(BaseEstimator):\n    def fit(self, X, y=None):\n        self.mean_ = np.mean(X)\n        return self\nprint(Mean().fit(np.array([1, 2])).mean_)",
    ] {
        assert_eq!(training(source), None, "{source}");
    }
}

#[test]
fn a_program_whose_values_double_with_each_line_is_analysed() {
    let start = "from sklearn.model_selection import train_test_split\nfrom sklearn.svm import SVC\nx = ([1], [2])\n";
    for line in
        ["x = (x, x)\n", "x = train_test_split(x, x)\n", "x = [x, (x, x)], (x,)\n", "x = {'a': (x, x), 'b': (x, x)}\n"]
    {
        let source = format!("{start}{}SVC().fit(x, x)", line.repeat(200));
        // Without a bound, this takes all memory.
        assert!(training(&source).is_some(), "{line}");
    }
}
