"""An agent of Google's ADK with the tools of its EnvironmentToolset in an E2BEnvironment."""

import asyncio
import json

import shell_task
from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.integrations.e2b import E2BEnvironment
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import InMemoryRunner
from google.adk.tools.environment import EnvironmentToolset
from google.genai import types


class ScriptedModel(BaseLlm):
    async def generate_content_async(self, llm_request, stream=False):
        parts = [part for content in llm_request.contents for part in content.parts]
        answers = [part.function_response.response for part in parts if part.function_response]
        assert [answer["status"] for answer in answers] == ["ok", "error", "ok", "ok"][: len(answers)], answers
        step, answer = shell_task.next_step([json.dumps(answer) for answer in answers])
        if answer:
            part = types.Part(text=f"The sum is {answer}.")
        elif "write" in step:
            arguments = {"path": step["write"], "content": step["content"]}
            part = types.Part(function_call=types.FunctionCall(name="WriteFile", args=arguments))
        else:
            part = types.Part(function_call=types.FunctionCall(name="Execute", args={"command": step["run"]}))
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


async def main():
    environment = E2BEnvironment()
    tools = [EnvironmentToolset(environment=environment)]
    agent = LlmAgent(name="analyst", model=ScriptedModel(model="scripted"), tools=tools)
    runner = InMemoryRunner(app=App(name="analysis", root_agent=agent))
    events = await runner.run_debug("Compute the sum.", quiet=True)
    figure = await environment.read_file(shell_task.FIGURE)
    await runner.close()
    return events[-1].content.parts[0].text, figure


shell_task.end(*asyncio.run(main()))
