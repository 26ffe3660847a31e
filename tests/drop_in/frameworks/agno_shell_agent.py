"""An agent of Agno with the tools `run_command` and `write_file_content` of its E2BTools."""

import json

import shell_task
from agno.agent import Agent
from agno.models.base import Model
from agno.models.response import ModelResponse
from agno.tools.e2b import E2BTools


class ScriptedModel(Model):
    def invoke(self, messages, **_):
        results = [message.content for message in messages if message.role == "tool"]
        step, answer = shell_task.next_step(results)
        if answer:
            return ModelResponse(role="assistant", content=f"The sum is {answer}.")
        if "write" in step:
            name, arguments = "write_file_content", {"file_path": step["write"], "content": step["content"]}
        else:
            name, arguments = "run_command", {"command": step["run"]}
        function = {"name": name, "arguments": json.dumps(arguments)}
        call = {"id": f"call_{len(results)}", "type": "function", "function": function}
        return ModelResponse(role="assistant", tool_calls=[call])

    async def ainvoke(self, **_):
        raise NotImplementedError

    ainvoke_stream = invoke_stream = _parse_provider_response = _parse_provider_response_delta = ainvoke


tools = E2BTools()
agent = Agent(model=ScriptedModel(id="scripted"), tools=[tools], telemetry=False)
answer = agent.run("Compute the sum.").content
figure = tools.sandbox.files.read(shell_task.FIGURE, format="bytes")
tools.shutdown_sandbox()
shell_task.end(answer, figure)
