"""An agent of Haystack with the tools of e2b-haystack: commands, and files written and listed."""

import shell_task
from haystack import component
from haystack.components.agents import Agent
from haystack.dataclasses import ChatMessage, ToolCall
from haystack_integrations.tools.e2b import E2BToolset


@component
class ScriptedModel:
    @component.output_types(replies=list[ChatMessage])
    def run(self, messages: list[ChatMessage], tools=None):
        results = [message.tool_call_result.result for message in messages if message.tool_call_result]
        step, answer = shell_task.next_step(results)
        if answer:
            return {"replies": [ChatMessage.from_assistant(f"The sum is {answer}.")]}
        if "write" in step:
            name, arguments = "write_file", {"path": step["write"], "content": step["content"]}
        else:
            name, arguments = "run_bash_command", {"command": step["run"]}
        call = ToolCall(tool_name=name, arguments=arguments, id=f"call_{len(results)}")
        return {"replies": [ChatMessage.from_assistant(tool_calls=[call])]}


toolset = E2BToolset()
agent = Agent(chat_generator=ScriptedModel(), tools=toolset)
answer = agent.run(messages=[ChatMessage.from_user("Compute the sum.")])["last_message"].text
list_files = toolset.tools[3]
assert "figure.png" in list_files.invoke(path="work").splitlines()
figure = toolset.sandbox._require_sandbox().files.read(shell_task.FIGURE, format="bytes")
toolset.close()
shell_task.end(answer, figure)
