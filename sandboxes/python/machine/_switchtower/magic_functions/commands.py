"""Magics that run commands: `%pip`, `%%bash`, `%ls` and their like."""

from __future__ import annotations

import codecs
import os
import select
import shlex
import subprocess
import sys
from typing import Any

from .. import cell_commands
from ..command_output import SList
from ..magic_registry import CELL, LINE, UsageError, line
from ..scratch import apply as look_again

__all__: list[str] = []

_PIECE = 1 << 16
# What `%%script` takes in front of the program.
_FLAGS = ("--no-raise-error", "--bg")
_NAMED = ("--out", "--err", "--proc")
# The programs that have a magic of their own.
_SCRIPTS = ("bash", "sh", "perl", "ruby", "python", "python3", "python2", "pypy")
# Commands that need no sign in front, as IPython's aliases. What is given goes to the place of `%l`, or behind.
_ALIASES = {
    "cat": "cat", "cp": "cp", "ls": "ls", "ll": "ls -l", "lx": "ls -l %l | grep ^-..x", "lf": "ls -l %l | grep ^-",
    "lk": "ls -l %l | grep ^l", "ldir": "ls -l %l | grep /$", "mkdir": "mkdir", "mv": "mv", "rm": "rm",
    "rmdir": "rmdir", "man": "man", "conda": "conda", "mamba": "mamba", "micromamba": "micromamba", "uv": "uv",
}  # fmt: skip


def _show(kernel: Any, text: str) -> None:
    kernel.names["_exit_code"] = cell_commands.show(text, {})


def _alias(command: str) -> Any:
    whole = command if "%l" in command else f"{command} %l"
    return lambda kernel, line: _show(kernel, whole.replace("%l", line))


LINE.update({name: _alias(command) for name, command in _ALIASES.items()})


@line("pip")
def _pip(kernel: Any, line: str) -> None:
    _show(kernel, f"{shlex.quote(sys.executable)} -m pip {line}")
    look_again(())


@line("sx", "system")
def _sx(kernel: Any, line: str) -> SList:
    code, out, _ = cell_commands.run(line, {})
    kernel.names["_exit_code"] = code
    return SList(out.splitlines())


CELL["sx"] = CELL["system"] = CELL["!"] = lambda kernel, line, cell: _sx(kernel, cell)


def _script(program: str) -> Any:
    return lambda kernel, line, cell: _run_script(kernel, f"{program} {line}".strip(), cell)


def _options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Returns the options in front of a program, and the rest. They may also stand behind its name."""
    given: dict[str, str] = {}
    rest: list[str] = []
    words = list(words)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if word in _FLAGS:
            given[word] = ""
        elif name in _NAMED:
            if not equals and not words:
                raise UsageError(f"argument {name}: expected one argument")
            given[name] = value if equals else words.pop(0)
        else:
            rest.append(word)
    return given, rest


def _run_script(kernel: Any, line: str, cell: str) -> None:
    given, words = _options(shlex.split(line))
    if not words:
        raise UsageError("%%script takes the name of a program")
    if words[0] == "python":
        words[0] = sys.executable
    import shutil

    if shutil.which(words[0]) is None:
        print(f"Couldn't find program: {words[0]!r}")
        return
    background = "--bg" in given
    child = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    if "--proc" in given:
        kernel.names[given["--proc"]] = child
    if background:
        _write_all(child, cell)
        kernel.names.update({given[name]: getattr(child, of) for name, of in _KEPT.items() if name in given})
        return
    try:
        kept = _stream(child, cell.encode("utf-8", "replace"), given)
        code = child.wait()
    except BaseException:
        cell_commands.stop(child)
        raise
    finally:
        for end in (child.stdin, child.stdout, child.stderr):
            if end is not None:
                end.close()
    kernel.names.update({given[name]: kept[of] for name, of in _KEPT.items() if name in given})
    if code and "--no-raise-error" not in given:
        raise subprocess.CalledProcessError(code, cell.encode())


_KEPT = {"--out": "stdout", "--err": "stderr"}


def _write_all(child: subprocess.Popen[bytes], cell: str) -> None:
    assert child.stdin is not None
    try:
        child.stdin.write(cell.encode("utf-8", "replace"))
        child.stdin.close()
    except BrokenPipeError:
        pass


def _stream(child: subprocess.Popen[bytes], given: bytes, options: dict[str, str]) -> dict[str, str]:
    """Writes a cell to a program, and prints what it writes as it comes. Returns what is to be kept instead."""
    assert child.stdin is not None and child.stdout is not None and child.stderr is not None
    kept: dict[str, list[str]] = {"stdout": [], "stderr": []}
    names = {child.stdout.fileno(): "stdout", child.stderr.fileno(): "stderr"}
    decoders = {number: codecs.getincrementaldecoder("utf-8")("replace") for number in names}
    into = child.stdin.fileno()
    left = memoryview(given)
    ready = select.poll()
    for number in names:
        ready.register(number, select.POLLIN)
    os.set_blocking(into, False)
    ready.register(into, select.POLLOUT)
    reading = set(names)
    while reading:
        ended = child.poll() is not None
        found = ready.poll(0 if ended else 50)
        if ended and not any(number in reading for number, _ in found):
            break  # what it left behind keeps its output open
        for number, _ in found:
            if number == into:
                left = left[_write_some(into, left) :]
                if not left:
                    ready.unregister(into)
                    child.stdin.close()
                continue
            piece = os.read(number, _PIECE)
            text = decoders[number].decode(piece, not piece)
            if _option_of(names[number]) in options:
                kept[names[number]].append(text)
            elif text:
                stream = getattr(sys, names[number])
                stream.write(text)
                stream.flush()
            if not piece:
                ready.unregister(number)
                reading.discard(number)
    return {name: "".join(texts) for name, texts in kept.items()}


def _option_of(stream: str) -> str:
    return "--out" if stream == "stdout" else "--err"


def _write_some(number: int, data: memoryview) -> int:
    try:
        return os.write(number, data)
    except BlockingIOError:
        return 0
    except OSError:
        return len(data)  # it reads no more


CELL.update({name: _script(name) for name in _SCRIPTS})
CELL["script"] = _run_script
