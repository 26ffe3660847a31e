"""The steps of the task as programs of a rollout of verifiers, in its E2BRuntime, as root in `/app`.

The server has to know its template (`sessions.templates`): verifiers looks it up by the hash of an image, and builds it where
it does not exist.
"""

import asyncio

import shell_task
from verifiers.v1.runtimes import E2BConfig, provision_runtime


async def main():
    async with provision_runtime(E2BConfig(), name="analysis") as runtime:
        results = []
        codes = []
        for step in shell_task.STEPS:
            if "write" in step:
                await runtime.write(step["write"], step["content"].encode())
                assert await runtime.read(step["write"]) == step["content"].encode()
                results.append("")
            else:
                ended = await runtime.run_program(["bash", "-c", step["run"]], {"MPLBACKEND": "Agg"})
                results.append(ended.stdout + ended.stderr)
                codes.append(ended.exit_code)
        assert codes == [0, 1, 0], codes
        _, answer = shell_task.next_step(results)
        who = await runtime.run(["sh", "-c", "id -u; pwd"], {})
        assert who.stdout.split() == ["0", "/app"], who
        process = await runtime.open_process(["sh", "-c", "head -c 3; exit 7"], {})
        await process.write(b"\x00\xff\n")
        assert b"".join([chunk async for chunk in process.stdout]) == b"\x00\xff\n"
        assert await process.wait() == 7
        return answer, await runtime.read(shell_task.FIGURE)


shell_task.end(*asyncio.run(main()))
