"""A crew of CrewAI with the tools E2BExecTool and E2BFileTool, in one sandbox, by `E2B_DOMAIN` and TLS."""

import base64
import json

import loopback_names  # noqa: F401
import shell_task
from crewai import Agent, Crew, Task
from crewai.llms.base_llm import BaseLLM
from crewai_tools import E2BExecTool, E2BFileTool
from e2b import Sandbox


class ScriptedModel(BaseLLM):
    def supports_function_calling(self):
        return True

    def call(self, messages, tools=None, **_):
        results = [message["content"] for message in messages if message["role"] == "tool"]
        step, answer = shell_task.next_step(results)
        if answer:
            return f"The sum is {answer}."
        names = [tool["function"]["name"] for tool in tools]
        if "write" in step:
            name = next(name for name in names if "file" in name)
            arguments = {"action": "write", "path": step["write"], "content": step["content"]}
        else:
            name = next(name for name in names if "exec" in name)
            arguments = {"command": step["run"]}
        function = {"name": name, "arguments": json.dumps(arguments)}
        return [{"id": f"call_{len(results)}", "type": "function", "function": function}]


sandbox = Sandbox.create()
files = E2BFileTool(sandbox_id=sandbox.sandbox_id)
analyst = Agent(
    role="analyst",
    goal="Compute.",
    backstory="An analyst.",
    tools=[E2BExecTool(sandbox_id=sandbox.sandbox_id), files],
    llm=ScriptedModel(model="scripted"),
)
todo = Task(description="Compute the sum.", expected_output="The sum.", agent=analyst)
answer = Crew(agents=[analyst], tasks=[todo]).kickoff().raw
figure = files.run(action="read", path=shell_task.FIGURE, binary=True)
sandbox.kill()
shell_task.end(answer, base64.b64decode(figure["content"]))
