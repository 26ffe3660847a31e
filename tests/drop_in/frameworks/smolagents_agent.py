"""A CodeAgent of smolagents with `executor_type="e2b"`.

It installs the packages of its imports and tools by `!pip install …` before the model's first cell.
"""

import task
from smolagents import CodeAgent
from smolagents.models import ChatMessage, MessageRole, Model
from smolagents.monitoring import LogLevel


class ScriptedModel(Model):
    def generate(self, messages, **_):
        responses = [message for message in messages if message.role == MessageRole.TOOL_RESPONSE]
        results = ["".join(part["text"] for part in response.content) for response in responses]
        code, answer = task.next_turn(results)
        code = code or f"assert {answer} == power.sum()\nfinal_answer(power.sum())"
        return ChatMessage(role=MessageRole.ASSISTANT, content=f"Thought: go on.\n<code>\n{code}\n</code>")


with CodeAgent(
    tools=[],
    model=ScriptedModel(model_id="scripted"),
    executor_type="e2b",
    additional_authorized_imports=["numpy"],
    verbosity_level=LogLevel.OFF,
    max_steps=4,
) as agent:
    answer = agent.run("Compute the sum.")
task.end(answer)
