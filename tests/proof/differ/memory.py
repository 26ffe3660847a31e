#: an edge that is left empty
import numpy as np
print(np.pad(np.ones(2), 300, "empty")[:5])
#: an edge by a keyword
import numpy as np
print(np.pad(np.ones(2), 300, mode="empty")[:5])
#: an edge in a name
import numpy as np
m = "emp" + "ty"
print(np.pad(np.ones(2), 300, m)[:5])
#: an array that is only made
import numpy as np
print(np.empty(3), np.empty_like([1.0]), np.ndarray(3))
#: a condition
import numpy as np
print(np.add([1.0], [2.0], where=[False]))
#: a condition with nothing to write to
import numpy as np
print(np.divide([1.0], [0.0], out=None, where=[False]))
#: a condition with a name to write to
import numpy as np
o = None
print(np.divide([1.0], [0.0], out=o, where=[False]))
#: a condition of a function of scipy
from scipy import special
print(special.gamma([1.0], where=[False]))
#: a condition that is passed on by an array's function
import numpy as np
print(np.vectorize(np.sqrt)(4.0, where=False))
#: a condition that is passed on by a table
import numpy as np
import pandas as pd
print(pd.Series([4.0]).apply(np.sqrt, where=False))
#: a condition among keywords
import numpy as np
import pandas as pd
print(pd.Series([4.0]).apply(np.sqrt, **{"wh" + "ere": False}))
#: a condition along an axis
import numpy as np
print(np.apply_along_axis(np.sqrt, 0, np.ones(3), where=False))
#: a condition of a method
import numpy as np
print(np.ones(3).min(where=[False, False, False], initial=1))
#: fields with memory between them
import numpy as np
print(np.array([(1, 2)], dtype={"names": ["a", "b"], "formats": ["i1", "i8"], "offsets": [0, 8], "itemsize": 32}))
#: raw memory as a kind
import numpy as np
print(np.array(["a", "b"], dtype="O").astype("V8"))
#: where objects are, as bytes
import numpy as np
print(bytes(np.array(["a", "b"], dtype="O")))
#: as a digest
import hashlib
import numpy as np
print(hashlib.sha256(np.array(["a", "b"], dtype="O")).hexdigest())
#: as a digest of a column
import hashlib
import pandas as pd
h = hashlib.md5()
h.update(pd.Series(["a", "b"], dtype="O").values)
print(h.hexdigest())
#: as a text
import numpy as np
print(str(np.array(["a", "b"], dtype="O"), "latin1"))
#: joined
import numpy as np
print(b"".join([np.array(["a", "b"], dtype="O")]))
#: joined by a name
import numpy as np
j = "".encode()
print(j.join([np.array(["a", "b"], dtype="O")]))
#: as a number
import numpy as np
print(int.from_bytes(np.array(["a"], dtype="O"), "big"))
#: as a check sum
import zlib
import numpy as np
print(zlib.crc32(np.array(["a"], dtype="O")))
#: in a buffer
import io
import numpy as np
b = io.BytesIO(np.array(["a"], dtype="O"))
print(b.getvalue())
#: unpacked
import struct
import numpy as np
print(struct.unpack("Q", np.array(["a"], dtype="O")))
#: found
import numpy as np
print(b"abc".find(np.array(["a"], dtype="O")))
#: memory of a neighbour
import numpy as np
print(np.lib.stride_tricks.as_strided(np.zeros(1), (9,), (8,)))
#: what an algorithm leaves
import numpy as np
from scipy import linalg
a = np.array([[2.0, 1.0], [1.0, 3.0]])
print(linalg.inv(a, overwrite_a=True), a)
#: resized
import numpy as np
print(np.resize(np.empty(2), 4))
#: as a number, by a function
import numpy as np
print(list(map(int.from_bytes, [np.array(["a"], dtype="O")], ["big"])))
#: as a text, by a function of two
import numpy as np
print(list(map(str, [np.array(["a"], dtype="O")], ["latin1"])))
#: as a text, one after the other
import functools
import numpy as np
print(functools.reduce(str, [np.array(["a"], dtype="O"), "latin1"]))
#: as a text, along an axis
import numpy as np
print(np.apply_along_axis(str, 0, np.array(["a"], dtype="O"), "latin1"))
#: as a text, of raw columns
import pandas as pd
print(pd.DataFrame({"a": ["x"]}, dtype="O").apply(str, raw=True, args=("latin1",)))
#: as a text, of raw columns, by a keyword
import pandas as pd
print(pd.DataFrame({"a": ["x"]}, dtype="O").apply(str, raw=True, encoding="latin1"))
#: as bytes, by a function
import numpy as np
print(list(map(bytes, [np.array(["a"], dtype="O")])))
#: as bytes, of raw columns
import pandas as pd
print(pd.DataFrame({"a": ["x"]}, dtype="O").apply(bytes, raw=True))
#: as a check sum, by a function
import zlib
import numpy as np
print(list(map(zlib.crc32, [np.array(["a"], dtype="O")])))
#: as a text, where a parameter has that name
import numpy as np
def f(str): return 1
print(str(np.array(["a"], dtype="O"), "latin1"))
#: as a digest, of a name
import hashlib
import numpy as np
a = np.array(["a"], dtype="O")
h = hashlib.md5()
h.update(a)
print(h.hexdigest())
#: pandas 2 warns of a function that it replaces, with its address
import numpy as np
import pandas as pd
print(pd.DataFrame({"k": [1, 2, 1], "v": [1, 2, 3]}).groupby("k").agg({"v": np.sum}))
#: the same of one that was imported by its name
from numpy import nanmax
import pandas as pd
print(pd.Series([1, 2]).agg([nanmax]))
#: the same in a pivot table
import numpy as np
import pandas as pd
print(pd.pivot_table(pd.DataFrame({"k": [1, 1], "v": [1, 2]}), values="v", index="k", aggfunc=np.mean))
