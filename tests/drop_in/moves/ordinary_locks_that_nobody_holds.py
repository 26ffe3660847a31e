# moves
# %%
# impure
import time
began = time.time()
import threading, queue
lock, again = threading.Lock(), threading.RLock()
with lock, again:
    pass
event, condition, semaphore = threading.Event(), threading.Condition(), threading.Semaphore(2)
event.set()
barrier = threading.Barrier(1)
jobs = queue.Queue()
jobs.put(began)
simple = queue.SimpleQueue()
# %%
with lock, again, condition, semaphore:
    pass
lock.locked(), event.is_set(), jobs.get() == began, simple.empty(), barrier.parties
