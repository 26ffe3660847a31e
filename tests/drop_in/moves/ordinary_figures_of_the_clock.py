# moves: ax
# packages: matplotlib
# %%
# impure
import time
began = time.time()
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
fig, ax = plt.subplots()
ax.plot([0, time.time()])
# %%
ax.lines[0].get_ydata()[0], ax.figure is fig
