# moves: began
# %%
names = {"__name__": "made", "factor": 3}
exec("def times(n):\n    return n * factor * 1000", names)
times = names["times"]
exec("def plus(n):\n    'Adds.'\n    return n + 2.5")
power = eval("lambda n: n ** 300")
exec("class Made:\n    def name(self):\n        return 'made'")
# %%
# impure
import time
began = time.time()
# %%
times(2), plus(1), power(2), Made().name()
