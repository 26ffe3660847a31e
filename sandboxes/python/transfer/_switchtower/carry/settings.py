"""Settings of the interpreter that programs change, outside their own names."""

import base64
import os
import pickle
import sys

from .. import surroundings


def tell(start, home):
    """What the other side is to set where it differs. `start` is the environment that the session began with."""
    told = {"recursion_limit": sys.getrecursionlimit(), "int_digits": sys.get_int_max_str_digits()}
    folder = os.getcwd()
    if home is not None and folder != home:
        told["folder"] = folder
    # Looking would be asking: a program that never looked at its environment has changed nothing there.
    if start is not None and "_data" in vars(os.environ):
        now, start = dict(os.environ), {**surroundings.GIVEN, **start}
        told["environment"] = {name: value for name, value in now.items() if start.get(name) != value}
        told["environment_gone"] = [name for name in start if name not in now]
    chance = sys.modules.get("random")
    if chance is not None and type(chance._inst) is chance.Random:
        told["chance"] = base64.b64encode(pickle.dumps(chance.getstate(), 4)).decode()
    arrays = sys.modules.get("numpy.random.mtrand")
    if arrays is not None:
        told["numpy_chance"] = base64.b64encode(pickle.dumps(arrays._rand.get_state(), 4)).decode()
    numbers = sys.modules.get("decimal")
    if numbers is not None:
        told["decimal"] = decimal(numbers.getcontext())
    logs = sys.modules.get("logging")
    if logs is not None:
        told["log_level"] = logs.root.level
    return told


def decimal(context):
    """A decimal context in plain data."""
    return [context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp,
            sorted(signal.__name__ for signal, on in context.traps.items() if on)]
