"""Imports packages once and prints as JSON what there is to import, and which folders that needs.

    python3 -I -S -B probe_packages.py SITE PACKAGE...

install.py runs it in an interpreter as bare as the one that programs get.
"""

import importlib.util
import json
import os
import pkgutil
import re
import sys
import sysconfig

#: Of no use in a jail: they need a display, a browser or an index of packages, or are Python's own tests.
USELESS = frozenset("_tkinter antigravity ensurepip idlelib pip test tkinter turtle turtledemo venv".split())
TESTS = re.compile(r"_test|_?xx|__p?hello__|_ctypes_test")


def main(site: str, *packages: str) -> None:
    sys.path.append(site)
    # The standard library's own extension modules show which libraries it needs. One that fails is not there.
    for name in sorted(extensions() - USELESS):
        tried(name)
    failed = [failure for failure in map(tried, packages) if failure]
    print(json.dumps({"failed": failed, "modules": sorted(filter(there, names(site))), "readable": folders(site)}))


def extensions() -> set[str]:
    folder = os.path.join(sysconfig.get_path("platstdlib"), "lib-dynload")
    return {name.partition(".")[0] for name in os.listdir(folder)} if os.path.isdir(folder) else set()


def tried(name: str) -> "str | None":
    try:
        __import__(name)
    except Exception as error:
        return f"{name}: {error}"
    return None


def names(site: str) -> set[str]:
    """Top-level names: the standard library's for all systems, and the packages'."""
    standard = {name for name in sys.stdlib_module_names - USELESS if not TESTS.match(name)}
    spread = {name for name in os.listdir(site) if name.isidentifier() and os.path.isdir(os.path.join(site, name))}
    return (standard | {module.name for module in pkgutil.iter_modules([site])} | spread) - {"__pycache__"}


def there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return name in sys.modules


def folders(site: str) -> list[str]:
    """Where the libraries lie that are loaded by now, and the standard library."""
    with open("/proc/self/maps") as maps:
        paths = {line.split(None, 5)[5].strip() for line in maps if "/" in line and ".so" in line}
    loaded = {os.path.dirname(path) for path in paths}
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    return sorted(folder for folder in loaded | standard if not (folder + "/").startswith(site + "/"))


if __name__ == "__main__":
    main(*sys.argv[1:])
