"""An agent of Agno with the tool `run_python_code` of its E2BTools."""

import json

import task
from agno.agent import Agent
from agno.models.base import Model
from agno.models.response import ModelResponse
from agno.tools.e2b import E2BTools


class ScriptedModel(Model):
    def invoke(self, messages, **_):
        results = [message.content for message in messages if message.role == "tool"]
        code, answer = task.next_turn(results, "%pip install numpy\n")
        if answer:
            return ModelResponse(role="assistant", content=f"The sum is {answer}.")
        function = {"name": "run_python_code", "arguments": json.dumps({"code": code})}
        call = {"id": f"call_{len(results)}", "type": "function", "function": function}
        return ModelResponse(role="assistant", tool_calls=[call])

    async def ainvoke(self, **_):
        raise NotImplementedError

    ainvoke_stream = invoke_stream = _parse_provider_response = _parse_provider_response_delta = ainvoke


tools = E2BTools()
agent = Agent(model=ScriptedModel(id="scripted"), tools=[tools], telemetry=False)
answer = agent.run("Compute the sum.").content
tools.shutdown_sandbox()
task.end(answer)
