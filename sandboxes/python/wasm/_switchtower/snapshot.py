"""What the memory snapshot holds: the modules that programs use, imported and ready."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import types
from typing import Any

COMMON = """
abc argparse array ast asyncio atexit base64 binascii bisect builtins calendar cmath cmd codecs collections
collections.abc colorsys concurrent.futures configparser contextlib contextvars copy csv ctypes dataclasses datetime
decimal difflib dis doctest email email.message email.mime.text email.utils encodings.ascii encodings.idna
encodings.latin_1 encodings.cp1252 encodings.utf_16 encodings.utf_32 encodings.utf_8_sig encodings.punycode
encodings.unicode_escape encodings.raw_unicode_escape encodings.hex_codec encodings.base64_codec encodings.rot_13 enum errno
fileinput filecmp fnmatch fractions functools gc getopt getpass gettext glob graphlib gzip hashlib heapq hmac html
html.entities html.parser http http.client imaplib importlib.metadata importlib.resources inspect io ipaddress itertools
json keyword linecache locale logging logging.handlers marshal math mimetypes numbers opcode operator optparse os pathlib
pickle pickletools pkgutil platform plistlib pprint profile pstats queue quopri random re reprlib sched secrets select
selectors shelve shlex shutil signal smtplib socket socketserver sqlite3 statistics string string.templatelib stringprep
struct subprocess symtable sys tarfile tempfile textwrap threading time timeit token tokenize tomllib trace traceback
tracemalloc types typing unicodedata unittest unittest.mock urllib.error urllib.parse urllib.request uuid warnings wave
weakref xml.dom.minidom xml.etree.ElementTree xml.sax zipfile zlib zoneinfo _strptime _pydecimal _colorize
""".split()

# Parts of sympy that need programs or packages which do not exist here.
_NOT_IN_SYMPY = (
    "sympy.parsing.autolev._antlr",
    "sympy.parsing.latex._antlr",
    "sympy.plotting.pygletplot.",
    "sympy.galgebra",
    "sympy.conftest",
    "sympy.testing",
    "sympy.this",
)


def load() -> Any:
    """Imports everything. Returns the names that could not be imported."""
    failed = [name for name in COMMON if not _imported(name)]
    _import_sympy()
    return failed


def _import_sympy() -> None:
    # sympy reads from ctypes the size of one C type while it is imported.
    ctypes = types.ModuleType("ctypes")
    ctypes.c_long, ctypes.sizeof = int, lambda kind: 4
    sys.modules["ctypes"] = ctypes
    try:
        for package in ("mpmath", "sympy"):
            root = importlib.import_module(package)
            for found in pkgutil.walk_packages(root.__path__, package + ".", onerror=lambda name: None):
                parts = found.name.split(".")
                if "tests" in parts or "benchmarks" in parts or found.name.startswith(_NOT_IN_SYMPY):
                    continue
                _imported(found.name)
    finally:
        del sys.modules["ctypes"]


def _imported(name: str) -> bool:
    try:
        importlib.import_module(name)
    except (ImportError, AttributeError, OSError, SystemExit):
        return False
    return True
