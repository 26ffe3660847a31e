"""A crew of CrewAI with the tool E2BPythonTool, whose SDK builds the hosts of sandboxes itself: by `E2B_DOMAIN` and TLS."""

import json

import loopback_names  # noqa: F401
import task
from crewai import Agent, Crew, Task
from crewai.llms.base_llm import BaseLLM
from crewai_tools import E2BPythonTool


class ScriptedModel(BaseLLM):
    def supports_function_calling(self):
        return True

    def call(self, messages, tools=None, **_):
        results = [message["content"] for message in messages if message["role"] == "tool"]
        code, answer = task.next_turn(results, "!pip install numpy --quiet\n")
        if answer:
            return f"The sum is {answer}."
        function = {"name": tools[0]["function"]["name"], "arguments": json.dumps({"code": code})}
        return [{"id": f"call_{len(results)}", "type": "function", "function": function}]


tool = E2BPythonTool(persistent=True)
analyst = Agent(
    role="analyst", goal="Compute.", backstory="An analyst.", tools=[tool], llm=ScriptedModel(model="scripted")
)
todo = Task(description="Compute the sum.", expected_output="The sum.", agent=analyst)
answer = Crew(agents=[analyst], tasks=[todo]).kickoff().raw
tool.close()
task.end(answer)
