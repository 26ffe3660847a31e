"""Digests of a program's names, in groups that share what can change."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any

from .encoder import Encoder
from .table import Table
from .view import View


def encode_each(view: View, roots: Mapping[str, Any]) -> dict[str, Encoder]:
    """Returns one encoder for each root, on its own."""
    # The program's modules may be others than at the last call, and so may be the encodings of their classes.
    view.encodings = table = Table(view)
    collects = gc.isenabled()
    gc.disable()  # much is made here and nothing of it is garbage
    try:
        return {key: Encoder(view, table).encode_alone(key, value) for key, value in roots.items()}
    finally:
        if collects:
            gc.enable()


def encode_together(view: View, roots: Mapping[str, Any], loose: bool = False) -> Encoder:
    """Returns one encoder for roots that share."""
    table = view.encodings or Table(view)
    if len(roots) == 1 and not loose:
        return Encoder(view, table).encode_alone(*next(iter(roots.items())))
    encoder = Encoder(view, table, loose)
    for key, value in sorted(roots.items()):
        encoder.encode_root(key, value)
    return encoder


def group(encoders: Mapping[str, Encoder]) -> list[list[str]]:
    """Returns the keys in groups: those whose values share something that can change are together."""
    leader: dict[str, str] = {}
    owner: dict[int, str] = {}

    def lead(key: str) -> str:
        while leader.setdefault(key, key) != key:
            key = leader[key]
        return key

    for key, encoder in encoders.items():
        first = lead(key)
        for place in (*encoder.memo, *encoder.viewed):
            other = owner.setdefault(place, key)
            if other is not key:
                leader[lead(other)] = first
                first = lead(key)
    joined: dict[str, list[str]] = {}
    for key in encoders:
        joined.setdefault(lead(key), []).append(key)
    return [sorted(keys) for keys in joined.values()]
