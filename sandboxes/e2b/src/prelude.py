# Runs once in every fresh kernel, before any program: gives programs their standard input and their memory limit, and
# lets them exit without a warning, and makes a program the script that it is in the other tiers: at the same path, which
# is in `sys.argv` and `__file__`. It binds no name of the program's but `input` and `__file__`. `path` is the file with
# a run's inputs; `memory` are the bytes that a program has without any.
def _switchtower_prelude(path: str, memory: int) -> None:
    import asyncio
    import concurrent.futures
    import contextvars
    import functools
    import io
    import json
    import os
    import sys
    import threading
    import warnings
    from typing import Any

    # `sys.exit` ends a program; IPython's advice about it is not part of the program's output.
    warnings.filterwarnings("ignore", message="To exit: use 'exit', 'quit', or Ctrl-D.")
    resource: Any
    try:
        import resource
    except ImportError:
        resource = None

    def memory_in_use() -> int:
        try:
            with open("/proc/self/status") as status:
                for line in status:
                    if line.startswith("VmData:"):
                        return int(line.split()[1]) * 1024
        except OSError:
            pass
        return 0

    def limit_memory(memory: int) -> None:
        if resource is None or not memory:
            return
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = memory_in_use() + memory
        try:
            resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard < 0 else min(wanted, hard), hard))
        except (ValueError, OSError):
            pass

    def read(prompt: object = "", /) -> str:
        if str(prompt):
            sys.stdout.write(str(prompt))
            sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            raise EOFError("EOF when reading a line")
        return line[:-1] if line.endswith("\n") else line

    def write_script(info: Any) -> None:
        # As in the other tiers, only a program that names its file has one.
        code = getattr(info, "raw_cell", None) or ""
        if shell.user_ns.get("__file__") != script or not any(
            word in code for word in ("__file__", "argv", "getsource")
        ):
            return
        try:
            with open(script, "x", encoding="utf-8", newline="") as file:
                file.write(code)
        except OSError:
            pass

    def before_cell(info: object = None) -> None:
        # The file is removed, so that the next run does not get these inputs.
        stdin, limit = "", memory
        try:
            with open(path) as file:
                inputs = json.load(file)
            os.unlink(path)
            stdin = inputs["stdin"] or ""
            limit = inputs["memory"] or memory
        except (OSError, ValueError, KeyError):
            pass
        sys.stdin = io.StringIO(stdin)
        limit_memory(limit)
        write_script(info)

    def run_coroutine(*args: Any, **options: Any) -> Any:
        """As asyncio.run in a script: the kernel's own event loop runs in this thread."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return run_in_loop(*args, **options)
        ended: Any = concurrent.futures.Future()

        def run() -> None:
            try:
                ended.set_result(run_in_loop(*args, **options))
            except BaseException as error:
                ended.set_exception(error)

        threading.Thread(target=contextvars.copy_context().run, args=(run,)).start()
        return ended.result()

    run_in_loop, asyncio.run = asyncio.run, functools.wraps(asyncio.run)(run_coroutine)
    shell = get_ipython()  # type: ignore[name-defined]  # noqa: F821
    script = "/home/user/main.py"
    shell.user_ns.update(input=read, __file__=script)
    shell._switchtower_argv, sys.argv = sys.argv, [script]
    shell.events.register("pre_run_cell", before_cell)
