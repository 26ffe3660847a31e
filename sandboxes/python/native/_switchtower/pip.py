"""pip for programs that start it as a process: where it would have nothing to do, its answer is given without one.

Any other command starts a process, which this machine does not have.
"""

from __future__ import annotations

import functools
import inspect
import os
import shutil
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Sequence
from typing import Any

from . import audit, cell_commands, children, pip_answers, shell_answers, shell_line

_MAX_INPUT = 1 << 16
_OWN_INPUT = 0
# The programs that can be started, the last ones for `-m pip`.
_STARTED = ("pip", "pip3", "python", "python3")


def _main(arguments: Sequence[str] | None = None) -> int:
    """pip's own function: prints what pip prints, and returns its exit code."""
    words = [str(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    code, out, errors = shell_answers.run_pip(words)
    print(out, end="")
    print(errors, end="", file=sys.stderr)
    return code


def _module() -> dict[str, types.ModuleType]:
    """Returns pip as programs import it: its version and its function under the names that it has had."""
    names = ("pip", "pip._internal", "pip._internal.cli", "pip._internal.cli.main")
    modules = {name: types.ModuleType(name) for name in names}
    for name, module in modules.items():
        module.__path__ = []  # type: ignore[attr-defined]
        module.main = _main  # type: ignore[attr-defined]
        parent, _, own = name.rpartition(".")
        if parent:
            setattr(modules[parent], own, module)
    # The last one is a module and no package; `pip._internal.cli.main` names it, and its function has the same name.
    modules["pip._internal.cli"].main = modules[names[-1]]  # type: ignore[attr-defined]
    modules["pip"].__version__ = pip_answers.VERSION  # type: ignore[attr-defined]
    return modules


def _not_found(line: Any) -> tuple[int, shell_answers.Written]:
    """Returns what a shell says of a command that is not there, as no other than pip is."""
    words = os.fsdecode(line).split()
    return 127, [(shell_answers.ERRORS, f"/bin/sh: 1: {words[0] if words else ''}: not found\n")]


def _read(end: int) -> str:
    """Returns what comes in by a descriptor."""
    found = b""
    while len(found) < _MAX_INPUT and (part := os.read(end, _MAX_INPUT)):
        found += part
    return found.decode("utf-8", "replace")


def _write(written: shell_answers.Written, ends: dict[int, int]) -> None:
    own = {shell_answers.OUT: sys.__stdout__, shell_answers.ERRORS: sys.__stderr__}
    for where, text in written:
        if ends[where] == -1:
            print(text, end="", file=own[where], flush=True)
        elif text:
            try:
                os.write(ends[where], text.encode())
            except OSError:
                pass  # nobody reads


def _answer_later(
    answer: Callable[[Callable[[], str]], tuple[int, shell_answers.Written]], source: int, ends: dict[int, int]
) -> children.Child:
    """Answers once everything has come in by a pipe that the program still has to write to."""
    source, ends = os.dup(source), {where: end if end == -1 else os.dup(end) for where, end in ends.items()}
    child = children.Child(None)

    def work() -> None:
        code = 1
        try:
            code, written = answer(functools.partial(_read, source))
            _write(written, ends)
        finally:
            for end in (source, *ends.values()):
                if end != -1:
                    os.close(end)
            child.end(code)

    threading.Thread(target=work, daemon=True).start()
    return child


def _answer_cell(line: shell_line.Line) -> tuple[int, str, str]:
    code, written = shell_answers.run(line, ".", str)
    texts = [
        "".join(text for where, text in written if where == wanted)
        for wanted in (shell_answers.OUT, shell_answers.ERRORS)
    ]
    return code, texts[0], texts[1]


def install() -> None:
    """Answers for pip where programs start processes. The modules that programs get are replaced for good."""
    start: Any = subprocess.Popen._execute_child  # type: ignore[attr-defined]
    signature = inspect.signature(start)
    run_line = os.system

    def execute_child(self: Any, *args: Any, **named: Any) -> None:
        given = signature.bind(self, *args, **named).arguments
        command, folder = given["args"], os.fsdecode(given["cwd"] or ".")
        line = shell_line.of_process(command, given["shell"])
        answer: Any
        if line is not None and os.path.isdir(folder):
            answer = functools.partial(shell_answers.run, line, folder)
        else:
            try:
                start(self, *args, **named)
                return
            except OSError:
                if not given["shell"] or audit.is_probing() or not os.path.isdir(folder):
                    raise
            first = command if isinstance(command, (str, bytes, os.PathLike)) else command[0]
            answer = lambda come_in: _not_found(first)  # noqa: E731
        ends = {shell_answers.OUT: given["c2pwrite"], shell_answers.ERRORS: given["errwrite"]}
        source = given["p2cread"]
        if source != -1 and line is not None and shell_line.reads_input(line):
            child = _answer_later(answer, source, ends)
        else:
            code, written = answer(functools.partial(_read, _OWN_INPUT))
            _write(written, ends)
            child = children.Child(code)
        names = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in names))
        self.pid = children.add(child)
        self._child_created = True

    def system(command: Any) -> Any:
        if not isinstance(command, (str, bytes, os.PathLike)):
            return run_line(command)
        if shell_line.of_process(command, True) is None:
            try:
                return run_line(command)
            except OSError:
                if audit.is_probing():
                    raise
            code, written = _not_found(command)
            _write(written, {shell_answers.OUT: -1, shell_answers.ERRORS: -1})
            return code << 8
        return subprocess.call(command, shell=True) << 8

    find = shutil.which

    def which(cmd: Any, mode: int = os.F_OK | os.X_OK, path: Any = None) -> Any:
        if path is None and isinstance(cmd, str) and cmd in _STARTED:
            return f"{os.path.dirname(sys.executable)}/{cmd}"
        return find(cmd, mode, path)

    shutil.which = which
    subprocess.Popen._execute_child = execute_child  # type: ignore[attr-defined]
    os.system = system
    children.install()
    cell_commands.answer = _answer_cell
    sys.modules.update(_module())
