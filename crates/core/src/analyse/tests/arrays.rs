//! Which programs with arrays, tables and statistics are proven deterministic.

use super::{deterministic, profile};

#[test]
fn ordinary_arrays_tables_and_statistics_are_proven() {
    for source in [
        "a = np.array([[2, 1], [1, 3]])\nprint(np.linalg.solve(a, [1, 2]), a.T.shape, a.mean(axis=0))",
        "np.random.seed(42)\nx = np.random.normal(0, 1, 100)\nprint(x.mean(), np.std(x))",
        "rng = np.random.default_rng(0)\nprint(rng.normal(size=3), rng.integers(0, 9, 4))",
        "print(np.random.RandomState(3).rand(2))",
        "print(np.random.Generator(np.random.PCG64(7)).random())",
        "with np.errstate(divide='ignore'):\n    print(np.divide([1.0], [0.0]))",
        "print(np.divide([1.0], [0.0], out=np.zeros(1), where=[False]))",
        "f = np.vectorize(lambda x: x + 1)\nprint(f([1, 2]))",
        "df = pd.DataFrame({'a': [1, 2], 'b': [3, 4]})\nprint(df)\nprint(df.describe(), df.loc[0, 'a'], df['b'].sum())",
        "df = pd.DataFrame({'k': list('aab'), 'v': [1, 2, 3]})\nprint(df.groupby('k')['v'].mean())",
        "df = pd.DataFrame({'k': list('aab'), 'v': [1, 2, 3]})\ng = df.groupby('k')\nprint(g['v'].sum())",
        "df = pd.DataFrame({'k': [1]})\nfor key, part in df.groupby('k'):\n    print(key, len(part))",
        "df = pd.DataFrame({'k': [1]})\nprint(df.groupby('k').agg({'k': ['sum', lambda x: x.max()]}))",
        "df = pd.DataFrame({'k': ['x']})\ndf['n'] = df['k'].apply(lambda t: len(t))\nprint(df['k'].str.upper(), df.index.tolist())",
        "df = pd.DataFrame({'k': [2, 1]})\nx = df['k'].values\nprint(x.mean(), x[0], df[df['k'] > 1])",
        "print(pd.read_csv(io.StringIO('a,b\\n1,2')))",
        "df = pd.DataFrame({'k': [1, 2, 3]})\nprint(df.sample(2, random_state=1))",
        "print(stats.norm.cdf(1.96), stats.ttest_ind([1, 2], [2, 3]).pvalue, stats.norm(0, 1).ppf(0.5))",
        "print(stats.norm.rvs(size=3, random_state=1))",
        "print(optimize.minimize(lambda x: x[0] ** 2, [1.0]).x, optimize.brentq(lambda x: x - 1, 0, 3))",
        "print(train_test_split([1, 2, 3], random_state=0))",
        "m = LinearRegression().fit([[1], [2]], [1, 2])\nprint(m.coef_, m.predict([[3]]))",
    ] {
        let verdict = profile(&science(source)).verdict;
        assert!(verdict.deterministic, "{source}\n{:?}", verdict.reasons);
    }
}

#[test]
fn arrays_and_tables_whose_output_may_differ_are_never_proven() {
    for source in [
        // Uninitialised memory.
        "print(np.empty(3))",
        "print(np.empty_like([1.0]))",
        "print(np.add([1.0], [2.0], where=[False]))",
        "print(np.ndarray(3))",
        "print(np.lib.stride_tricks.as_strided(np.zeros(1), (9,), (8,)))",
        // Randomness.
        "print(np.random.rand(3))",
        "np.random.seed()\nprint(np.random.rand(3))",
        "print(np.random.rand(3))\nnp.random.seed(1)",
        "def f(s):\n    np.random.seed(s)\n    return np.random.rand()\nprint(f(None))",
        "print(np.random.default_rng().normal())",
        "s = None\nprint(np.random.default_rng(s).normal())",
        "print(np.random.RandomState().rand())",
        "print(np.random.Generator(np.random.PCG64()).random())",
        "print(stats.norm.rvs(size=3))",
        "s = None\nprint(stats.norm.rvs(size=3, random_state=s))",
        "print(stats.norm.rvs(**{'size': 3}))",
        "print(stats.norm(0, 1).rvs(3))",
        "print(stats.bootstrap(([1, 2],), np.mean))",
        "print(stats.ttest_ind([1, 2], [2, 3], permutations=9))",
        "print(optimize.differential_evolution(lambda x: x[0], [(0, 1)]))",
        "print(pd.DataFrame({'a': [1, 2]}).sample(1))",
        "s = None\nprint(pd.DataFrame({'a': [1, 2]}).sample(1, random_state=s))",
        "print(train_test_split([1, 2, 3]))",
        "print(train_test_split([1, 2, 3], random_state=None))",
        "from sklearn.ensemble import RandomForestClassifier\nprint(RandomForestClassifier().fit([[1], [2]], [0, 1]).predict([[1]]))",
        "print(list(map(stats.norm.rvs, [0])))",
        "print(list(map(train_test_split, [[1, 2]])))",
        "print(list(map(pd.DataFrame({'a': [1, 2]}).sample, [1])))",
        "a = [[1, 2, 3], None, None, 0]\nprint(train_test_split(*a))",
        // The clock.
        "print(pd.Timestamp.now())",
        "print(pd.Timestamp('now'))",
        "print(pd.to_datetime('today'))",
        "print(pd.to_datetime(['10:30']))",
        "print(pd.date_range(end='today', periods=3))",
        "print(np.datetime64('now'))",
        "print(np.array(['now'], dtype='datetime64[s]'))",
        "print(np.array(['n' + 'ow'], dtype='M8[s]'))",
        "print(np.array(['n' + 'ow']).astype('<M8[s]'))",
        "print(pd.Series(['10:30']).astype('datetime64[ns]'))",
        "print(pd.read_csv(io.StringIO('d\\n10:30'), parse_dates=['d']))",
        "import datetime\ns = pd.Series([datetime.datetime(2024, 1, 1)])\nprint(s > '10:30')",
        "print(optimize.minimize(lambda x: x[0] ** 2, [1.0], method='trust-constr'))",
        "print(optimize.minimize(lambda x: x[0] ** 2, [1.0], (), 'trust-constr'))",
        "a = [[1.0], (), 'trust-constr']\nprint(optimize.minimize(lambda x: x[0] ** 2, *a))",
        // Addresses.
        "print(np.mean)",
        "print(np.random.default_rng(1))",
        "print(np.vectorize(len))",
        "print(np.nditer([1]))",
        "print(np.zeros(3).flat)",
        "print(np.zeros(3).data)",
        "print(np.zeros(3).mean)",
        "print(np.array(x for x in [1]))",
        "print([1].index, np.pi)",
        "x = [1].index\nprint(x, np.pi)",
        "print('%s' % [1].index, np.pi)",
        "print({}.values, np.pi)",
        "df = pd.DataFrame({'a': [1]})\nprint(df.groupby('a'))",
        "df = pd.DataFrame({'a': [1]})\ng = df.groupby('a')\nprint(g)",
        "df = pd.DataFrame({'a': [1]})\ng = df.groupby('a')\nprint(g['a'])",
        "df = pd.DataFrame({'a': [1]})\ng = df.groupby('a')\nh = g['a']\nprint(h)",
        "df = pd.DataFrame({'a': [1]})\nprint(df.groupby('a').size)",
        "df = pd.DataFrame({'a': [1]})\nprint([df.groupby('a')])",
        "df = pd.DataFrame({'a': ['x']})\nprint(df['a'].str, df.iloc)",
        "df = pd.DataFrame({'a': [1]})\nprint(df.iterrows())",
        "df = pd.DataFrame({'a': [1]})\nprint(df.rolling(2))",
        "print(stats.norm(0, 1), stats.norm)",
        "print(pd.Series(['a']).map({'a': lambda: 0}))",
        "print(pd.Series(['a']).apply(lambda v: np.mean))",
        "print(dict(func=lambda: 0), np.pi)",
        "import statistics\nprint(statistics.mode([lambda: np.pi]))",
        "from scipy import integrate\nprint(integrate.solve_ivp(lambda t, y: y, (0, 1), [1], dense_output=True))",
        "f = interpolate.interp1d([1, 2], [1, 2])\nprint(f)",
        "class A:\n    def __init__(self):\n        self.data = 1\n    def __repr__(self):\n        return ''\nprint(np.zeros(1).data)",
        "class A:\n    def __repr__(self):\n        return ''\n    def flat(self):\n        return 1\nprint(np.zeros(1).flat())",
        // The order of hashes.
        "print(np.array(list({'a', 'b'})))",
        "print(pd.Series(list(set('ab'))))",
        "print(sorted({float(x) for x in np.array([np.nan, 1.0, 2.0])}))",
        "df = pd.DataFrame({'a': ['x', 'y'], 'b': [1, 1]})\nprint(df.groupby('b')['a'].apply(set))",
        "df = pd.DataFrame({'a': ['x', 'y'], 'b': [1, 1]})\nprint(df.groupby('b')['a'].agg(lambda v: list(set(v))))",
        "try:\n    LinearRegression().fit(1, 2)\nexcept ValueError as e:\n    print(e)",
        // Other effects.
        "print(optimize.differential_evolution(lambda x: x[0], [(0, 1)], workers=2))",
        "print(np.show_config())",
        "print(pd.DataFrame({'a': [1]}).to_pickle('x'))",
        "print(np.load('x.npy'))",
        "print(pd.read_csv('x.csv'))",
        "plt.plot([1, 2])\nplt.show()",
        "print(np.zeros(10**9))",
    ] {
        assert!(!deterministic(&science(source)), "{source}");
    }
}

/// Returns a program with the imports that it needs.
fn science(source: &str) -> String {
    let mut text = String::new();
    for (name, line) in [
        ("np.", "import numpy as np"),
        ("pd.", "import pandas as pd"),
        ("io.", "import io"),
        ("plt.", "import matplotlib.pyplot as plt"),
        ("stats.", "from scipy import stats"),
        ("optimize.", "from scipy import optimize"),
        ("interpolate.", "from scipy import interpolate"),
        ("train_test_split", "from sklearn.model_selection import train_test_split"),
        ("LinearRegression", "from sklearn.linear_model import LinearRegression"),
    ] {
        if source.contains(name) {
            text += line;
            text.push('\n');
        }
    }
    text + source
}
