# moves
# %%
# impure
import time
began = time.time()
import asyncio
lock, event, jobs = asyncio.Lock(), asyncio.Event(), asyncio.Queue()
async def work(n):
    async with lock:
        await asyncio.sleep(0)
    return n
results = await asyncio.gather(work(1), work(2))
loop = asyncio.get_event_loop()
# %%
results, lock.locked(), event.is_set(), jobs.empty(), loop.is_closed()
