# moves
# packages: native
# %%
# impure
import time
began = time.time()
import threading
from concurrent.futures import ThreadPoolExecutor
results = []
worker = threading.Thread(target=results.append, args=(began,), name="worker")
worker.start()
worker.join()
with ThreadPoolExecutor(2) as pool:
    futures = [pool.submit(pow, 2, n) for n in range(3)]
here = threading.local()
here.x = 1
# %%
worker.is_alive(), worker.name, [each.result() for each in futures], results == [began], futures[0].done()
