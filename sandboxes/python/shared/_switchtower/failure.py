"""An exception that went through, told as CPython tells it, without the guest's own frames."""

import traceback
import types

from .paths import is_program

# Deep stacks are told in full up to here; CPython itself folds repeated lines.
MOST_TEXT = 64_000
# Where our own code says that it is: componentize-py mounts it in these, a native worker keeps it in its executable.
GUEST = ("/0/", "/world/", "/bundled/", "/switchtower/", "<frozen importlib")

_extract = traceback.StackSummary._extract_from_extended_frame_gen


def _remembering(cls, frames, *, limit=None, lookup_lines=True, capture_locals=False):
    """Looks every place up once: a recursion shows the same few lines a thousand times."""
    if capture_locals or limit is not None:
        return _extract.__func__(cls, frames, limit=limit, lookup_lines=lookup_lines, capture_locals=capture_locals)
    seen, stack = {}, cls()
    for frame, places in frames:
        code = frame.f_code
        if code.co_filename.startswith(GUEST):
            continue
        key = (code, *places)
        told = seen.get(key)
        if told is None:
            told = seen[key] = _extract.__func__(cls, iter([(frame, places)]), lookup_lines=lookup_lines)
        stack.extend(told)
    return stack


_format = traceback.StackSummary.format_frame_summary
_last = (None, None, None)


def _formatting(self, frame_summary, **options):
    """Formats a summary once where it stands many times in a row: the carets alone cost a parse of the line."""
    global _last
    summary, given, text = _last
    if summary is not frame_summary or given != options:
        text = _format(self, frame_summary, **options)
        _last = (frame_summary, options, text)
    return text


class _Cut:
    """A stack too deep to look at frame by frame: its two ends, and how many frames of one kind lie between them."""

    ENDS = 40
    MOST = 1500

    def __init__(self, error):
        self.between = 0
        frames, tb = [], error.__traceback__
        while tb is not None:
            frames.append(tb)
            tb = tb.tb_next
        if len(frames) <= self.MOST:
            return
        between = frames[self.ENDS : -self.ENDS]
        first = between[0]
        same = all(t.tb_lasti == first.tb_lasti and t.tb_frame.f_code is first.tb_frame.f_code for t in between)
        self.between = len(between) if same else 0
        chain = None
        for tb in reversed(frames[: self.ENDS] + frames[-self.ENDS :]):
            chain = types.TracebackType(chain, tb.tb_frame, tb.tb_lasti, tb.tb_lineno)
        error.__traceback__ = chain

    def restore(self, stack):
        if self.between and len(stack) >= self.ENDS:
            # One summary, told many times: the formatter folds them into a count.
            stack[self.ENDS - 1 : self.ENDS - 1] = [stack[self.ENDS - 1]] * self.between


def _told(error):
    """As the interpreter prints it, causes and contexts included."""
    cuts, chain, seen = [], error, set()
    while chain is not None and id(chain) not in seen:
        seen.add(id(chain))
        cuts.append(_Cut(chain))
        chain = chain.__cause__ or chain.__context__
    told = link = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
    for cut in cuts:
        if link is None:
            break
        cut.restore(link.stack)
        link = link.__cause__ or link.__context__
    return "".join(told.format())


def describe(error):
    """Name, message, traceback and line."""
    name = type(error).__name__
    unformatted = f"Traceback (most recent call last):\n  (the exception could not be formatted)\n{name}\n"
    return described(error, _told, lambda _: unformatted, MOST_TEXT)


def described(error, tell, otherwise, most):
    """The same, as `tell` formats it; where that fails, `otherwise` is told of the message, of which `most` is kept."""
    line = line_of(error)
    name = type(error).__name__
    try:
        value = str(error)
    except BaseException:
        value = "<exception str() failed>"
    try:
        text = tell(error)
    except MemoryError:
        raise
    except Exception:
        text = otherwise(value)
    if len(text) > MOST_TEXT:
        half = MOST_TEXT // 2
        text = f"{text[:half]}\n[... {len(text) - MOST_TEXT} characters left out ...]\n{text[-half:]}"
    return name, clean(value[:most]), clean(text), line


def line_of(error):
    """The line of the program that the exception came through last."""
    if isinstance(error, SyntaxError) and error.filename and is_program(error.filename):
        return error.lineno
    line, tb = None, error.__traceback__
    while tb is not None:
        if is_program(tb.tb_frame.f_code.co_filename):
            line = tb.tb_lineno
        tb = tb.tb_next
    return line


def clean(text):
    """Text that UTF-8 can carry: lone surrogates are told by their escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def install():
    traceback.StackSummary._extract_from_extended_frame_gen = classmethod(_remembering)
    traceback.StackSummary.format_frame_summary = _formatting
