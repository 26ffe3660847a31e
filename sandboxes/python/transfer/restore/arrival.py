"""A session arrives in another kernel, in the cloud or here: its cells run again, then its state is checked and mended.

The `carry.tell` of the kernel before told what the state was. What running the cells again gives is compared with that,
name by name, by the same text (`canon`) that it used. A name that came out different is overwritten from its parcel;
one that has none ends the move with a sentence that names the variable and the cell. State is never silently wrong.

The host runs this text as a module of its own, so that it leaves no name behind, in one hidden cell:

    _switchtower_room = type(__import__("sys"))("_switchtower_room")
    exec(<this text>, _switchtower_room.__dict__)
    print(_switchtower_room.arrive(<path of a JSON file, or the JSON text>))

Nothing in it is awaited: a cell with `await` runs in a context of its own, and what the cells set in theirs (decimal's
precision) would end with it. Compiling this text and `canon` takes longer than the work on a small state, so a host
may run the first two lines when it makes the kernel, and `_switchtower_room.prepare(canon)`.

A cell that was cut short, or refused what is to be had here, is not run: here it would do what it did not do there.
What it left in names is carried like all that differs; where it may have left something that nobody compares, the move
fails.

The JSON: {"cells": [{number, code, env, changes, pure, raised, cut}], "told": <what carry told>, "limit_s", "home",
"follows": whether others use the files there already}. What is printed: {"ok": true, "replayed", "carried", "ms"} or
{"ok": false, "cell", "name", "why", "ms"}.
"""

import ast
import asyncio
import base64
import builtins
import contextlib
import inspect
import json
import linecache
import os
import pickle
import re
import shutil
import signal
import sys
import threading
import time
import types
import zlib

_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


class TimeUp(BaseException):
    """The cells took longer than the host gives them."""


class Stuck(Exception):
    """A state that can be neither replayed nor carried."""

    def __init__(self, why, cell=None, name=None):
        super().__init__(why)
        self.told = {"cell": cell, "name": name, "why": why}


def arrive(given):
    """The verdict, as one line of JSON."""
    began = time.perf_counter()
    if isinstance(given, str):
        if not given.lstrip().startswith("{"):
            with open(given, encoding="utf-8") as file:
                given = file.read()
        given = json.loads(given)
    kernel = Kernel(given)
    try:
        kernel.replay()
        carried = State(kernel).settle()
        verdict = {"ok": True, "replayed": len(kernel.cells), "carried": carried}
    except Stuck as stuck:
        verdict = {"ok": False, **stuck.told}
    except Exception as error:  # a mistake of ours: a state that was not checked is not handed out
        verdict = {"ok": False, "cell": None, "name": None,
                   "why": f"the state could not be checked ({type(error).__name__}: {str(error)[:200]})"}
    kernel.number()
    if kernel.loop is not None:
        kernel.loop.close()
    verdict["ms"] = round((time.perf_counter() - began) * 1000, 2)
    return json.dumps(verdict)


_prepared = {}


def prepare(text):
    """The module that makes the digests."""
    if text not in _prepared:
        _prepared[text] = types.ModuleType("_switchtower_canon")
        exec(compile(text, "<switchtower canon>", "exec", dont_inherit=True), _prepared[text].__dict__)
    return _prepared[text]
