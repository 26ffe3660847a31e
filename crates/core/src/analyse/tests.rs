//! The guarantees of analysis, and its results on the workloads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value;
use switchtower_contract::{File, Program};

use super::{Class, FileScope, Profile, analyse};
use crate::request::SideEffects;

fn profile(source: &str) -> Profile {
    analyse(&Program::python(source))
}

fn effects(source: &str) -> Vec<&'static str> {
    profile(source).effects.iter().map(|effect| effect.name()).collect()
}

fn deterministic(source: &str) -> bool {
    profile(source).verdict.deterministic
}

/// Returns the workloads. Prints a line and returns `None` if their folder does not exist.
fn workloads() -> Option<Vec<Value>> {
    let folder = std::env::var_os("SWITCHTOWER_WORKLOADS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/workloads"), PathBuf::from);
    let Ok(text) = std::fs::read_to_string(folder.join("dev.jsonl")) else {
        eprintln!("skipped: no workloads in {}; SWITCHTOWER_WORKLOADS names their folder", folder.display());
        return None;
    };
    Some(text.lines().map(|line| serde_json::from_str(line).expect("workloads are one JSON object a line")).collect())
}

/// Labelled as drawing random numbers without a seed, but `shuffle` occurs only in a docstring: its output never
/// varies.
const MISLABELLED: &str = "dev-nondeterministic-0035";

#[test]
fn a_program_in_a_language_without_an_analyser_is_unproven_and_may_have_any_side_effect() {
    let file = File { path: "data.csv".to_owned(), content: vec![0; 10] };
    let program = Program { files: vec![file], ..Program::python("puts 1\nputs 2") };
    let profile = super::analyse_with(None, &program);
    assert_eq!((profile.class, profile.score, profile.lines), (Class::Unknown, 0.0, 2));
    assert_eq!((profile.side_effects, profile.memory), (SideEffects::World, 40));
    assert!(profile.parses && !profile.verdict.deterministic && profile.verdict.doubt.is_some());
    assert_eq!(profile.analysis_error.unwrap().text, "python programs are not analysed");
}

#[test]
fn no_workload_with_varying_output_is_proven_deterministic() {
    let Some(items) = workloads() else { return };
    let (mut stable, mut proven, mut wrong) = (0, 0, Vec::new());
    let mut by_category = BTreeMap::new();
    for item in &items {
        let profile = profile(item["code"].as_str().unwrap());
        let varies = !item["cacheable_strict"].as_bool().unwrap();
        if varies && item["id"] != MISLABELLED && profile.verdict.deterministic {
            wrong.push(item["id"].as_str().unwrap());
        }
        let counts: &mut (u32, u32) = by_category.entry(item["category"].as_str().unwrap()).or_default();
        counts.0 += u32::from(!varies);
        counts.1 += u32::from(profile.verdict.deterministic);
        stable += u32::from(!varies);
        proven += u32::from(profile.verdict.deterministic);
    }
    assert!(wrong.is_empty(), "proven although they vary: {wrong:?}");
    // A proof that accepts no program would be sound but useless.
    for (category, least) in [("data_science", 71), ("simple_math", 255)] {
        assert!(by_category[category].1 >= least, "{category}: {}", by_category[category].1);
    }
    println!("deterministic: {proven} proven of {stable} stable programs");
    for (category, (stable, proven)) in &by_category {
        println!("{category:16} {proven} of {stable}");
    }
}

#[test]
fn classes_agree_with_the_workloads_categories() {
    const COUNTED: [&str; 7] =
        ["simple_math", "algorithm", "symbolic", "data_science", "plotting", "ml_training", "network"];
    let Some(items) = workloads() else { return };
    let mut table: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let (mut counted, mut agreed) = (0, 0);
    for item in &items {
        let category = item["category"].as_str().unwrap();
        let class = profile(item["code"].as_str().unwrap()).class.name();
        *table.entry((category, class)).or_default() += 1;
        if COUNTED.contains(&category) {
            counted += 1;
            agreed += u32::from(category == class);
        }
    }
    for ((category, class), count) in &table {
        println!("{category:16} classified as {class:16} {count}");
    }
    println!("agreement: {agreed} of {counted}");
    assert!(f64::from(agreed) >= 0.85 * f64::from(counted), "{agreed} of {counted}");
}

#[test]
fn an_import_is_used_only_if_its_name_is_read() {
    let profile = profile("import numpy\nimport math as m\nfrom os import path, sep\nprint(m.pi, sep)\n");
    let used: Vec<_> = profile.imports.iter().map(|import| (import.module.as_str(), import.used)).collect();
    assert_eq!(used, [("numpy", false), ("math", true), ("os", true)]);
    assert_eq!(profile.needed_modules().collect::<Vec<_>>(), ["math", "os"]);
}

#[test]
fn an_import_whose_failure_is_handled_is_optional() {
    let source = "try:\n    import ujson as json\nexcept ImportError:\n    import json\nprint(json.dumps(1))";
    assert!(profile(source).imports.iter().all(|import| import.optional));
    assert!(profile("from numpy import *\nprint(zeros(3))").imports[0].used);
}

#[test]
fn dynamic_imports_with_a_literal_are_imports() {
    for source in [
        "print(__import__('pandas').__version__)",
        "import importlib\nprint(importlib.import_module('pandas').DataFrame())",
        "from importlib import import_module\npd = import_module('pandas')\nprint(pd.DataFrame())",
    ] {
        assert!(profile(source).needed_modules().any(|module| module == "pandas"), "{source}");
    }
}

#[test]
fn effects_are_found_through_aliases_and_getattr() {
    for source in [
        "import time\nprint(time.time())",
        "from time import perf_counter as p\nprint(p())",
        "import time as t\nf = t.time\nprint(f())",
        "t = __import__('time')\nprint(t.time())",
        "print(getattr(__import__('time'), 'time')())",
        "from datetime import datetime\nprint(datetime.now())",
    ] {
        assert_eq!(effects(source), ["clock"], "{source}");
    }
    assert_eq!(effects("import requests\nprint(requests.get('http://x'))"), ["network"]);
    assert_eq!(effects("import os\nos.system('ls')"), ["processes"]);
    assert_eq!(effects("import os\nprint(os.environ['HOME'])"), ["environment"]);
    assert_eq!(effects("import pandas as pd\npd.read_csv('https://x/y.csv')"), ["network"]);
    assert_eq!(effects("import threading\nthreading.Thread(target=print).start()"), ["threads"]);
}

#[test]
fn paths_determine_the_file_scope() {
    for (source, reach) in [
        ("open('a.txt', 'w').write('x')", FileScope::Scratch),
        ("open('/tmp/a')", FileScope::Scratch),
        ("from pathlib import Path\nPath('/home/user/a').write_text('x')", FileScope::Scratch),
        ("open('/etc/passwd')", FileScope::Outside),
        ("open('/tmpfoo')", FileScope::Outside),
        ("open('../a')", FileScope::Outside),
        ("import sys\nopen(sys.argv[1])", FileScope::Computed),
        ("import pandas as pd, io\npd.read_csv(io.StringIO('a,b'))", FileScope::None),
        ("import sqlite3\nsqlite3.connect(':memory:')", FileScope::None),
    ] {
        assert_eq!(profile(source).files, reach, "{source}");
    }
}

#[test]
fn only_a_literal_seed_that_runs_before_a_draw_determines_it() {
    for source in [
        "import random\nrandom.seed(42)\nprint(random.random())",
        "import random\nrng = random.Random(3)\nprint(rng.random())",
        "import numpy as np\nrng = np.random.default_rng(0)\nprint(rng.normal())",
        "import random\ndef f():\n    return random.random()\nrandom.seed(1)\nprint(f())",
        "import numpy as np\nnp.random.seed(0)\nprint(np.random.rand(3))",
    ] {
        assert_eq!(effects(source), [] as [&str; 0], "{source}");
    }
    for source in [
        "import random\nprint(random.random())",
        "import random\nrandom.seed()\nprint(random.random())",
        "import random\nrandom.seed(None)\nprint(random.random())",
        "import random\nprint(random.random())\nrandom.seed(1)",
        "import random\ndef f():\n    return random.random()\nprint(f())\nrandom.seed(1)",
        "import random\nif x:\n    random.seed(1)\nprint(random.random())",
        "import random\nprint(random.Random().random())",
        "from random import choice as c\nprint(c([1, 2]))",
        "import random as r\nprint(list(map(r.choice, [[1, 2]])))",
        "import numpy as np\nprint(np.random.default_rng().normal())",
        "import random\nrandom.seed(1)\nimport numpy as np\nprint(np.random.rand())",
        "import uuid\nprint(uuid.uuid4())",
        "import secrets\nprint(secrets.token_hex())",
        "import os\nprint(os.urandom(3))",
        "print(getattr(__import__('random'), 'random')())",
        "print(df.sample(3))",
    ] {
        assert_eq!(effects(source), ["randomness"], "{source}");
    }
}

#[test]
fn shell_lines_and_magics_are_recognised() {
    assert_eq!(effects("!pip install x\nprint(1)"), ["shell"]);
    assert_eq!(effects("files = !ls"), ["shell"]);
    assert_eq!(effects("%matplotlib inline\nprint(1)"), ["magic"]);
    assert_eq!(effects("%%bash\nls | grep '("), ["shell"]);
    assert_eq!(effects("%%time\nprint(1)"), ["magic"]);
    assert_eq!(effects("%%html\n<b>'</b>"), ["magic"]);
    assert_eq!(profile("%%bash\nls").class, Class::Shell);
    assert!(profile("%%bash\nls | grep '(").parses);
}

#[test]
fn literal_bounds_determine_the_signals_of_work() {
    let value = |source: &str, name: &str| profile(source).signal(name).map_or(0.0, |signal| signal.value);
    assert!((value("for i in range(10**8):\n    pass", "iterations") - 2.0).abs() < 1e-9);
    let nested = "n = 10000\nfor i in range(n):\n    for j in range(n):\n        pass";
    assert!((value(nested, "iterations") - 2.0).abs() < 1e-9);
    assert!(value("while True:\n    pass", "endless_loop") > 0.0);
    assert_eq!(value("while True:\n    if f():\n        break", "endless_loop"), 0.0);
    assert!(value("x = [0] * 10**9", "allocation") > 0.0);
    assert!(value("def f(n):\n    return f(n - 1)", "recursion") > 0.0);
    let work = profile("def f(n):\n    return f(n - 1)\nfor i in range(10**7):\n    print(i)");
    let sum: f64 = work.signals.iter().map(|signal| signal.weight * signal.value).sum();
    assert_eq!(work.score, sum);
    assert_eq!(work.signal("iterations").unwrap().line, Some(3));
}

#[test]
fn programs_with_the_same_output_everywhere_are_proven() {
    for source in [
        "print(sum(range(1000)))",
        "import math\nprint(math.sqrt(2), f'{math.pi:.3f}')",
        "words = 'a b a'.split()\nprint(sorted(set(words)), len(set(words)))",
        "seen = set()\nfor x in [1, 2, 1]:\n    if x not in seen:\n        seen.add(x)\nprint(len(seen))",
        "def f(n):\n    return n if n < 2 else f(n - 1) + f(n - 2)\nprint(list(map(f, range(10))))",
        "from collections import Counter\nprint(Counter('banana').most_common(2))",
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nprint(P(1), P(2).x)",
        "def evens(n):\n    for i in range(n):\n        yield 2 * i\nprint(list(evens(5)), sum(evens(3)))",
        "print(sorted([3, 1], key=lambda x: -x), '{:.2f}'.format(1))",
        "import hashlib\nprint(hashlib.sha256(b'x').hexdigest())",
        "import random\nrandom.seed(7)\nprint(random.randint(1, 6))",
        "a, b = map(int, '1 2'.split())\nprint(a + b)",
    ] {
        let verdict = profile(source).verdict;
        assert!(verdict.deterministic, "{source}\n{:?}", verdict.reasons);
    }
}

#[test]
fn programs_whose_output_may_differ_are_never_proven() {
    for source in [
        "print({'a', 'b'})",
        "print(list(set('abc')))",
        "s = set('abc')\nfor c in s:\n    print(c)",
        "s = set('abc')\nprint(s.pop())",
        "s = set('abc')\nt = s\nprint(t)",
        "def f(x):\n    print(x)\nf({'a', 'b'})",
        "print({'a': 1, 'b': 2}.keys() & {'a', 'b'})",
        "print(sorted({'a', 'B'}, key=str.lower))",
        "print(list(map(set, ['ab'])))",
        "from collections import defaultdict\nd = defaultdict(set)\nd[1].add('a')\nd[1].add('b')\nprint(d)",
        "print(hash('a'))",
        "print(id(1))",
        "print(object())",
        "class A:\n    pass\nprint(A())",
        "def f():\n    pass\nprint(f)",
        "print(lambda: 0)",
        "f = lambda: 0\nprint([f])",
        "print(x for x in [1])",
        "print(map(str, [1]))",
        "def g():\n    yield 1\nprint(g())",
        "def g():\n    yield 1\nprint(list(map(g, [])), [g])",
        "print('a'.upper)",
        "print('{0.upper}'.format('a'))",
        "import math\nprint(math)",
        "print(eval('1'))",
        "exec('print(1)')",
        "print(globals())",
        "print(().__class__.__base__.__subclasses__())",
        "import itertools\nfor k, g in itertools.groupby('aab'):\n    print(g)",
        "import re\nprint(re.finditer('a', 'a'))",
        "def h(map):\n    return map\nprint(map(str, [1]))",
        "id = 3\ndef f(x):\n    return __builtins__.id(x)\nprint(f(1))",
        "from math import *\nprint(pi)",
        "import functools\nprint(functools.partial(print, 1))",
        "match 'a':\n    case str(upper=u):\n        print(u)",
        "class A:\n    def __repr__(self):\n        return 'A'\n    def __eq__(self, other):\n        print(other)\nA() == {'a', 'b'}",
        "class A:\n    def __init__(self):\n        self.count = 1\n    def __repr__(self):\n        return ''\nprint('a'.count)",
        "class S(set):\n    def __repr__(self):\n        return ','.join(self)\nprint(S('abc'))",
        "class A:\n    def __repr__(self):\n        return ''\n    def f(self):\n        pass\n    g = f\nprint(A.g)",
        "def f(key=None):\n    print(key)\nf(key=lambda: 0)",
        "import statistics\nprint(statistics.random.random())",
        "import sys\nprint(sys.modules)",
        "print(input())",
        "while True:\n    pass",
        "print(9**9**9)",
        "import datetime\nprint(type(datetime.date(2024, 1, 1)).today())",
        "def f():\n    try:\n        f()\n    except RecursionError as e:\n        print(e)\nf()",
        "print({'a', float('nan')})",
        "print(dict(key=lambda: 0))",
        "print('{key}'.format(key=lambda: 0))",
        "d = {}\nd.update(key=lambda: 0)\nprint(d)",
    ] {
        assert!(!deterministic(source), "{source}");
    }
    let given = Program::python("print(input())").with_stdin("x");
    assert!(analyse(&given).verdict.deterministic);
}

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

#[test]
fn a_difference_that_no_sandbox_observes_is_a_doubt() {
    for source in [
        "print({'a', 'b'})",
        "x = set('hello')\nprint(list(x))",
        "from sympy import *\nx, y = symbols('x y')\nprint((x + y).free_symbols)",
        "import sympy\nfor s in {sympy.pi, sympy.E}: print(s)",
        "def f(a):\n    return set(a)\nprint(f('abc'))",
        "a = {'x': 1}; b = {'y': 2}\nprint(a.keys() - b.keys())",
        "print(eval(\"{'a', 'b'}\"))",
        "import time\nprint(time.sleep(0))",
        "import random\nprint(1)",
        "def f():\n    return input()\nprint(1)",
        "print(().__class__.__subclasses__())",
        "import random\nprint(random.random())",
    ] {
        assert!(profile(source).verdict.doubt.is_some(), "{source}");
    }
    for source in [
        "print(len(set('hello')), sorted({'a', 'b'}))",
        "seen = set()\nfor c in 'abca':\n    if c in seen: print(c)\n    seen.add(c)",
        "from sympy import *\nx = symbols('x')\nprint(len(x.free_symbols), solve(x**2 - 2, x))",
        "import random\nrandom.seed(1)\nprint(random.random())",
        "x = (",
    ] {
        assert_eq!(profile(source).verdict.doubt, None, "{source}");
    }
}

#[test]
fn a_program_that_does_not_parse_has_a_reason_and_no_effects() {
    for source in
        ["print(", "def f(:\n  pass", "x = 'abc", "a b", ")", "import os\nos.system('x'", "x\0y", "  x = 1\n y = 2"]
    {
        let profile = profile(source);
        assert!(!profile.parses && profile.analysis_error.is_some(), "{source:?}");
        assert!(!profile.verdict.deterministic && profile.effects.is_empty() && profile.imports.is_empty());
    }
    for source in ["", "\u{feff}print(1)", "# nothing", "print('\\ud800')"] {
        assert!(profile(source).parses, "{source:?}");
    }
}

/// Returns programs that are made to be expensive to analyse.
fn hostile() -> Vec<String> {
    let mib = 1 << 20;
    let repeated = |unit: &str, size: usize| unit.repeat(size / unit.len());
    vec![
        format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        "[".repeat(mib),
        repeated("{'a':", mib),
        repeated("lambda: ", mib),
        repeated("lambda x, y: ", mib),
        format!("x = {}1", repeated("a + ", mib)),
        format!("x = {}1", repeated("a ** ", mib)),
        format!("x = {}1", repeated("not ", mib)),
        format!("x = {}1", "-".repeat(mib)),
        format!("a{}", repeated(".b", mib)),
        format!("a{}", repeated("()", mib)),
        format!("a{}", repeated("[0]", mib)),
        format!("x = {}1", repeated("1 if a else ", mib)),
        repeated("if x: ", mib),
        repeated("if a, b: ", mib),
        (0..5000).map(|depth| format!("{}if x:\n", " ".repeat(depth % 700))).collect(),
        repeated("f'{", mib),
        format!("x = {}", repeated("f\"{a:{b}}\" ", mib)),
        repeated("x = 1\n", mib),
        repeated("x=1;", mib),
        repeated("import a\n", mib),
        repeated("__import__('a')\n", mib),
        format!("import a{}", repeated("\na.b.c(a.d)", mib)),
        format!("x = [{}]", repeated("1,", mib)),
        format!("x = '{}'", "a".repeat(mib)),
        "\n".repeat(mib),
        "\0".repeat(mib),
        "\u{feff}".repeat(mib / 3),
        repeated("match x:\n case 1 | 2: y\n", mib),
        repeated("class A(B): x = {1, 2}\n", mib),
        repeated("def f(): return f\n", mib),
        repeated("\\\n", mib),
        repeated("!ls\n", mib),
        repeated("%%x\n", mib),
        repeated("x = (1 if a else {b for c in d})\n", mib),
        format!("x = {}c{}", repeated("(a if b else ", 2600), ")".repeat(200)),
        format!("x = {}1", "- ".repeat(3900)),
        format!("x = {}1", "a + ".repeat(1900)),
        format!("a{}", ".b".repeat(1900)),
    ]
}

#[test]
fn hostile_programs_neither_panic_nor_overflow() {
    for source in hostile() {
        let start = source.chars().take(40).collect::<String>();
        #[allow(clippy::disallowed_methods, reason = "the time is only printed")]
        let began = std::time::Instant::now();
        let profile = profile(&source);
        println!("{:>9.1?} parses: {:5} {start:?}", began.elapsed(), profile.parses);
    }
}

#[test]
fn deeply_nested_programs_within_the_limits_are_analysed() {
    let sum = format!("import numpy as np\nx = {}np.zeros(1)", "1 + ".repeat(1500));
    assert!(profile(&sum).needed_modules().any(|module| module == "numpy"));
    let brackets = format!("x = {}1{}", "[".repeat(190), "]".repeat(190));
    assert!(profile(&brackets).parses);
}

proptest! {
    #[test]
    fn analysis_never_panics_on_any_text(source in any::<String>()) {
        profile(&source);
    }

    #[test]
    fn analysis_never_panics_on_any_sequence_of_tokens(tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..80)) {
        profile(&tokens.concat());
    }

    #[test]
    fn analysis_never_panics_on_a_mangled_program(at in 0.0..1.0f64, cut in 0..40usize, put in "\\PC{0,6}") {
        let mut bytes = MANGLED.as_bytes().to_vec();
        let at = (at * bytes.len() as f64) as usize;
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put.bytes());
        profile(&String::from_utf8_lossy(&bytes));
    }
}

const TOKENS: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    ";",
    ".",
    "=",
    ":=",
    "+",
    "-",
    "**",
    "*",
    "%",
    "!",
    "?",
    "@",
    "\n",
    "\n    ",
    " ",
    "\\\n",
    "'",
    "\"\"\"",
    "f'",
    "{x!r:>{y}}",
    "a",
    "self",
    "1",
    "0x",
    "1e",
    "if ",
    "else ",
    "for ",
    "in ",
    "lambda ",
    "def f",
    "class A",
    "return ",
    "yield ",
    "await ",
    "async ",
    "import os",
    "from x import *",
    "match x",
    "case ",
    "try",
    "except ",
    "not ",
    "with ",
    "as ",
    "while True",
    "print",
    "set",
    "random.seed(",
    "__import__('os')",
    "#",
    "\u{feff}",
    "é",
    "\t",
];

const MANGLED: &str = r#"
import random, numpy as np
from dataclasses import dataclass

@dataclass
class Point(object):
    x: int = 0
    def __repr__(self):
        return f"P({self.x!r:>{3}})"

async def main(*args, key=lambda a, b: {a, b}, **rest):
    async with open("x") as f, g() as (a, b):
        yield [c async for c in f if c or not d]

random.seed(3)
for i, (j, k) in enumerate(sorted({1: 2}.items(), key=lambda p: p[1])):
    match i:
        case Point(x=1) | [1, *_] | {"a": b, **rest} if b:
            print("%s" % i, "{0.x}".format(i), end="")
        case _:
            del i
try:
    x = [y := 1, *[2 ** 10 for _ in range(10 ** 3)]]
except* (ValueError, ImportError) as error:
    raise error from None
finally:
    print(getattr(np, "random").rand(3), globals()["x"], __import__("os").path.join("a", "b"))
"#;

#[test]
fn pure_computation_has_no_side_effects() {
    for source in [
        "print(sum(range(10)))",
        "import numpy as np\nimport pandas as pd\ndf = pd.DataFrame({'a': np.arange(3)})\ndf.groupby('a').sum()",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
        "import os.path\nprint(os.path.join('a', 'b'))",
        "print(",
    ] {
        assert_eq!(profile(source).side_effects, SideEffects::None, "{source}");
    }
}

#[test]
fn writing_files_and_starting_threads_are_side_effects_in_the_sandbox() {
    for source in [
        "open('/tmp/x', 'w').write('1')",
        "import pandas as pd\npd.DataFrame([1]).to_csv('x.csv')",
        "import numpy as np\nnp.zeros(3).tofile('x')",
        "import threading\nthreading.Thread(target=print).start()",
    ] {
        assert_eq!(profile(source).side_effects, SideEffects::Sandbox, "{source}");
    }
    // Files of the request, at any path.
    let path = ".ipython/profile_default/startup/x.py".to_owned();
    let given = Program { files: vec![File { path, content: vec![] }], ..Program::python("print(1)") };
    assert_eq!(analyse(&given).side_effects, SideEffects::Sandbox);
}

#[test]
fn a_module_among_the_files_of_a_program_is_not_required_of_a_tier() {
    let files = ["mine.py", "/home/user/package/part.py", "data.csv", "/tmp/elsewhere.py"];
    let files = files.map(|path| File { path: path.to_owned(), content: vec![] }).to_vec();
    let source = "import mine, package.part, data, elsewhere, pandas\nprint(mine, package, data, elsewhere, pandas)";
    let profile = analyse(&Program { files, ..Program::python(source) });
    assert_eq!(profile.needed_modules().collect::<Vec<_>>(), ["data", "elsewhere", "pandas"]);
}

#[test]
fn external_effects_and_dynamic_code_count_as_effects_on_the_world() {
    for source in [
        "import requests\nrequests.get('https://example.org')",
        "!ls",
        "%%bash\nls",
        "import subprocess\nsubprocess.run(['ls'])",
        "import os\ngetattr(os, 'sys' + 'tem')('ls')",
        "import numpy as np\nnp.os.system('ls')",
        "import os\n[os][0].listdir('/')",
        "import os\nrun = os\nprint([run])",
        "f = open\nf('/etc/passwd')",
        "exec('import os')",
        "().__class__.__base__.__subclasses__()",
        "from os import *\nsystem('ls')",
        "import some_package_that_nobody_knows as x\nx.go()",
        "__import__('o' + 's').system('ls')",
        "import sys\nsys.modules['os'].system('ls')",
    ] {
        assert_eq!(profile(source).side_effects, SideEffects::World, "{source}");
    }
}
