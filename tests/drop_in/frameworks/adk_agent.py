"""An agent of Google's ADK with the tool `run_code` of e2b-adk's plug-in."""

import asyncio
import json

import task
from e2b_adk import E2BPlugin
from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import InMemoryRunner
from google.genai import types

INSTALL = "import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'pip', 'install', 'numpy'], check=True)\n"


class ScriptedModel(BaseLlm):
    async def generate_content_async(self, llm_request, stream=False):
        parts = [part for content in llm_request.contents for part in content.parts]
        answers = [part.function_response.response for part in parts if part.function_response]
        assert all(answer["success"] for answer in answers), answers
        code, answer = task.next_turn([json.dumps(answer) for answer in answers], INSTALL)
        call = types.FunctionCall(name="run_code", args={"code": code})
        part = types.Part(function_call=call) if code else types.Part(text=f"The sum is {answer}.")
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


async def main():
    plugin = E2BPlugin()
    agent = LlmAgent(name="analyst", model=ScriptedModel(model="scripted"), tools=plugin.get_tools())
    runner = InMemoryRunner(app=App(name="analysis", root_agent=agent, plugins=[plugin]))
    events = await runner.run_debug("Compute the sum.", quiet=True)
    await runner.close()
    return events[-1].content.parts[0].text


task.end(asyncio.run(main()))
