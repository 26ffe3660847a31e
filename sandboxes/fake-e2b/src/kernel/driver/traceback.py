# Errors as rows: name, value and a traceback in IPython's plain form.
def frames_of(error: BaseException) -> list[Any]:
    frames, tb = [], error.__traceback__
    while tb:
        frames.append((tb.tb_frame, tb.tb_lineno))
        tb = tb.tb_next
    own = __name__
    return [(f, n) for f, n in frames if f.f_globals.get("__name__") != own]


def frame_text(frame: Any, number: int) -> str:
    code = frame.f_code
    cell = SHELL.cells.get(code.co_filename)
    where = f"Cell In[{cell}], line {number}" if cell else f"File {code.co_filename}:{number}"
    if code.co_name != "<module>":
        names = inspect.getargvalues(frame)
        starred = [star + name for star, name in (("*", names.varargs), ("**", names.keywords)) if name]
        where += f", in {code.co_name}({', '.join(names.args + starred)})"
    lines = [where + "\n"]
    for at in range(max(1, number - 2), number + 3):
        text = linecache.getline(code.co_filename, at)
        if not text:
            continue
        mark = "----> "[len(str(at)) - 1 :] + str(at) if at == number else f"{at:>7}"
        lines.append(f"{mark} {text.rstrip()}\n")
    return "".join(lines)


def error_parts(error: BaseException) -> Any:
    """Returns the name, the value and the traceback of an error."""
    name = type(error).__name__
    try:
        value = str(error)
    except Exception:
        value = "<exception str() failed>"
    if isinstance(error, SystemExit):
        return name, value, f"An exception has occurred, use %tb to see the full traceback.\n\n{name}: {value}\n"
    if isinstance(error, SyntaxError) and error.filename in SHELL.cells and not frames_of(error):
        cell = SHELL.cells[error.filename]
        text, column = (error.text or "").rstrip("\n"), max((error.offset or 1) - 1, 0)
        stripped = text.lstrip()
        caret = " " * (4 + max(column - (len(text) - len(stripped)), 0)) + "^"
        return name, value, f"  Cell In[{cell}], line {error.lineno}\n    {stripped}\n{caret}\n{name}: {error.msg}\n"
    seen, chain = set(), []
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    parts = ["-" * 75 + "\n"]
    for at, one in enumerate(reversed(chain)):
        if at:
            how = ("The above exception was the direct cause of the following exception:" if one.__cause__ else
                   "During handling of the above exception, another exception occurred:")  # fmt: skip
            parts.append(f"\n\n{how}\n\n")
        its_name = type(one).__name__
        parts.append(its_name + "Traceback (most recent call last)".rjust(75 - len(its_name)) + "\n")
        parts.extend(frame_text(frame, number) + "\n" for frame, number in frames_of(one))
        parts.append(f"{its_name}: {value if one is chain[0] else one}")
    return name, value, "".join(parts)


