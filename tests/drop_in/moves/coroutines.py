# fails: cell 2: waiting
# %%
# impure
import asyncio
order = []
async def job(name, delay):
    await asyncio.sleep(delay)
    order.append(name)
    return name
done = await asyncio.gather(job("slow", 0.2), job("quick", 0.1))
# %%
waiting = job("later", 0)
async def numbers():
    for n in range(3):
        yield n
# %%
print(order, done, await waiting, [n async for n in numbers()])
