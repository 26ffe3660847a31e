# %%
# none
import asyncio
async def double(n):
    await asyncio.sleep(0)
    return 2 * n
# %%
# text: "42"
await double(21)
# %%
# text: "[2, 4]"
await asyncio.gather(double(1), double(2))
# %%
# none
steps = []
async def count():
    for i in range(3):
        steps.append(i)
        await asyncio.sleep(0)
    return "counted"
task = asyncio.create_task(count())
# %%
# text: "'counted'"
await task
# %%
# text: "[0, 1, 2]"
steps
# %%
# none
# stdout: "held\n"
async with asyncio.Lock():
    print("held")
# %%
# text: "[0, 2, 4]"
[await double(i) for i in range(3)]
# %%
# error: TypeError: unsupported operand type(s) for /: 'str' and 'int'
await double("a" / 2)
# %%
# error: KeyError: 'k'
async def fails():
    raise KeyError("k")
await fails()
# %%
# text: "8"
await asyncio.wait_for(double(4), 1)
