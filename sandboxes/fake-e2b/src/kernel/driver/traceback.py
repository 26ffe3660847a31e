# Errors as rows: name, value and a traceback in IPython's plain form.
tracebacks = sys.modules[f"{__name__}.tracebacks"]
# The kernel sends a traceback in parts, which the server joins with nothing.
tracebacks.BETWEEN = ""


def error_parts(error: BaseException) -> Any:
    """Returns the name, the value and the traceback of an error."""
    return tracebacks.describe(error)[:3]


