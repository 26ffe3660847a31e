"""A deep agent of LangChain whose backend is the E2BSandbox of langchain-e2b."""

import shell_task
from deepagents import create_deep_agent
from e2b import Sandbox
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_e2b import E2BSandbox

HOME = "/home/user"


class ScriptedModel(BaseChatModel):
    @property
    def _llm_type(self):
        return "scripted"

    def bind_tools(self, tools, **_):
        return self

    def _generate(self, messages, stop=None, run_manager=None, **_):
        results = [message.text for message in messages if isinstance(message, ToolMessage)]
        step, answer = shell_task.next_step(results)
        if answer:
            message = AIMessage(content=f"The sum is {answer}.")
        elif "write" in step:
            arguments = {"file_path": f"{HOME}/{step['write']}", "content": step["content"]}
            message = AIMessage("", tool_calls=[{"name": "write_file", "args": arguments, "id": f"{len(results)}"}])
        else:
            arguments = {"command": step["run"]}
            message = AIMessage("", tool_calls=[{"name": "execute", "args": arguments, "id": f"{len(results)}"}])
        return ChatResult(generations=[ChatGeneration(message=message)])


sandbox = Sandbox.create()
backend = E2BSandbox(sandbox=sandbox)
agent = create_deep_agent(model=ScriptedModel(), backend=backend)
state = agent.invoke({"messages": [("user", "Compute the sum.")]})
names = [entry["path"] for entry in backend.ls(f"{HOME}/work").entries]
assert f"{HOME}/{shell_task.FIGURE}" in names, names
assert backend.read(f"{HOME}/work/start.py").file_data["content"].startswith("import numpy")
[found] = backend.grep("savefig", f"{HOME}/work").matches
assert found["path"] == f"{HOME}/work/power.py", found
[figure] = backend.download_files([f"{HOME}/{shell_task.FIGURE}"])
sandbox.kill()
shell_task.end(state["messages"][-1].text, figure.content)
