"""Programs that run in the zygote once, so that no child pays for the first use of anything.

Each is listed with the modules that it needs; one whose modules are not installed is left out.
"""

STANDARD = """
abc argparse ast asyncio base64 bisect calendar collections.abc concurrent.futures contextlib copy csv dataclasses
datetime decimal enum fractions functools glob gzip hashlib heapq html.parser http.client inspect io itertools json
logging math multiprocessing.pool numbers operator os pathlib pickle platform pprint queue random re secrets shutil
signal socket sqlite3 statistics string struct subprocess tempfile textwrap threading time timeit traceback typing
unittest urllib.request uuid warnings weakref xml.etree.ElementTree zipfile zlib zoneinfo _strptime
""".split()

# How each of them ended, by its code.
ended: dict[str, object] = {}

PROGRAMS = [
    ((), "print(sum(range(1000)))"),
    ((), "{'a': [1, 2.5]}"),
    ((), "x = ("),
    ((), "def f(n):\n    return 1 / n\nf(0)"),
    ((), "undefined_name"),
    ((), """
import json, re, decimal, fractions, statistics, datetime, collections
print(json.dumps({"a": [1, 2.5]}), re.sub(r"(\\d+)", r"<\\1>", "a1b22"), decimal.Decimal("0.1") + 1)
print(fractions.Fraction(1, 3), statistics.mean([1, 2, 3]), datetime.date(2024, 1, 1).strftime("%A"))
"""),
    (("numpy",), """
import numpy as np
rng = np.random.default_rng(0)
a = rng.normal(size=(20, 20))
print(a @ a, np.linalg.inv(a).sum(), np.linalg.eigvalsh(a + a.T), np.linalg.svd(a), np.linalg.solve(a, a[0]))
print(np.sort(a, axis=0).mean(axis=1), np.fft.fft(a[0]), np.unique(a.astype(int)), np.random.rand(3), a.std())
a[50]
"""),
    (("pandas",), """
import io
import numpy as np, pandas as pd
df = pd.DataFrame({"a": [1, 2, 3, 4], "b": list("xyxy"), "c": [0.5, None, 2.5, 3.5],
                   "d": pd.date_range("2024-01-01", periods=4)})
print(df, df.describe(), df.dtypes, df.groupby("b").agg({"a": "sum", "c": ["mean", "std"]}))
print(df.groupby("b")["a"].sum())
print(df.merge(df, on="b").head(), df.pivot_table(index="b", values="a"))
print(df["b"].value_counts(), df.sort_values("c"))
print(df.set_index("d").resample("2D").mean(numeric_only=True), df["b"].str.upper(), df.isna().sum(), df[df.a > 1])
df.info()
text = df.to_csv(index=False)
print(pd.read_csv(io.StringIO(text), parse_dates=["d"]).corr(numeric_only=True), df.to_json())
print(df.apply(lambda r: r.a, axis=1))
df.loc["nowhere"]
"""),
    (("pandas",), "import pandas as pd\npd.DataFrame({'a': [1.5], 'b': ['x']})"),
    (("matplotlib",), """
import matplotlib.pyplot as plt
fig, ax = plt.subplots()
ax.plot([1, 2, 3], [1, 4, 9], label="$x^2$")
ax.bar([1, 2], [3, 4])
ax.scatter([1], [2])
ax.set_title("title"); ax.set_xlabel("x"); ax.legend(); ax.grid(True)
plt.tight_layout()
"""),
    (("sympy",), """
import sympy as sp
x = sp.symbols("x")
print(sp.integrate(x**2, x), sp.solve(x**2 - 2, x), sp.diff(sp.exp(x) / x, x))
print(sp.simplify(sp.sin(x)**2 + sp.cos(x)**2))
sp.Rational(1, 3) * x
"""),
    (("scipy", "numpy"), """
import numpy as np
from scipy import optimize, stats
print(optimize.minimize(lambda p: (p[0] - 1)**2, [0.0]).x, stats.ttest_ind([1, 2, 3], [2, 3, 5]).pvalue)
print(stats.norm.cdf(1.0))
"""),
    (("sklearn", "numpy"), """
import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split
x = np.arange(20.0).reshape(-1, 1)
a, b, c, d = train_test_split(x, x.ravel(), random_state=0)
print(LinearRegression().fit(a, c).predict(b))
"""),
]  # fmt: skip

CELLS = [
    "x = 1\n[x, 'two', 3.0]",
    "import math\n{'a': list(range(40)), 'b': (1, math)}",
    "def f(n):\n    return n / 0\nf(1)",
    "import asyncio\nawait asyncio.sleep(0)",
    "%matplotlib inline\nx",
]

# What a child runs while it waits. As little as touches most: each page that is written costs 4 KiB of memory.
AHEAD = [
    ((), "print(1 + 1)"),
    (("pandas",), "import pandas as pd\npd.DataFrame({'a': [1, 1], 'b': [1.0, 2.0]}).groupby('a').b.mean()"),
]
