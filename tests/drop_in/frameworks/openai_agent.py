"""A SandboxAgent of the OpenAI Agents SDK with its E2BSandboxClient: its shell, with and without a terminal, and its patches."""

import asyncio

import shell_task
from agents import RunConfig, Runner, set_tracing_disabled
from agents.extensions.sandbox.e2b import E2BSandboxClient, E2BSandboxClientOptions
from agents.sandbox import SandboxAgent, SandboxRunConfig
from agents.sandbox.capabilities import Filesystem, Shell
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call
from openai.types.responses import ResponseCustomToolCall

OUTPUTS = "function_call_output", "custom_tool_call_output"


def respond(call):
    outputs = [str(item["output"]) for item in call.input if isinstance(item, dict) and item.get("type") in OUTPUTS]
    step, answer = shell_task.next_step(outputs)
    if answer:
        return [assistant_message(f"The sum is {answer}.")]
    name = f"call_{len(outputs)}"
    if "write" in step:
        lines = "".join(f"+{line}\n" for line in step["content"].splitlines())
        patch = f"*** Begin Patch\n*** Add File: {step['write']}\n{lines}*** End Patch"
        return [ResponseCustomToolCall(type="custom_tool_call", name="apply_patch", call_id=name, input=patch)]
    return [function_call("exec_command", {"cmd": step["run"]}, call_id=name)]


async def main():
    set_tracing_disabled(True)
    model = ScriptedModel([ModelStep.respond(respond) for _ in range(len(shell_task.STEPS) + 1)])
    agent = SandboxAgent(name="analyst", model=model, capabilities=[Filesystem(), Shell()])
    client = E2BSandboxClient()
    session = await client.create(options=E2BSandboxClientOptions(sandbox_type="e2b"))
    async with session:
        result = await Runner.run(
            agent, "Compute the sum.", run_config=RunConfig(sandbox=SandboxRunConfig(session=session))
        )
        figure = (await session.read(shell_task.FIGURE)).read()
        started = await session.pty_exec_start("python3", "-q", tty=True, yield_time_s=1)
        typed = await session.pty_write_stdin(session_id=started.process_id, chars="6 * 7\n", yield_time_s=1)
        assert b"42" in started.output + typed.output, (started, typed)
    return result.final_output, figure


shell_task.end(*asyncio.run(main()))
