"""pip for programs that start it as a process: where it would have nothing to do, its answer is given without one.

Any other command starts a process, which this machine does not have.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

from . import host, pip_command

_SITE = "/usr/local/lib/python3/site-packages"
# The pip whose answers these are.
_VERSION = "25.3"
_MAX_REQUIREMENTS = 200
# Less than a pipe holds: the answer is written before anybody reads.
_MAX_ANSWER = 60_000

_QUIET = {"-q", "-qq", "-qqq", "--quiet"}
# Options that change nothing here.
_IGNORED = set(
    "-U --upgrade --no-cache-dir --user --break-system-packages --disable-pip-version-check --no-input --pre --no-deps "
    "--prefer-binary --no-warn-script-location --no-color --no-python-version-warning --system -y --yes -v".split()
)
# The same, with a value.
_IGNORED_WITH_VALUE = set(
    "-i --index-url --extra-index-url --trusted-host --root-user-action --progress-bar --timeout --retries --only-binary "
    "--upgrade-strategy --proxy --python --default-timeout".split()
)


class _Impossible(Exception):
    """What pip prints where it has neither a network nor processes."""


def answer(words: Sequence[str], folder: str) -> str:
    """Returns what pip prints if nothing has to be done. Raises `_Impossible` if something has, or if it is not known here."""
    quiet = any(word in _QUIET for word in words)
    match [word for word in words if word not in _QUIET]:
        case ["install", *rest]:
            return _install(rest, quiet, folder)
        case ["--version" | "-V"]:
            return f"pip {_VERSION} from {_SITE}/pip (python {sys.version_info[0]}.{sys.version_info[1]})\n"
        case ["freeze"] | ["list", "--format=freeze"] | ["list", "--format", "freeze"]:
            return "".join(f"{name}=={version}\n" for name, version in _installed().items())
        case ["list"] | ["list", "--format=columns"]:
            return _list()
        case ["show", *names] if names:
            return _show(names)
        case ["check"]:
            return "No broken requirements found.\n"
    raise _Impossible("ERROR: this sandbox has no package index, and its packages cannot be changed\n")


def _install(words: Sequence[str], quiet: bool, folder: str) -> str:
    try:
        from packaging.requirements import InvalidRequirement, Requirement  # type: ignore[import-not-found]
    except ImportError as error:
        raise _Impossible(f"ERROR: {error}\n") from None

    texts = _requirements(words, folder)
    lines = []
    for text in texts:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            raise _Impossible(f"ERROR: Invalid requirement: {text!r}\n") from None
        version = _version(wanted.name)
        if wanted.url or wanted.marker or version is None or not wanted.specifier.contains(version, prereleases=True):
            raise _Impossible(
                f"ERROR: Could not find a version that satisfies the requirement {text} (from versions: {version or 'none'})\n"
                f"ERROR: No matching distribution found for {text}\n"
            )
        lines.append("" if quiet else f"Requirement already satisfied: {text} in {_SITE} ({version})\n")
    if not lines:
        raise _Impossible('ERROR: You must give at least one requirement to install (see "pip help install")\n')
    return "".join(lines)


def _requirements(words: Sequence[str], folder: str) -> list[str]:
    """Returns the requirements of `pip install`."""
    found: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word in _IGNORED:
            continue
        if name in _IGNORED_WITH_VALUE:
            if not equals:
                next(rest, None)
        elif word in ("-r", "--requirement") or name == "--requirement":
            path = value if equals else next(rest, "")
            try:
                found.extend(_of_file(os.path.join(folder, path)))
            except (OSError, UnicodeDecodeError) as error:
                raise _Impossible(f"ERROR: Could not open requirements file: {error}\n") from None
        elif word.startswith("-"):
            raise _Impossible(f"ERROR: this sandbox has no package index for {word}\n")
        else:
            found.append(word)
        if len(found) > _MAX_REQUIREMENTS:
            raise _Impossible("ERROR: too many requirements\n")
    return found


def _of_file(path: str) -> Iterator[str]:
    with open(path, encoding="utf-8") as lines:
        for line in lines.read(1 << 16).splitlines():
            text = line.split(" #")[0].strip()
            if text and not text.startswith("#"):
                yield text


def _version(name: str) -> str | None:
    if _normalized(name) == "pip":
        return _VERSION
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed() -> dict[str, str]:
    found = {_normalized(each.metadata["Name"]): each.version for each in metadata.distributions()}
    return dict(sorted({**found, "pip": _VERSION}.items()))


def _list() -> str:
    packages = _installed()
    width = max(map(len, [*packages, "Package"]))
    rows = [f"{name:{width}} {version}\n" for name, version in packages.items()]
    return f"{'Package':{width}} Version\n{'-' * width} -------\n" + "".join(rows)


def _show(names: Sequence[str]) -> str:
    versions = [(name, _version(name)) for name in names]
    for name, version in versions:
        if version is None:
            raise _Impossible(f"WARNING: Package(s) not found: {name}\n")
    return "---\n".join(
        f"Name: {_normalized(name)}\nVersion: {version}\nLocation: {_SITE}\n" for name, version in versions
    )


def _run(words: Sequence[str], folder: str) -> tuple[int, str, str]:
    """Returns the exit code, output and errors of pip. Where a tier may do more than this, the program moves there."""
    try:
        return 0, answer(words, folder)[:_MAX_ANSWER], ""
    except _Impossible as error:
        host.report_need("PROCESS", " ".join(["pip", *words]))
        return 1, "", str(error)[:_MAX_ANSWER]


def _main(arguments: Sequence[str] | None = None) -> int:
    """pip's own function: prints what pip prints, and returns its exit code."""
    code, out, error = _run([str(word) for word in (sys.argv[1:] if arguments is None else arguments)], ".")
    print(out, end="")
    print(error, end="", file=sys.stderr)
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
    modules["pip"].__version__ = _VERSION  # type: ignore[attr-defined]
    return modules


def install() -> None:
    """Answers for pip where programs start processes. The modules that programs get are replaced for good."""
    start: Any = subprocess.Popen._execute_child  # type: ignore[attr-defined]
    signature = inspect.signature(start)
    run_line = os.system

    def execute_child(self: Any, *args: Any, **named: Any) -> None:
        given = signature.bind(self, *args, **named).arguments
        words = pip_command.words(given["args"], given["shell"])
        if words is None:
            start(self, *args, **named)
            return
        code, out, error = _run(words, os.fsdecode(given["cwd"] or "."))
        for text, end, inherited in ((out, "c2pwrite", sys.__stdout__), (error, "errwrite", sys.__stderr__)):
            if given[end] == -1:
                print(text, end="", file=inherited, flush=True)
            else:
                os.write(given[end], text.encode())
        ends = [given[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")]
        self._close_pipe_fds(*ends)
        # It has ended before anybody can ask.
        self.pid, self.returncode = os.getpid() + 1, code

    def system(command: Any) -> Any:
        is_text = isinstance(command, (str, bytes, os.PathLike))
        if not is_text or pip_command.words(command, True) is None:
            return run_line(command)
        return subprocess.call(command, shell=True) << 8

    subprocess.Popen._execute_child = execute_child  # type: ignore[attr-defined]
    os.system = system
    sys.modules.update(_module())
