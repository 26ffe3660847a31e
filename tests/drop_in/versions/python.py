"""One sandbox by the installed version of the SDK: its files, and its cells where the code interpreter is installed."""

import importlib.util

used = ["files"]
if importlib.util.find_spec("e2b_code_interpreter"):
    from e2b_code_interpreter import Sandbox

    used.append("cells")
else:
    from e2b import Sandbox

sandbox = Sandbox.create(timeout=60, metadata={"of": "versions"})
sandbox.files.write("/home/user/a.txt", "written")
assert sandbox.files.read("/home/user/a.txt") == "written"
assert [entry.name for entry in sandbox.files.list("/home/user")] == ["a.txt"]
sandbox.set_timeout(120)
assert sandbox.is_running()
assert sandbox.get_info().metadata == {"of": "versions"}
assert sandbox.sandbox_id in [listed.sandbox_id for listed in Sandbox.list().next_items()]
if "cells" in used:
    sandbox.run_code("x = open('/home/user/a.txt').read()")
    assert sandbox.run_code("x * 2").text == "writtenwritten"
    assert sandbox.run_code("1 / 0").error.name == "ZeroDivisionError"
assert sandbox.kill()
print(*used)
