#: kinds of elements
import numpy as np
print(np.array([1, 2], float), np.zeros(2, dtype=int), np.array([1.5]).astype("int64"), np.ones(2, np.float32))
#: kinds of elements, as others have them
import numpy as np
a = np.array([1, 2])
print(np.array([1.0], dtype=a.dtype), np.array([(1, 2)], dtype=[("a", "i4"), ("b", "f8")]))
#: a condition with what is written
import numpy as np
a, b = np.array([1.0, 2.0]), np.array([0.0, 2.0])
print(np.divide(a, b, out=np.zeros_like(a), where=b != 0))
#: an edge
import numpy as np
print(np.pad(np.ones(2), 3), np.pad(np.ones(2), 1, "constant"), np.pad(np.arange(3), 2, mode="reflect"))
#: functions by their names
import pandas as pd
df = pd.DataFrame({"k": list("aab"), "v": [1, 2, 3]})
print(df.groupby("k")["v"].agg(["mean", "sum", lambda x: x.max()]))
print(df.groupby("k").agg(total=("v", "sum"), most=("v", lambda x: x.max())))
print(df.groupby("k").agg({"v": ["min", "max"]}), df["v"].agg("mean"))
#: functions of its own
import pandas as pd
def double(x):
    return 2 * x
triple = lambda x: 3 * x
s = pd.Series([1, 2])
print(s.apply(double), s.map(triple), s.map({1: "a", 2: "b"}), s.apply(str), s.map("{:.1f}".format))
#: a table by a function
import pandas as pd
df = pd.DataFrame({"k": ["a", "b", "a"], "v": [1.0, 2.0, 3.0]})
print(pd.pivot_table(df, values="v", index="k", aggfunc="mean"), pd.crosstab(df["k"], df["v"]))
#: names of columns
import pandas as pd
df = pd.DataFrame([[1, 2]])
df.columns = ["a", "b"]
df["c"] = df["a"] + df["b"]
print(df, df.dtypes, type(df))
#: a seed of numpy
import numpy as np
np.random.seed(0)
print(np.random.rand(2), np.random.normal(size=2))
#: a generator of numpy
import numpy as np
g = np.random.default_rng(7)
print(g.normal(size=2), g.integers(0, 9, 3))
#: text as a table
import io
import pandas as pd
print(pd.read_csv(io.StringIO("a,b\n1,x\n2,y"), index_col="b"))
#: groups
import pandas as pd
df = pd.DataFrame({"k": ["a", None, "b"], "v": [1, 2, 3]})
for key, part in df.groupby("k"):
    print(key, len(part), part["v"].sum())
#: statistics
from scipy import stats
print(stats.ttest_ind([1, 2, 3], [2, 3, 5]).pvalue, stats.norm.cdf(1.96), stats.norm.rvs(size=2, random_state=3))
#: optimisation
from scipy import optimize
print(optimize.minimize(lambda x: (x[0] - 1) ** 2, [0.0], method="BFGS").x, optimize.brentq(lambda x: x - 1, 0, 3))
#: models
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split
X, y = [[1], [2], [3], [4]], [1, 2, 3, 4]
a, b, c, d = train_test_split(X, y, random_state=0)
m = LinearRegression().fit(a, c)
print(m.coef_, m.predict(b))
#: a digest beside arrays
import hashlib
import numpy as np
print(hashlib.md5("a".encode()).hexdigest(), np.ones(2))
#: a digest in two parts
import hashlib
import numpy as np
h = hashlib.md5()
h.update("a".encode("utf8"))
d = {}
d.update({"a": 1})
print(h.hexdigest(), d, np.ones(2))
