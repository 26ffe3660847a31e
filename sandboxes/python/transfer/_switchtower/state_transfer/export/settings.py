"""Exports settings of the interpreter that programs change, outside their own names."""

from __future__ import annotations

import base64
import os
import pickle
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...process_info import GIVEN

if TYPE_CHECKING:
    from ..schema import Settings


def export_settings(start: Mapping[str, str] | None, home: str | None) -> Settings:
    """Returns what the other side is to set. `start` is the environment that the session began with."""
    settings: Settings = {
        "recursion_limit": sys.getrecursionlimit(),
        # Pythons that were not mended have no limit.
        "int_max_str_digits": sys.get_int_max_str_digits() if hasattr(sys, "get_int_max_str_digits") else 0,
    }
    if hasattr(signal, "getitimer"):
        rings, interval = signal.getitimer(signal.ITIMER_REAL)
        if rings:
            settings["timer"] = [rings, interval]
    folder = os.getcwd()
    if home is not None and folder != home:
        settings["folder"] = folder
    # To look would count as a read: a program that never looked at its environment has changed nothing there.
    if start is not None and "_data" in vars(os.environ):
        now, start = dict(os.environ), {**GIVEN, **start}
        settings["environment"] = {name: value for name, value in now.items() if start.get(name) != value}
        settings["environment_removed"] = [name for name in start if name not in now]
    random: Any = sys.modules.get("random")
    if random is not None and type(random._inst) is random.Random:
        settings["random_state"] = _pickled(random.getstate())
    arrays: Any = sys.modules.get("numpy.random.mtrand")
    if arrays is not None:
        settings["numpy_random_state"] = _pickled(arrays._rand.get_state())
    numbers: Any = sys.modules.get("decimal")
    if numbers is not None:
        settings["decimal"] = decimal_settings(numbers.getcontext())
    logs: Any = sys.modules.get("logging")
    if logs is not None:
        settings["log_level"] = logs.root.level
    return settings


def _pickled(state: object) -> str:
    return base64.b64encode(pickle.dumps(state, 4)).decode()


def decimal_settings(context: Any) -> list[Any]:
    """Returns a decimal context in plain data."""
    traps = sorted(signal.__name__ for signal, on in context.traps.items() if on)
    return [context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp, traps]
