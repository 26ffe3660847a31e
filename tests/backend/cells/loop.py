# %%
# text: "True"
import asyncio
loop = asyncio.get_running_loop()
loop.is_running()
# %%
# text: "True"
asyncio.get_running_loop() is loop
# %%
# error: RuntimeError: asyncio.run() cannot be called from a running event loop
async def nothing(): pass
c = nothing()
asyncio.run(c)
# %%
# none
c.close()
# %%
# text: "'not asked'"
loop.run_until_complete(asyncio.sleep(0)) if False else "not asked"
# %%
# text: "True"
await asyncio.sleep(0)
asyncio.get_running_loop() is loop
# %%
# text: "True"
asyncio.current_task() is not None
# %%
# none
event = asyncio.Event()
async def wait():
    await event.wait()
    return "set"
waiting = asyncio.create_task(wait())
# %%
# none
event.set()
# %%
# text: "'set'"
await waiting
# %%
# none
import contextvars
name = contextvars.ContextVar("name", default="nobody")
name.set("Ada");
# %%
# text: "'Ada'"
name.get()
# %%
# none
import decimal
decimal.getcontext().prec = 5
# %%
# text: "Decimal('0.33333')"
decimal.Decimal(1) / 3
