"""Tests of `sandboxes/native/install.py`, without a network."""

import ast
import base64
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import zipfile

HERE = pathlib.Path(__file__).resolve().parents[2] / "native"
sys.path.insert(0, str(HERE))

import install
import interpreter
import packages
from interpreter import Interpreter, Refused


def python(**other):
    facts = dict(
        version=(3, 12, 1),
        implementation="cpython",
        free_threaded=False,
        home="/opt/python",
        library="/opt/python/lib/lib.so",
    )
    return Interpreter(**{**facts, **other})


class WhatCanBeEmbedded(unittest.TestCase):
    def refused(self, **other):
        with self.assertRaises(Refused) as caught:
            interpreter.check(python(**other))
        return f"{caught.exception} / {caught.exception.fix}"

    def test_a_python_with_a_shared_library_will_do(self):
        interpreter.check(python())

    def test_pythons_without_pinned_packages_are_refused_with_a_remedy(self):
        self.assertIn(
            "Python 3.10.13 is too old / run this with CPython 3.11 to 3.14", self.refused(version=(3, 10, 13))
        )
        self.assertIn("newer than the pinned packages", self.refused(version=(3, 15, 0)))
        self.assertIn("pypy is not CPython", self.refused(implementation="pypy"))
        self.assertIn("free-threaded", self.refused(free_threaded=True))

    def test_without_a_shared_library_it_says_what_to_install(self):
        message = self.refused(library=None)
        for part in ("no shared library", "libpython3.12-dev", "--enable-shared", "uv python install 3.12"):
            self.assertIn(part, message)

    def test_an_old_python_can_read_far_enough_to_say_so(self):
        for file in ("install.py", "interpreter.py", "packages.py"):
            ast.parse((HERE / file).read_text(), feature_version=(3, 6))

    def test_the_library_must_have_the_name_that_is_linked_to(self):
        with tempfile.TemporaryDirectory() as folder:
            variables = {
                "Py_ENABLE_SHARED": 1,
                "LIBDIR": "/install/lib",
                "LDLIBRARY": "libp.so",
                "INSTSONAME": "libp.so.1.0",
            }
            there = pathlib.Path(folder, "lib")
            there.mkdir()
            (there / "libp.so.1.0").touch()
            self.assertIsNone(interpreter.library(variables.get, folder))
            (there / "libp.so").touch()
            self.assertEqual(interpreter.library(variables.get, folder), str(there / "libp.so.1.0"))
            self.assertIsNone(interpreter.library({**variables, "Py_ENABLE_SHARED": 0}.get, folder))

    def test_folders_of_the_system_and_folders_in_others_are_left_out(self):
        folders = ["/usr/lib/python3.12", "/opt/p/lib/python3.12", "/opt/p/lib", "/opt/other"]
        self.assertEqual(interpreter.outermost(folders), ["/opt/other", "/opt/p/lib"])


class Installing(unittest.TestCase):
    """With one small wheel, a worker that is any file, and no index."""

    def setUp(self):
        self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.into = str(self.root / "native")
        self.python = interpreter.running()
        self.python.library = self.python.library or "/usr/lib/libpython.so"
        self.enterContext(unittest.mock.patch.dict(os.environ, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(self.root)))
        self.enterContext(unittest.mock.patch.object(install, "say"))
        self.spoken = self.enterContext(
            unittest.mock.patch.object(install, "protocol_of", return_value={"protocol": 7, "version": "1.2.3"})
        )
        self.worker = self.root / "worker"
        self.worker.write_bytes(b"one")

    def wheel(self, version, package="thing", needs=""):
        """Makes a wheel and the requirements that ask for it."""
        name = f"{package}-{version}"
        needed = f"Requires-Dist: {needs}\n" if needs else ""
        files = {
            f"{package}.py": f"__version__ = '{version}'\n",
            f"{name}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n{needed}",
            f"{name}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = f"{name}.dist-info/RECORD"
        lines = []
        path = self.root / f"{name}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for file, content in files.items():
                archive.writestr(file, content)
                digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
                lines.append(f"{file},sha256={digest},{len(content)}")
            archive.writestr(record, "\n".join([*lines, f"{record},,"]) + "\n")
        requirements = self.root / f"{package}.txt"
        requirements.write_text(f"{package}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n")
        return requirements

    def install(self, requirements, *options):
        """As `install.py --worker … OPTIONS` with a profile of these requirements."""
        profile = packages.Profile([str(requirements)], 0, 0)
        with unittest.mock.patch.dict(install.PROFILES, default=profile):
            wanted = install.chosen(self.into, self.python, install.parsed(options))
            return install.install(self.into, self.python, str(self.worker), wanted)

    def manifest(self):
        return json.loads(pathlib.Path(self.into, "manifest.json").read_text())

    def test_a_first_installation_is_whole_and_a_second_has_nothing_to_do(self):
        requirements = self.wheel("1.0")
        self.assertTrue(self.install(requirements))
        self.assertEqual(sorted(os.listdir(self.into)), ["manifest.json", "site", "switchtower-native"])
        manifest = self.manifest()
        self.assertEqual(manifest["packages"], {"thing": "1.0"})
        self.assertEqual((manifest["protocol"], manifest["version"]), (7, "1.2.3"))
        self.assertLessEqual({"thing", "json", "math", "__future__"}, set(manifest["modules"]))
        self.assertFalse({"ensurepip", "idlelib", "winreg"} & set(manifest["modules"]))
        self.assertTrue(os.access(os.path.join(self.into, "switchtower-native"), os.X_OK))
        bytecode = os.listdir(os.path.join(self.into, "site", "__pycache__"))
        self.assertEqual(bytecode, [f"thing.{sys.implementation.cache_tag}.pyc"])

        with unittest.mock.patch.object(packages, "fetch", side_effect=AssertionError("nothing has changed")):
            self.assertFalse(self.install(requirements))

    def test_another_worker_takes_the_packages_over(self):
        requirements = self.wheel("1.0")
        self.install(requirements)
        before = self.manifest()["digest"]
        self.worker.write_bytes(b"another")
        with unittest.mock.patch.object(packages, "fetch", side_effect=AssertionError("the packages are the same")):
            self.assertTrue(self.install(requirements))
        self.assertNotEqual(self.manifest()["digest"], before)
        self.assertTrue(pathlib.Path(self.into, "site", "thing.py").is_file())

    def test_other_packages_replace_the_old_ones(self):
        self.install(self.wheel("1.0"))
        self.assertTrue(self.install(self.wheel("2.0")))
        self.assertEqual(self.manifest()["packages"], {"thing": "2.0"})
        self.assertEqual([name for name in os.listdir(self.root) if name.startswith("native")], ["native"])

    def test_a_wheel_with_another_hash_leaves_the_old_installation_whole(self):
        self.install(self.wheel("1.0"))
        before = self.manifest()
        requirements = self.wheel("2.0")
        requirements.write_text(f"thing==2.0 --hash=sha256:{'0' * 64}\n")
        with unittest.mock.patch.object(packages.subprocess, "run", side_effect=quiet(subprocess.run)):
            with self.assertRaises(Refused):
                self.install(requirements)
        self.assertEqual(self.manifest(), before)
        self.assertTrue(pathlib.Path(self.into, "site", "thing.py").is_file())
        self.assertEqual([name for name in os.listdir(self.root) if name.startswith("native")], ["native"])

    def test_an_added_package_comes_with_what_it_needs_and_stays_until_it_is_removed(self):
        requirements = self.wheel("1.0")
        self.wheel("3.0", "part")
        self.wheel("2.0", "more", needs="part")
        self.assertTrue(self.install(requirements, "--with", "More"))
        wanted = self.manifest()["wanted"]
        self.assertEqual(self.manifest()["packages"], {"more": "2.0", "part": "3.0", "thing": "1.0"})
        self.assertLessEqual({"more", "part", "thing"}, set(self.manifest()["modules"]))
        digest = hashlib.sha256((self.root / "more-2.0-py3-none-any.whl").read_bytes()).hexdigest()
        self.assertEqual([one for one in wanted["added"] if one[0] == "more"], [["more", "2.0", [digest]]])

        # A newer one is not taken unasked.
        self.wheel("2.1", "more", needs="part")
        self.assertFalse(self.install(requirements))
        self.assertTrue(self.install(requirements, "--without", "more"))
        self.assertEqual(self.manifest()["packages"], {"thing": "1.0"})
        with self.assertRaises(Refused):
            self.install(requirements, "--without", "more")

    def test_a_folder_of_wheels_is_added_and_is_not_needed_again(self):
        requirements = self.wheel("1.0")
        with tempfile.TemporaryDirectory() as folder:
            self.wheel("2.0", "more")
            os.rename(self.root / "more-2.0-py3-none-any.whl", os.path.join(folder, "more-2.0-py3-none-any.whl"))
            self.assertTrue(self.install(requirements, "--with", folder))
        self.wheel("1.1")
        self.assertTrue(self.install(self.root / "thing.txt"))
        self.assertEqual(self.manifest()["packages"], {"more": "2.0", "thing": "1.1"})

    def test_what_cannot_be_added_is_refused_and_the_installation_stays(self):
        requirements = self.wheel("1.0")
        self.install(requirements)
        before = self.manifest()
        self.wheel("2.0", "other", needs="thing>=2")
        with unittest.mock.patch.object(packages.subprocess, "run", side_effect=quiet(subprocess.run)):
            for name in ("unheard-of", "other", "--index-url=http://localhost", "/nowhere/thing-1.0-py3-none-any.whl"):
                with self.subTest(name), self.assertRaises(Refused):
                    self.install(requirements, f"--with={name}")
        self.assertEqual(self.manifest(), before)

    def test_wheels_that_arrived_are_not_fetched_again(self):
        requirements = self.wheel("1.0")
        lines = requirements.read_text()
        other = self.wheel("2.0", "more").read_text()
        requirements.write_text(lines + re.sub("[0-9a-f]{64}", "0" * 64, other))
        with unittest.mock.patch.object(packages.subprocess, "run", side_effect=quiet(subprocess.run)):
            with unittest.mock.patch.object(packages, "BATCH", 1), self.assertRaises(Refused):
                self.install(requirements)
        self.assertEqual(os.listdir(self.into + ".wheels"), ["thing-1.0-py3-none-any.whl"])
        os.remove(self.root / "thing-1.0-py3-none-any.whl")
        requirements.write_text(lines + other)
        self.assertTrue(self.install(requirements))
        self.assertFalse(os.path.exists(self.into + ".wheels"))

    def test_a_pin_is_for_the_pythons_that_its_marker_names(self):
        path = self.root / "marked.txt"
        path.write_text(
            f'thing==1.0; python_version < "3.14" \\\n    --hash=sha256:{"a" * 64}\n'
            f'thing==2.0; python_version >= "3.14" --hash=sha256:{"b" * 64}\n'
        )
        for minor, expected in ((13, ("1.0", ["a" * 64])), (14, ("2.0", ["b" * 64]))):
            self.assertEqual([(pin.version, pin.hashes) for pin in packages.pinned([str(path)], minor)], [expected])

    def test_a_run_that_was_killed_between_two_renames_is_put_right(self):
        self.install(self.wheel("1.0"))
        os.rename(self.into, self.into + ".old")
        install.recover(self.into)
        self.assertEqual(self.manifest()["packages"], {"thing": "1.0"})

    def test_a_folder_with_something_else_in_it_is_not_replaced(self):
        os.mkdir(self.into)
        install.replaceable(self.into)
        pathlib.Path(self.into, "letters").touch()
        with self.assertRaises(Refused):
            install.replaceable(self.into)

    def test_a_second_run_at_the_same_time_is_refused(self):
        with install.alone(self.into):
            with self.assertRaises(Refused):
                with install.alone(self.into):
                    pass

    def test_a_worker_that_does_not_report_its_protocol_leaves_the_old_installation_whole(self):
        requirements = self.wheel("1.0")
        self.install(requirements)
        before = self.manifest()
        self.spoken.side_effect = install_protocol_of
        self.worker.write_text("#!/bin/sh\nexit 2\n")
        with self.assertRaises(Refused) as caught:
            self.install(requirements)
        self.assertIn("does not report its protocol version", str(caught.exception))
        self.assertEqual(self.manifest(), before)

    def test_a_worker_that_is_linked_to_no_python_is_refused(self):
        with self.assertRaises(Refused) as caught:
            install.given("/bin/sh", self.python)
        self.assertIn("is linked to no Python", str(caught.exception))


class Pinned(unittest.TestCase):
    def test_what_is_listed_is_pinned_with_hashes_for_each_python(self):
        for name in ("requirements", "requirements-e2b"):
            listed = (HERE / f"{name}.in").read_text()
            for minor in (11, 13, 14):
                pins = {pin.name: pin for pin in packages.pinned([str(HERE / f"{name}.txt")], minor)}
                for line in re.findall(r"^[a-z0-9].*$", listed, re.MULTILINE):
                    package, version, marker = re.match(r"([^=]+)==([^;]+)(?:; python_version (.*))?", line).groups()
                    fits = {None: True, '< "3.14"': minor < 14, '>= "3.14"': minor >= 14}[marker]
                    if fits:
                        self.assertEqual(pins[package].version, version)
                self.assertTrue(all(pin.hashes for pin in pins.values()))

    def test_a_profile_pins_no_package_twice(self):
        for profile in packages.PROFILES.values():
            names = [pin.name for pin in packages.pinned(profile.lists, 11)]
            self.assertEqual(len(names), len(set(names)))


#: The real one, which the tests with a worker that is any file replace.
install_protocol_of = install.protocol_of


def quiet(run):
    return lambda *args, **options: run(*args, **{"stderr": subprocess.DEVNULL, **options})


if __name__ == "__main__":
    unittest.main()
