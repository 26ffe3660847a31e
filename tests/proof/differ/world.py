#: today, as a text
import pandas as pd
print(pd.to_datetime("today"), pd.Timestamp("now"))
#: now, in a kind of elements made of two parts
import numpy as np
print(np.array(["n" + "ow"], dtype="M" + "8[s]"))
#: now, in a kind of elements by its place
import numpy as np
k = "M" + "8[s]"
print(np.array(["n" + "ow"], k))
#: now, in a kind of elements among arguments
import numpy as np
print(np.array(*[["n" + "ow"], "M" + "8[s]"]))
#: now, in a column
import pandas as pd
k = "date" + "time64[ns]"
print(pd.Series(["n" + "ow"]).astype(k))
#: now, in a column by its place
import pandas as pd
k = "date" + "time64[ns]"
print(pd.Series(["n" + "ow"], None, k))
#: now, of a dictionary of kinds
import pandas as pd
k = {"a": "date" + "time64[ns]"}
print(pd.DataFrame({"a": ["n" + "ow"]}).astype(k))
#: today, by another name
from datetime import date
f = date.today
print(f())
#: today, of an object
import datetime
print(datetime.date(2024, 1, 1).today())
#: today, of its class
import datetime
print(type(datetime.date(2024, 1, 1)).today())
#: now, of numpy
import numpy as np
print(np.datetime64("now"))
#: the clock
import time
print(time.time())
#: a date as the place has it
import datetime
print(f"{datetime.datetime(2024, 1, 1):%c %Z}")
#: a date as the place has it, by a function
import datetime
print(format(datetime.datetime(2024, 1, 1), "%s"))
#: a date as the place has it, by a format
import datetime
print("{:%s}".format(datetime.datetime(2024, 1, 1)))
#: the environment
import os
print(os.environ, os.getcwd(), os.getpid())
#: the host
import platform
print(platform.node())
#: the interpreter
import sys
print(sys.getsizeof([]), sys.getrefcount(1), sys.path, sys.flags)
#: the place that numbers are written for
import locale
print(locale.getlocale())
#: how many are at work
import os
print(os.cpu_count())
#: threads
import threading
threading.Thread(target=print, args=(1,)).start()
#: the modules
import sys
print(list(sys.modules))
#: itself
print(__file__)
#: what is imported by a call
print(__import__("time").time())
#: its own names
print(globals(), locals(), vars(), dir())
#: how a library was built
import numpy as np
np.show_config()
#: what a table may use
import pandas as pd
pd.set_option("mode.string_storage", "python")
pd.set_option("plotting.backend", "time")
