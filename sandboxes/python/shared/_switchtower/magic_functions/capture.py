"""Keeps the output of a cell: `%%capture`."""

from __future__ import annotations

import io
import shlex
import sys
from typing import Any

from .. import host, representations
from ..magic_registry import SURROUNDING, UsageError


class CapturedIO:
    """What `%%capture NAME` binds."""

    def __init__(self, stdout: io.StringIO, stderr: io.StringIO, outputs: list[dict[str, Any]] | None = None) -> None:
        self._stdout, self._stderr, self._outputs = stdout, stderr, outputs

    @property
    def stdout(self) -> str:
        return self._stdout.getvalue()

    @property
    def stderr(self) -> str:
        return self._stderr.getvalue()

    @property
    def outputs(self) -> list[Any]:
        """The values that were shown."""
        return [RichOutput(**output) for output in self._outputs or ()]

    def show(self) -> None:
        """Shows all again."""
        sys.stdout.write(self.stdout)
        sys.stderr.write(self.stderr)
        for output in self.outputs:
            host.show(list(output.data.items()), False)

    __call__ = show

    def __str__(self) -> str:
        return self.stdout


CapturedIO.__module__ = "IPython.utils.capture"


class RichOutput:
    """A value that was shown while output was captured."""

    def __init__(self, data: Any = None, metadata: Any = None, transient: Any = None, update: bool = False) -> None:
        self.data, self.metadata, self.transient, self.update = data or {}, metadata or {}, transient or {}, update

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        given: dict[str, str] = self.data
        return given


RichOutput.__module__ = "IPython.utils.capture"


class Capture:
    """Keeps the output of the code within, and binds it to a name where one is given."""

    shows_within = True

    def __init__(self, kernel: Any, line: str) -> None:
        words = shlex.split(line)
        known = {"--no-stdout", "--no-stderr", "--no-display"}
        if unknown := [word for word in words if word.startswith("-") and word not in known]:
            raise UsageError(f"unrecognized arguments: {' '.join(unknown)}")
        names = [word for word in words if not word.startswith("-")]
        if len(names) > 1 or not all(name.isidentifier() for name in names):
            raise UsageError("%%capture takes one name at most")
        self._kernel, self._name = kernel, names[0] if names else None
        self._keeps = {word: f"--no-{word}" not in words for word in ("stdout", "stderr", "display")}

    def __enter__(self) -> None:
        self._outputs: list[Any] = []
        self._texts = io.StringIO(), io.StringIO()
        self._before = sys.stdout, sys.stderr, host.show
        if self._keeps["stdout"]:
            sys.stdout = self._texts[0]
        if self._keeps["stderr"]:
            sys.stderr = self._texts[1]
        if self._keeps["display"]:
            host.show = lambda data, main: self._outputs.append({"data": dict(data)})

    def __exit__(self, *_: object) -> None:
        try:
            for flush in representations.before_end:
                flush()
        finally:
            sys.stdout, sys.stderr, host.show = self._before
        if self._name is not None:
            self._kernel.names[self._name] = CapturedIO(*self._texts, self._outputs)


SURROUNDING["capture"] = Capture
