"""An uncaught exception, formatted as CPython formats it, without internal frames."""

from __future__ import annotations

import sys
import traceback
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .paths import INTERNAL, is_program

if TYPE_CHECKING:
    # Name, message, traceback and line. A machine's Python may be older than such a union.
    Described = tuple[str, str, str, int | None]

# Characters of a traceback that are kept; CPython itself folds repeated lines.
MAX_TEXT = 64_000

# `None` before Python 3.11, whose tracebacks are made by other means: there they are as they are.
_extract: Any = getattr(traceback.StackSummary, "_extract_from_extended_frame_gen", None)


def _extract_once(
    cls: Any, frames: Any, *, limit: Any = None, lookup_lines: Any = True, capture_locals: Any = False
) -> Any:
    """Extracts each place once: a recursion shows the same few lines a thousand times."""
    if capture_locals or limit is not None:
        return _extract.__func__(cls, frames, limit=limit, lookup_lines=lookup_lines, capture_locals=capture_locals)
    seen: dict[Any, Any] = {}
    stack = cls()
    for frame, places in frames:
        code = frame.f_code
        if code.co_filename.startswith(INTERNAL):
            continue
        key = (code, *places)
        formatted = seen.get(key)
        if formatted is None:
            formatted = seen[key] = _extract.__func__(cls, iter([(frame, places)]), lookup_lines=lookup_lines)
        stack.extend(formatted)
    return stack


_format: Any = getattr(traceback.StackSummary, "format_frame_summary", None)
_last: tuple[Any, Any, Any] = (None, None, None)


def _format_once(self: Any, frame_summary: Any, **options: Any) -> Any:
    """Formats a summary once where it comes many times in a row: the carets alone cost a parse of the line."""
    global _last
    summary, given, text = _last
    if summary is not frame_summary or given != options:
        text = _format(self, frame_summary, **options)
        _last = (frame_summary, options, text)
    return text


class _Shortened:
    """Shortens a stack that is too deep to format frame by frame to its two ends."""

    ENDS = 40
    MAX_FRAMES = 1500

    def __init__(self, error: BaseException) -> None:
        self.between = 0
        frames, tb = [], error.__traceback__
        while tb is not None:
            frames.append(tb)
            tb = tb.tb_next
        if len(frames) <= self.MAX_FRAMES:
            return
        between = frames[self.ENDS : -self.ENDS]
        first = between[0]
        same = all(t.tb_lasti == first.tb_lasti and t.tb_frame.f_code is first.tb_frame.f_code for t in between)
        self.between = len(between) if same else 0
        chain = None
        for tb in reversed(frames[: self.ENDS] + frames[-self.ENDS :]):
            chain = types.TracebackType(chain, tb.tb_frame, tb.tb_lasti, tb.tb_lineno)
        error.__traceback__ = chain

    def restore(self, stack: traceback.StackSummary) -> None:
        if self.between and len(stack) >= self.ENDS:
            # One summary many times: the formatter folds them into a count.
            stack[self.ENDS - 1 : self.ENDS - 1] = [stack[self.ENDS - 1]] * self.between


def _format_exception(error: BaseException) -> str:
    """Returns an exception as the interpreter prints it, causes and contexts included."""
    cuts: list[_Shortened] = []
    chain: BaseException | None = error
    seen: set[int] = set()
    while chain is not None and id(chain) not in seen:
        seen.add(id(chain))
        cuts.append(_Shortened(chain))
        chain = chain.__cause__ or chain.__context__
    options: Any = {"compact": True} if sys.version_info >= (3, 10) else {}
    formatted = traceback.TracebackException(type(error), error, error.__traceback__, **options)
    link: traceback.TracebackException | None = formatted
    for cut in cuts:
        if link is None:
            break
        cut.restore(link.stack)
        link = link.__cause__ or link.__context__
    return "".join(formatted.format())


def describe(error: BaseException) -> Described:
    """Returns name, message, traceback and line."""
    name = type(error).__name__
    unformatted = f"Traceback (most recent call last):\n  (the exception could not be formatted)\n{name}\n"
    return describe_with(error, _format_exception, lambda _: unformatted, MAX_TEXT)


def describe_with(
    error: BaseException, format: Callable[[BaseException], str], fallback: Callable[[str], str], max_value: int
) -> Described:
    """Returns the same, with the traceback that `format` gives, or `fallback` of the message where that fails. Of the
    message `max_value` characters are kept."""
    line = line_of(error)
    name = type(error).__name__
    try:
        value = str(error)
    except BaseException:
        value = "<exception str() failed>"
    try:
        text = format(error)
    except MemoryError:
        raise
    except Exception:
        text = fallback(value)
    if len(text) > MAX_TEXT:
        half = MAX_TEXT // 2
        text = f"{text[:half]}\n[... {len(text) - MAX_TEXT} characters left out ...]\n{text[-half:]}"
    return name, clean(value[:max_value]), clean(text), line


def line_of(error: BaseException) -> int | None:
    """Returns the line of the program that the exception came through last."""
    if isinstance(error, SyntaxError) and error.filename and is_program(error.filename):
        return error.lineno
    line, tb = None, error.__traceback__
    while tb is not None:
        if is_program(tb.tb_frame.f_code.co_filename):
            line = tb.tb_lineno
        tb = tb.tb_next
    return line


def clean(text: str) -> str:
    """Returns text that UTF-8 can encode: lone surrogates become escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def install() -> None:
    if _extract is None:
        return
    traceback.StackSummary._extract_from_extended_frame_gen = classmethod(_extract_once)
    traceback.StackSummary.format_frame_summary = _format_once
