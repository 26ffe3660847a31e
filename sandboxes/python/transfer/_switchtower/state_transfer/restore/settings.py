"""Sets the settings of the interpreter that the program changed."""

from __future__ import annotations

import base64
import os
import pickle
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..schema import Settings
    from .replay import Replay

# What a decimal context begins with: prec, rounding, Emin, Emax, capitals, clamp.
_DECIMAL_START = [28, "ROUND_HALF_EVEN", -999999, 999999, 1, 0]


def apply_settings(settings: Settings, replay: Replay) -> None:
    """Sets what differs from the exported settings."""
    sources = "\n".join(cell["code"] for cell in replay.cells)
    if "setrecursionlimit" in sources:
        sys.setrecursionlimit(settings["recursion_limit"])
    if "set_int_max_str_digits" in sources and hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(settings["int_max_str_digits"])
    _apply_environment(settings, replay.environment)
    folder = settings.get("folder") or replay.home
    if os.getcwd() != folder:
        os.makedirs(folder, exist_ok=True)
        os.chdir(folder)
    if "timer" in settings:
        signal.setitimer(signal.ITIMER_REAL, *settings["timer"])
    if settings.get("random_state") and "random" in sys.modules:
        state = pickle.loads(base64.b64decode(settings["random_state"]))
        if sys.modules["random"].getstate() != state:
            sys.modules["random"].setstate(state)
    if settings.get("numpy_random_state") and "numpy.random.mtrand" in sys.modules:
        state = pickle.loads(base64.b64decode(settings["numpy_random_state"]))
        sys.modules["numpy.random.mtrand"]._rand.set_state(state)
    _apply_decimal(settings.get("decimal"))
    if "logging" in sys.modules and "log_level" in settings and "logging" in sources:
        root = sys.modules["logging"].root
        if root.level != settings["log_level"]:
            root.setLevel(settings["log_level"])


def _apply_environment(settings: Settings, before: Mapping[str, str]) -> None:
    """Sets what the program changed there, and no more: the two machines' own environments differ."""
    changed = settings.get("environment", {})
    for name in [name for name in os.environ if name not in changed and os.environ[name] != before.get(name)]:
        if name in before:
            os.environ[name] = before[name]
        else:
            del os.environ[name]
    os.environ.update(changed)
    for name in settings.get("environment_removed", ()):
        os.environ.pop(name, None)


def _apply_decimal(wanted: list[Any] | None) -> None:
    if wanted is None or "decimal" not in sys.modules and wanted[:6] == _DECIMAL_START:
        return
    import decimal

    # A kernel may run each cell in a context of its own; new ones begin as the default does.
    for context in (decimal.getcontext(), decimal.DefaultContext):
        # A 32-bit build has smaller exponents at its limits, but both begin with the same.
        if _decimal_settings(context) != wanted:
            context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp = wanted[:6]
            for trap in context.traps:
                context.traps[trap] = trap.__name__ in wanted[6]


def _decimal_settings(context: Any) -> list[Any]:
    traps = sorted(signal.__name__ for signal, on in context.traps.items() if on)
    return [context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp, traps]
