"""An exception that went through, told as CPython tells it, without the guest's own frames."""

import traceback

from . import PROGRAM

# Deep stacks are told in full up to here; CPython itself folds repeated lines.
MOST_TEXT = 64_000
# componentize-py mounts the guest's own code here.
_OURS = ("/0/", "/world/", "/bundled/", "<frozen importlib")

_extract = traceback.StackSummary._extract_from_extended_frame_gen


def _remembering(cls, frames, *, limit=None, lookup_lines=True, capture_locals=False):
    """Looks every place up once: a recursion shows the same few lines a thousand times."""
    if capture_locals or limit is not None:
        return _extract.__func__(cls, frames, limit=limit, lookup_lines=lookup_lines, capture_locals=capture_locals)
    seen, stack = {}, cls()
    for frame, places in frames:
        code = frame.f_code
        if code.co_filename.startswith(_OURS):
            continue
        key = (code, *places)
        told = seen.get(key)
        if told is None:
            told = seen[key] = _extract.__func__(cls, iter([(frame, places)]), lookup_lines=lookup_lines)
        stack.extend(told)
    return stack


def describe(error):
    """Name, message, traceback and line."""
    name = type(error).__name__
    try:
        value = str(error)
    except Exception:
        value = "<exception str() failed>"
    try:
        text = "".join(traceback.TracebackException(type(error), error, error.__traceback__, compact=True).format())
    except MemoryError:
        raise
    except Exception:
        text = f"Traceback (most recent call last):\n  (the exception could not be formatted)\n{name}\n"
    if len(text) > MOST_TEXT:
        half = MOST_TEXT // 2
        text = f"{text[:half]}\n[... {len(text) - MOST_TEXT} characters left out ...]\n{text[-half:]}"
    return name, clean(value[:MOST_TEXT]), clean(text), line_of(error)


def line_of(error):
    """The line of the program that the exception came through last."""
    if isinstance(error, SyntaxError) and error.filename == PROGRAM:
        return error.lineno
    line, tb = None, error.__traceback__
    while tb is not None:
        if tb.tb_frame.f_code.co_filename == PROGRAM:
            line = tb.tb_lineno
        tb = tb.tb_next
    return line


def clean(text):
    """Text that UTF-8 can carry: lone surrogates are told by their escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def install():
    traceback.StackSummary._extract_from_extended_frame_gen = classmethod(_remembering)
