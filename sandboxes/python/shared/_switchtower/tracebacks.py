"""A cell's exception, formatted as IPython's kernel formats it in plain text.

IPython shows code by pieces: a statement of several lines, or the head of a compound one, is one piece. Of the piece
that was running it shows all lines, and two pieces before and after it in the same function.
"""

from __future__ import annotations

import ast
import collections
import inspect
import itertools
import linecache
import textwrap
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .failure import describe_with
from .paths import CELLS, HOME, INTERNAL

if TYPE_CHECKING:
    from .failure import Described

# E2B's kernel sends the parts of a traceback one by one.
BETWEEN = "\n"
MAX_VALUE = 8 << 20
WIDTH = 75
# Lines of a piece that is not running: of more the middle is left out.
LONGEST_PIECE = 6

_WITHOUT_PLACE = ("<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")

# A place in the code: its code object and its line.
_Key = tuple[types.CodeType, int]
# Lines from the first up to, and without, the second.
_Range = tuple[int, int]

# How exceptions are shown: `%xmode`.
mode = "Context"
# Of a value that Verbose shows.
_MAX_SHOWN = 200
# File name of a cell -> its execution count.
cell_numbers: dict[str, int] = {}
# File name of a cell -> its pieces, for those in which something was raised.
_cut: dict[str, Any] = {}


def describe(error: BaseException) -> Described:
    """Returns name, message, traceback and line."""
    return describe_with(error, _format, lambda value: f"{type(error).__name__}: {value}", MAX_VALUE)


def _format(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return BETWEEN.join(["An exception has occurred, use %tb to see the full traceback.\n", "".join(_only(error))])
    if isinstance(error, SyntaxError):
        return _syntax(error)
    chain: list[BaseException] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    if mode == "Minimal":
        return "".join(_only(error))
    parts = [] if mode == "Plain" else ["-" * WIDTH]
    for index in range(len(chain) - 1, -1, -1):
        one = chain[index]
        # The exception that came through is shown with more around it than those that led to it.
        parts.extend([_plain(one)] if mode == "Plain" else _one(one, 1 if index else 2))
        if index:
            how = "The above exception was the direct cause of the following exception:"
            if chain[index - 1].__cause__ is None:
                how = "During handling of the above exception, another exception occurred:"
            parts.append(how if mode == "Plain" else f"\n{how}\n")
    return BETWEEN.join(parts)


def _one(error: BaseException, around: int) -> Iterator[str]:
    name = type(error).__name__
    yield name + "Traceback (most recent call last)".rjust(WIDTH - len(name))
    yield from _frames(error.__traceback__, around)
    yield f"{name}: {_text(error)}"
    yield from _notes(error)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "<exception str() failed>"


def _notes(error: BaseException) -> list[str]:
    notes = getattr(error, "__notes__", ())
    return [str(note) for note in notes] if isinstance(notes, (list, tuple)) else [repr(notes)]


def _places(tb: types.TracebackType | None) -> list[tuple[types.FrameType, int]]:
    """Returns frames and lines, without internal ones."""
    places = []
    while tb is not None:
        if not tb.tb_frame.f_code.co_filename.startswith(INTERNAL):
            places.append((tb.tb_frame, tb.tb_lineno))
        tb = tb.tb_next
    return places


def _frames(tb: types.TracebackType | None, around: int) -> Iterator[str]:
    places = _places(tb)
    keys = [(frame.f_code, line) for frame, line in places]
    counts = collections.Counter(keys)
    for common, group in itertools.groupby(range(len(keys)), lambda at: counts[keys[at]] > 3):
        members = list(group)
        shown = _first_and_last(members, keys) if common else set(members)
        left_out = []
        for at in members:
            if at not in shown:
                left_out.append(keys[at])
                continue
            if left_out:
                yield _skipped(left_out)
                left_out = []
            yield _frame(*places[at], around)
        if left_out:
            yield _skipped(left_out)


def _first_and_last(group: list[int], keys: list[_Key]) -> set[int]:
    """Returns which of the repeated places are shown: the first two of each, and the last."""
    shown: set[int] = set()
    met: collections.Counter[_Key] = collections.Counter()
    last: dict[_Key, int] = {}
    for at in group:
        key = keys[at]
        met[key] += 1
        last[key] = at
        if met[key] <= 2:
            shown.add(at)
    return shown.union(last.values())


def _skipped(keys: list[_Key]) -> str:
    counts = sorted(collections.Counter(keys).items(), key=lambda item: (-item[1], item[0][0].co_name))
    parts = ", ".join(f"{_name(code)} at line {line} ({count} times)" for (code, line), count in counts)
    return f"    [... skipping similar frames: {parts}]\n"


def _name(code: types.CodeType) -> str:
    # Python 3.11 is the first whose code knows the class of a method.
    name: str = getattr(code, "co_qualname", code.co_name)
    return name


def _frame(frame: types.FrameType, line: int, around: int) -> str:
    code = frame.f_code
    where = _where(code.co_filename, line)
    if code.co_name != "<module>":
        name = code.co_name if code.co_name in _WITHOUT_PLACE else _name(code)
        where += f", in {name}{_arguments(frame)}"
    lines = "".join(_lines(frame, line, around))
    return f"{where}\n{lines}" + (_values(frame, line) if mode == "Verbose" else "")


def _where(filename: str, line: int) -> str:
    number = cell_numbers.get(filename)
    if number is not None:
        return f"Cell In[{number}], line {line}"
    if filename.startswith(HOME + "/"):
        filename = "~" + filename[len(HOME) :]
    return f"File {filename}:{line}"


def _arguments(frame: types.FrameType) -> str:
    names, starred, double = inspect.getargs(frame.f_code)
    values = frame.f_locals
    if any(name not in values for name in [*names, *filter(None, (starred, double))]):
        return "(***failed resolving arguments***)"
    if mode == "Verbose":
        names = [f"{name}={_shown(values[name])}" for name in names]
        starred, double = (name and f"{name}={_shown(values[name])}" for name in (starred, double))
    return f"({', '.join([*names, *(['*' + starred] if starred else []), *(['**' + double] if double else [])])})"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = "<unprintable>"
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def _values(frame: types.FrameType, line: int) -> str:
    """Returns the variables of the statement that was running, one a line."""
    source = linecache.getlines(frame.f_code.co_filename, frame.f_globals)
    if not 0 < line <= len(source):
        return ""
    start, end = next((p for p in _pieces_around(frame.f_code, line, source) if p[0] <= line < p[1]), (line, line + 1))
    try:
        tree = ast.parse(textwrap.dedent("".join(source[start - 1 : end - 1])))
    except SyntaxError:
        return ""
    shown: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            value = frame.f_locals.get(node.id, frame.f_globals.get(node.id, ast))
            # What is imported, defined, or built in, says nothing.
            if not isinstance(value, (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)):
                shown.setdefault(node.id, _shown(value))
    return "\n".join(f"        {name} = {text}" for name, text in shown.items())


def _lines(frame: types.FrameType, line: int, around: int) -> list[str]:
    code = frame.f_code
    source = linecache.getlines(code.co_filename, frame.f_globals)
    if not 0 < line <= len(source):
        return []
    pieces = _pieces_around(code, line, source)
    at = next((i for i, (start, end) in enumerate(pieces) if start <= line < end), None)
    if at is None:
        pieces, at = [(line, line + 1)], 0
    above = max(0, at - around)
    shown: list[int | None] = []
    for start, end in pieces[above : at + 1 + around]:
        lines: list[int | None] = list(range(start, end))
        if len(lines) > LONGEST_PIECE and not start <= line < end:
            after = (LONGEST_PIECE - 1) // 2
            lines[LONGEST_PIECE - 1 - after : len(lines) - after] = [None]
        shown.extend(lines)
    texts = [text for n in shown if n and (text := source[n - 1]).strip()]
    indentation = min((len(text) - len(text.lstrip()) for text in texts), default=0)
    parts = []
    for n in shown:
        if n is None:
            # No line break: IPython writes the next line behind it.
            parts.append("   (...)")
            continue
        text = source[n - 1].rstrip("\n")[indentation:]
        parts.append(f"{'-' * (5 - len(str(n)))}> {n} {text}\n" if n == line else f"{n:>7} {text}\n")
    return parts


def _pieces_around(code: types.CodeType, line: int, source: list[str]) -> list[_Range]:
    """Returns the pieces of the function, class or module that a line belongs to."""
    name = code.co_filename
    if name.startswith(CELLS):
        if name not in _cut:
            _cut[name] = _Pieces("".join(source), 0)
        return _cut[name].around(line)
    # Of a file only the function is looked at: files are long.
    if code.co_name.startswith("<"):
        return [(n, n + 1) for n in range(1, len(source) + 1) if source[n - 1].strip()]
    first = code.co_firstlineno
    text = "".join(inspect.getblock(source[first - 1 :]))
    if text[:1].isspace():
        text = f"if 1:\n{text}"
        first -= 1
    return _Pieces(text, first - 1).around(line)


# Python 3.10 is the first with `match`.
_CASES: tuple[Any, ...] = (ast.match_case,) if hasattr(ast, "match_case") else ()
_STATEMENTS = (ast.stmt, ast.ExceptHandler, *_CASES)


class _Pieces:
    """A source cut into pieces: half open ranges of lines."""

    def __init__(self, text: str, above: int) -> None:
        self.above = above
        self.source = text.splitlines()
        self.all: list[_Range] = []
        self.scopes: list[tuple[int, int, int]] = []
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            self.all = [(n, n + 1) for n in range(1, len(self.source) + 1)]
            return
        cut: list[_Range] = []
        for start, end in self._cut(tree, 1, len(self.source) + 1):
            if cut and start < cut[-1][1]:
                cut[-1] = (cut[-1][0], end)  # two statements on one line
            elif end > start:
                cut.append((start, end))
        for start, end in cut:
            while start < end and not self.source[start - 1].strip():
                start += 1
            while start < end and not self.source[end - 2].strip():
                end -= 1
            if start < end:
                self.all.append((start, end))

    def _cut(self, node: ast.AST, start: int, end: int) -> Iterator[_Range]:
        for _, body in ast.iter_fields(node):
            if not isinstance(body, list) or not body or not isinstance(body[0], _STATEMENTS):
                continue
            for part in body:
                first, last = _span(part)
                if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                    self.scopes.append((first, last, _span(part.body[0])[0]))
                for inner_start, inner_end in self._cut(part, first, last):
                    if start < inner_start:
                        yield start, inner_start
                    if inner_start < inner_end:
                        yield inner_start, inner_end
                    start = inner_end
        yield start, end

    def around(self, line: int) -> list[_Range]:
        line -= self.above
        first, last = 1, len(self.source) + 1
        for start, end, body in self.scopes:
            # The head of a function is run by those around it.
            if body <= line < end and first <= start and end <= last:
                first, last = start, end
        return [(start + self.above, end + self.above) for start, end in self.all if first <= start and end <= last]


def _span(node: Any) -> _Range:
    """Returns the lines of a statement, decorators included."""
    if isinstance(node, _CASES):
        return node.pattern.lineno, (node.body[-1].end_lineno or 0) + 1
    decorators = getattr(node, "decorator_list", None)
    return (decorators[0] if decorators else node).lineno, node.end_lineno + 1


def _syntax(error: BaseException) -> str:
    """Formats a syntax error: without places where the cell itself could not be parsed, for then nothing ran."""
    return _plain(error)


def _plain(error: BaseException) -> str:
    places = _places(error.__traceback__)
    parts = []
    if places:
        parts.append("Traceback (most recent call last):\n")
        for frame, line in places:
            name = frame.f_code.co_name
            where = _where(frame.f_code.co_filename, line)
            parts.append(f"  {where}{'' if name == '<module>' else f' in {name}'}\n")
            text = linecache.getline(frame.f_code.co_filename, line, frame.f_globals).strip()
            if text:
                parts.append(f"    {text}\n")
        parts = ["".join(parts)]
    return BETWEEN.join([*parts, "".join(_only(error))])


def _only(error: BaseException) -> Iterator[str]:
    """Returns the exception without its places; of a syntax error the line, with a caret under it."""
    name, value = type(error).__name__, _text(error)
    if isinstance(error, SyntaxError):
        filename = error.filename or "<string>"
        number = cell_numbers.get(filename)
        at = "" if error.lineno is None else f", line {error.lineno}" if number is not None else f":{error.lineno}"
        yield f"  Cell In[{number}]{at}\n" if number is not None else f"  File {filename}{at}\n"
        line = (linecache.getline(filename, error.lineno) if error.lineno else "") or error.text or ""
        yield f"    {line.strip()}\n"
        if error.offset is not None:
            indented = len(line) - len(line.lstrip())
            under = "".join(c if c.isspace() else " " for c in line[indented : max(error.offset - 1, 0)])
            yield f"    {under}^\n"
        value = str(error.msg)
    yield f"{name}: {value}\n" if value else f"{name}\n"
    yield from (f"{note}\n" for note in _notes(error))


def set_cell_number(filename: str, count: int) -> None:
    """Notes that a file name is that of a cell."""
    cell_numbers[filename] = count
    _cut.pop(filename, None)


def reset() -> None:
    """Forgets all cells, and how exceptions are shown."""
    global mode
    mode = "Context"
    cell_numbers.clear()
    _cut.clear()
