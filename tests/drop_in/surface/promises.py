"""Promises to programs that use E2B's SDK: functions whose names say what holds, each with a sandbox of its own.

    E2B_API_KEY=… E2B_API_URL=http://… E2B_SANDBOX_URL=http://… python3 commands.py [WORD …]

A script with words keeps only the promises with one of them in their names.
"""

import faulthandler
import inspect
import os
import sys
import time
import traceback

from e2b_code_interpreter import Sandbox

PROMISES = []
# The longest time in seconds that a script waits for something that must happen.
PATIENCE_S = 30


def promise(function=None, **creation):
    """Registers a promise, whose sandbox is created with these options."""
    if function is None:
        return lambda function: promise(function, **creation)
    PROMISES.append((function, creation))
    return function


def raises(kind, function, *arguments, **named):
    """Returns the error that a call must raise."""
    try:
        returned = function(*arguments, **named)
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected, the call returned {returned!r}")


async def raises_async(kind, awaitable):
    """Returns the error that an awaitable must raise."""
    try:
        returned = await awaitable
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected, the call returned {returned!r}")


def wait_until(condition):
    """Returns the first result of a condition that is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (result := condition()):
        assert time.monotonic() < deadline, inspect.getsource(condition)
        time.sleep(0.02)
    return result


def keep_one(function, creation):
    with Sandbox.create(timeout=300, **creation) as sandbox:
        function(sandbox)


def keep_all(keep=keep_one):
    """Runs the promises and ends the program: with 0 and the number of promises as its output, or with 1."""
    # Shows where a script hangs, if it does.
    faulthandler.dump_traceback_later(240, exit=True)
    words, kept, broken = sys.argv[1:], 0, 0
    for function, creation in PROMISES:
        name = function.__name__.replace("_", " ")
        if words and not any(word in name for word in words):
            continue
        started = time.monotonic()
        try:
            keep(function, creation)
            kept += 1
        except Exception:
            print(f"broken: {name}", file=sys.stderr)
            traceback.print_exc()
            broken += 1
        print(f"{time.monotonic() - started:6.2f} s  {name}", file=sys.stderr, flush=True)
    print(kept, flush=True)
    # The SDK's own transport sometimes aborts at the end of the interpreter (e2b 2.63.0).
    os._exit(1 if broken else 0)
