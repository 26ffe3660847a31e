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
print(np.array(["a", "b"], dtype=object).astype("V8"))
#: where objects are, as bytes
import numpy as np
print(bytes(np.array(["a", "b"], dtype=object)))
#: as a digest
import hashlib
import numpy as np
print(hashlib.sha256(np.array(["a", "b"], dtype=object)).hexdigest())
#: as a digest of a column
import hashlib
import pandas as pd
h = hashlib.md5()
h.update(pd.Series(["a", "b"], dtype=object).values)
print(h.hexdigest())
#: as a text
import numpy as np
print(str(np.array(["a", "b"], dtype=object), "latin1"))
#: joined
import numpy as np
print(b"".join([np.array(["a", "b"], dtype=object)]))
#: joined by a name
import numpy as np
j = "".encode()
print(j.join([np.array(["a", "b"], dtype=object)]))
#: as a number
import numpy as np
print(int.from_bytes(np.array(["a"], dtype=object), "big"))
#: as a check sum
import zlib
import numpy as np
print(zlib.crc32(np.array(["a"], dtype=object)))
#: in a buffer
import io
import numpy as np
b = io.BytesIO(np.array(["a"], dtype=object))
print(b.getvalue())
#: unpacked
import struct
import numpy as np
print(struct.unpack("Q", np.array(["a"], dtype=object)))
#: found
import numpy as np
print(b"abc".find(np.array(["a"], dtype=object)))
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
