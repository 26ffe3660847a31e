"""An agent of Pydantic AI with the capabilities E2BSandbox, Shell and FileSystem of its harness."""

import asyncio

import shell_task
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai_harness.e2b_sandbox import E2BSandbox
from pydantic_ai_harness.filesystem import FileSystem
from pydantic_ai_harness.shell import Shell


async def scripted_model(messages, info):
    parts = [part for message in messages for part in message.parts]
    results = [str(part.content) for part in parts if isinstance(part, ToolReturnPart)]
    step, answer = shell_task.next_step(results)
    if answer:
        return ModelResponse(parts=[TextPart(f"The sum is {answer}.")])
    if "write" in step:
        call = ToolCallPart("write_file", {"path": step["write"], "content": step["content"]})
    else:
        call = ToolCallPart("run_command", {"command": step["run"]})
    return ModelResponse(parts=[call])


async def main():
    sandbox = E2BSandbox()
    agent = Agent(FunctionModel(scripted_model), capabilities=[sandbox, Shell(), FileSystem()])
    result = await agent.run("Compute the sum.")
    backend = sandbox.backend(result.workspace.ref)
    names = [entry.name for entry in await backend.list_dir("work")]
    assert "matrix.npy" in names, names
    figure = await backend.read_bytes(shell_task.FIGURE)
    await sandbox.destroy(result.workspace.ref)
    return result.output, figure


shell_task.end(*asyncio.run(main()))
