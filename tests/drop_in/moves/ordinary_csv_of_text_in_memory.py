# moves
# %%
# impure
import time
began = time.time()
import csv, io
out = io.StringIO()
writer = csv.writer(out)
writer.writerow([began > 0, 2])
# %%
writer.writerow([3])
out.getvalue()
