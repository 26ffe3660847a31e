# fails: cell 1: task
# %%
# impure
import asyncio
async def job(n):
    await asyncio.sleep(n)
    return n
task = asyncio.ensure_future(job(0.5))
other = await job(0.1)
await task
# %%
print(other, task.result(), task.done())
