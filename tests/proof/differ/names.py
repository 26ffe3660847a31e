#: a method by its name
import pandas as pd
print(pd.Series(range(50)).agg("sample"))
#: in a list
import pandas as pd
print(pd.Series(range(50)).agg(["mean", "sample"]))
#: in a dictionary
import pandas as pd
print(pd.DataFrame({"a": range(50)}).agg({"a": "sample"}))
#: in a tuple
import pandas as pd
print(pd.DataFrame({"a": range(50)}).agg({"a": ("sample",)}))
#: by a keyword
import pandas as pd
print(pd.Series(range(50)).agg(func="sample"))
#: under a name of its own
import pandas as pd
print(pd.DataFrame({"k": [1, 1, 2], "v": [1, 2, 3]}).groupby("k").agg(x=("v", "sample")))
#: under a name of its own, of a column
import pandas as pd
print(pd.DataFrame({"k": [1, 1, 2], "v": [1, 2, 3]}).groupby("k")["v"].agg(x="sample"))
#: in a list under a name of its own
import pandas as pd
print(pd.DataFrame({"k": [1, 1, 2], "v": [1, 2, 3]}).groupby("k")["v"].agg(x=["sample"]))
#: applied
import pandas as pd
print(pd.Series(range(50)).apply("sample"))
#: transformed
import pandas as pd
print(pd.Series(range(50)).transform("sample"))
#: of groups
import pandas as pd
print(pd.DataFrame({"k": [1] * 9, "v": range(9)}).groupby("k")["v"].transform("sample"))
#: in a name
import pandas as pd
how = "sam" + "ple"
print(pd.Series(range(50)).agg(how))
#: in a loop
import pandas as pd
for how in ["mean", "sample"]:
    print(pd.Series(range(50)).agg(how))
#: made on the spot
import pandas as pd
print(pd.Series(range(50)).agg("sam" + "ple"))
#: of a pivot
import pandas as pd
print(pd.pivot_table(pd.DataFrame({"k": [1, 1], "v": [1, 2]}), index="k", aggfunc="sample"))
#: of a pivot, by place
import pandas as pd
print(pd.DataFrame({"k": [1] * 9, "v": range(9)}).pivot_table("v", "k", None, "sample"))
#: of a pivot, by place in the function
import pandas as pd
print(pd.pivot_table(pd.DataFrame({"k": [1] * 9, "v": range(9)}), "v", "k", None, "sample"))
#: of a cross table
import pandas as pd
print(pd.crosstab([1, 1], [1, 1], values=[1, 2], aggfunc="sample"))
#: where the program has a method of that name
import pandas as pd
class A:
    def __repr__(self): return "A"
    def agg(self, name): return name
print(A().agg("x"), pd.Series(range(50)).agg("sample"))
#: an address by a name
import pandas as pd
print(pd.Series([1]).agg("__repr__"), pd.Series([1]).agg("to_csv"))
#: an address by another
import pandas as pd
print(pd.Series([1, 2]).agg("__iter__"))
#: arguments that are not written here
import pandas as pd
print(pd.Series(range(50)).agg(*["sample"]))
#: keywords that are not written here
import pandas as pd
print(pd.Series(range(50)).agg(**{"func": "sample"}))
#: a method caller
import operator
print(operator.methodcaller("__repr__")(len))
#: an attribute getter
import operator
print(operator.attrgetter("upper")("a"))
#: a partial function
import functools
print(functools.partial(print, 1))
#: a format as a function
print(list(map("{0.__init__}".format, [1])))
#: a format as a function, from the class
print(list(map(str.format, ["{0.upper}"], ["a"])))
#: a format in a name
f = "{0.upper}"
print(f.format("a"))
#: a method of a parent by its name
class A:
    def __repr__(self):
        return super().__repr__()
print(A())
#: the same of its text
class A:
    def __repr__(self):
        return "A"
    def __str__(self):
        return super().__str__()
    def f(self):
        return super().__format__("")
print(A().f())
#: what Python makes of a hash
class A:
    def __repr__(self):
        return str(super().__hash__())
print(A())
#: what there is in an object
class A:
    def __repr__(self):
        return str(super().__reduce__())
print(A())
#: the size of an object
class A:
    def __repr__(self):
        return str(self.__sizeof__())
print(A())
#: a method of a method
class A:
    def __repr__(self): return "A"
    def __str__(self): return "A"
print(len.__str__(), [].append.__str__())
