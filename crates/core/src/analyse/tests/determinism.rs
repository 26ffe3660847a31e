//! Which programs are proven deterministic.

use switchtower_contract::Program;

use super::{deterministic, profile};
use crate::analyse::analyse;

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
