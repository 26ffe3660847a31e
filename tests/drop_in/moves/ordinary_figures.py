# moves
# packages: matplotlib
# %%
# impure
import time
began = time.time()
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt, numpy as np
fig, ax = plt.subplots(figsize=(4, 3))
line, = ax.plot([1, 2, 3], label="a")
bars = ax.bar([1, 2], [3, 4])
ax.set_title("title")
ax.legend()
fig.savefig("a.png")
plt.close(fig)
both, axes = plt.subplots(1, 2)
shades = plt.get_cmap("viridis")
plt.close("all")
# %%
ax.get_title(), line.get_ydata().tolist(), len(bars), fig.get_size_inches().tolist(), axes.shape, shades.name, ax.figure is fig
