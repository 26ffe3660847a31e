"""Tests of `sandboxes/native/install.py`, without a network."""

import ast
import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import zipfile

HERE = pathlib.Path(__file__).resolve().parents[2] / "native"
sys.path.insert(0, str(HERE))

import folder
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
        for file in ("folder.py", "install.py", "interpreter.py", "packages.py", "reuse.py", "wheels.py"):
            ast.parse((HERE / file).read_text(), feature_version=(3, 6))

    def test_the_library_must_have_the_name_that_is_linked_to(self):
        with tempfile.TemporaryDirectory() as home:
            variables = {
                "Py_ENABLE_SHARED": 1,
                "LIBDIR": "/install/lib",
                "LDLIBRARY": "libp.so",
                "INSTSONAME": "libp.so.1.0",
            }
            there = pathlib.Path(home, "lib")
            there.mkdir()
            (there / "libp.so.1.0").touch()
            self.assertIsNone(interpreter.library(variables.get, home))
            (there / "libp.so").touch()
            self.assertEqual(interpreter.library(variables.get, home), str(there / "libp.so.1.0"))
            self.assertIsNone(interpreter.library({**variables, "Py_ENABLE_SHARED": 0}.get, home))

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
        self.said = self.enterContext(unittest.mock.patch.object(packages, "say"))
        self.spoken = self.enterContext(
            unittest.mock.patch.object(install, "protocol_of", return_value={"protocol": 7, "version": "1.2.3"})
        )
        self.worker = self.root / "worker"
        self.worker.write_bytes(b"one")

    def wheel(self, version, package="thing", needs="", also=None):
        """Makes a wheel and the requirements that ask for it."""
        name = f"{package}-{version}"
        needed = f"Requires-Dist: {needs}\n" if needs else ""
        files = {
            f"{package}.py": f"__version__ = '{version}'\n",
            f"{name}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n{needed}",
            f"{name}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        files.update(also or {})
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
            plan = install.planned(self.into, self.python, wanted)
            install.announce(self.into, wanted, plan)
            done = install.install(self.into, self.python, str(self.worker), wanted, plan)
            install.tidy(self.into, wanted, done)
            return done

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
        with tempfile.TemporaryDirectory() as given:
            self.wheel("2.0", "more")
            os.rename(self.root / "more-2.0-py3-none-any.whl", os.path.join(given, "more-2.0-py3-none-any.whl"))
            self.assertTrue(self.install(requirements, "--with", given))
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

    def named(self):
        """What lies beside the installation, and the installation."""
        return sorted(name for name in os.listdir(self.root) if name.startswith("native"))

    def refused(self, requirements, *options):
        with unittest.mock.patch.object(packages.subprocess, "run", side_effect=quiet(subprocess.run)):
            with self.assertRaises(Refused) as caught:
                self.install(requirements, *options)
        return f"{caught.exception} / {caught.exception.fix}"

    def spoken_lines(self):
        return [call.args[0] for call in self.said.call_args_list]

    def test_a_file_that_is_no_wheel_for_this_python_is_refused_and_nothing_of_it_stays(self):
        requirements = self.wheel("1.0")
        self.install(requirements)
        self.wheel("2.0", "more")
        good = (self.root / "more-2.0-py3-none-any.whl").read_bytes()
        torn = bytearray(good)
        torn[good.index(b"__version__")] ^= 1
        with tempfile.TemporaryDirectory() as given:
            cases = {
                "more-2.0-py3-none-any.whl": (b"junk", "is no wheel"),
                "more-2.0-1-py3-none-any.whl": (bytes(torn), "is damaged: more.py"),
                "more-2.0-cp39-cp39-win_amd64.whl": (good, "is for cp39-cp39-win_amd64"),
                "less-2.0-py3-none-any.whl": (good, "has the name of another package: more"),
                "more.whl": (good, "has not the name of a wheel"),
                "more-2.0.tar.gz": (good, "has not the name of a wheel"),
            }
            for name, (content, why) in cases.items():
                path = pathlib.Path(given, name)
                path.write_bytes(content)
                with self.subTest(name):
                    self.assertIn(why, self.refused(requirements, "--with", str(path)))
                    self.assertEqual(self.named(), ["native"])
                path.unlink()
            # What fits is said, and a wheel that fits is taken though another one lies beside it.
            pathlib.Path(given, "more-2.0-cp39-cp39-win_amd64.whl").write_bytes(good)
            tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
            self.assertIn(f"take a wheel for {tag}-{tag}-", self.refused(requirements, "--with", given))
            pathlib.Path(given, "more-2.0-py3-none-any.whl").write_bytes(good)
            self.assertTrue(self.install(requirements, "--with", given))
            self.assertEqual(os.listdir(os.path.join(self.into, "wheels")), ["more-2.0-py3-none-any.whl"])
        self.assertTrue(self.install(requirements, "--without", "more"))
        self.assertTrue(self.install(requirements, "--with", "more"))
        self.assertEqual(self.manifest()["packages"], {"more": "2.0", "thing": "1.0"})

    def test_another_wheel_of_the_same_version_is_installed(self):
        requirements = self.wheel("1.0")
        path = self.root / "more-2.0-py3-none-any.whl"
        for needs in ("", "thing"):
            self.wheel("2.0", "more", needs=needs)
            self.assertTrue(self.install(requirements, "--with", str(path)))
            (added,) = self.manifest()["wanted"]["added"]
            self.assertEqual(added[2], [hashlib.sha256(path.read_bytes()).hexdigest()])
            self.assertFalse(self.install(requirements, "--with", str(path)))

    def test_only_what_differs_is_downloaded_and_installed(self):
        requirements = self.wheel("1.0")
        self.install(requirements)
        site = pathlib.Path(self.into, "site")
        number = (site / "thing.py").stat().st_ino
        kept = [site / "thing.py", *(site / "__pycache__").glob("thing.*.pyc")]
        self.assertEqual(len(kept), 2)
        os.remove(self.root / "thing-1.0-py3-none-any.whl")

        self.wheel("2.0", "more")
        self.assertTrue(self.install(requirements, "--with", "more"))
        self.assertIn("packages: 1 stay; to install: more 2.0; wheels to download: 1", self.spoken_lines())
        self.assertEqual((site / "thing.py").stat().st_ino, number)
        self.assertTrue(all(path.is_file() for path in kept))
        self.assertEqual(len(list((site / "__pycache__").glob("more.*.pyc"))), 1)

        self.assertTrue(self.install(requirements, "--without", "more"))
        self.assertIn("packages: 1 stay; to remove: more", self.spoken_lines())
        self.assertEqual([path.name for path in site.rglob("*") if "more" in path.name], [])
        self.assertEqual((site / "thing.py").stat().st_ino, number)

    def test_a_package_whose_files_are_not_all_there_is_installed_again(self):
        requirements = self.wheel("1.0")
        self.wheel("2.0", "more")
        self.install(requirements, "--with", "more")
        pathlib.Path(self.into, "site", "thing.py").unlink()
        self.assertTrue(self.install(requirements))
        self.assertIn("packages: 1 stay; to install: thing 1.0; wheels to download: 1", self.spoken_lines())
        self.assertTrue(pathlib.Path(self.into, "site", "thing.py").is_file())

    def test_an_installation_of_an_earlier_version_of_the_script_is_taken_over(self):
        requirements = self.wheel("1.0")
        self.install(requirements)
        manifest = self.manifest()
        del manifest["pins"]
        pathlib.Path(self.into, "manifest.json").write_text(json.dumps(manifest))
        os.remove(self.root / "thing-1.0-py3-none-any.whl")
        self.wheel("2.0", "more")
        self.assertTrue(self.install(requirements, "--with", "more"))
        self.assertEqual(self.manifest()["packages"], {"more": "2.0", "thing": "1.0"})

    def test_a_file_of_two_packages_is_that_of_the_one_that_stays(self):
        requirements = self.wheel("1.0")
        self.wheel("2.0", "more", also={"thing.py": "__version__ = 'of more'\n"})
        self.install(requirements, "--with", "more")
        self.install(requirements, "--without", "more")
        content = pathlib.Path(self.into, "site", "thing.py").read_text()
        self.assertEqual(content, "__version__ = '1.0'\n")

    def test_sizes_are_said_only_before_something_is_installed(self):
        requirements = self.wheel("1.0")
        self.wheel("2.0", "more")
        self.refused(requirements, "--without", "more")
        self.assertEqual(self.spoken_lines(), [])
        self.install(requirements)
        self.assertIn(
            "profile default: 1 wheels to install (1 to download, about 0 MB), about 0 MB on the disk",
            self.spoken_lines(),
        )
        self.said.reset_mock()
        self.assertFalse(self.install(requirements))
        self.assertEqual(self.spoken_lines(), [])

    def test_what_a_stopped_run_left_is_removed_by_the_next_and_it_says_so(self):
        requirements = self.wheel("1.0")
        self.install(requirements)
        for name in (".old", ".new", ".wheels", ".gone-1"):
            os.mkdir(self.into + name)
            pathlib.Path(self.into + name, "file").touch()
        folder.discard(self.into, folder.leftovers(self.into), "left")
        # Wheels stay until it is known that nothing needs them.
        self.assertEqual(self.named(), ["native", "native.wheels"])
        self.assertFalse(self.install(requirements))
        self.assertEqual(self.named(), ["native"])
        said = "\n".join(self.spoken_lines())
        for name in (".old", ".new", ".wheels", ".gone-1"):
            self.assertIn(self.into + name, said)

    def test_a_run_that_is_stopped_while_it_removes_the_old_folder_has_freed_its_name(self):
        self.install(self.wheel("1.0"))
        with unittest.mock.patch.object(folder.shutil, "rmtree", side_effect=stopped(".gone-")):
            with self.assertRaises(KeyboardInterrupt):
                self.install(self.wheel("2.0"))
        self.assertEqual(self.manifest()["packages"], {"thing": "2.0"})
        self.assertFalse({"native.old", "native.new", "native.wheels"} & set(self.named()))
        folder.discard(self.into, folder.leftovers(self.into), "left")
        self.assertEqual(self.named(), ["native"])

    def test_a_refusal_names_the_package_and_what_there_is(self):
        requirements = self.wheel("1.0")
        self.wheel("2.0", "other", needs="thing>=2")
        self.wheel("2.0", "more")
        self.wheel("2.5", "more")
        self.install(requirements)
        said = self.refused(requirements, "--with", "more==9")
        self.assertIn("there are wheels of 2.0, 2.5 / --with more==2.5", said)
        said = self.refused(requirements, "--with", "other")
        self.assertIn("other 2.0 needs thing>=2; the profile default has thing==1.0", said)
        self.assertIn("index versions other", said)
        self.assertIn("no wheel of unheard-of for this Python", self.refused(requirements, "--with", "unheard-of"))
        self.assertIn("thing<1", self.refused(requirements, "--with", "thing<1"))
        self.assertIn("has thing 1.0", self.refused(requirements, "--with", "thing==2.0"))
        self.assertIn("there is no file or folder ./none", self.refused(requirements, "--with", "./none"))
        self.assertIn("belongs to the profile default", self.refused(requirements, "--without", "Thing"))
        self.assertIn("no package was added", self.refused(requirements, "--without", "more"))

    def test_a_package_of_the_profile_is_said_to_be_there_already(self):
        requirements = self.wheel("1.0")
        self.install(requirements)
        for name in ("thing", "Thing==1.0", str(self.root / "thing-1.0-py3-none-any.whl")):
            self.said.reset_mock()
            self.assertFalse(self.install(requirements, "--with", name))
            self.assertEqual(self.spoken_lines(), ["thing 1.0 is in the profile default already"])

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
        folder.recover(self.into)
        self.assertEqual(self.manifest()["packages"], {"thing": "1.0"})

    def test_a_folder_with_something_else_in_it_is_not_replaced(self):
        os.mkdir(self.into)
        folder.replaceable(self.into)
        pathlib.Path(self.into, "letters").touch()
        with self.assertRaises(Refused):
            folder.replaceable(self.into)

    def test_a_second_run_at_the_same_time_is_refused(self):
        with folder.alone(self.into):
            with self.assertRaises(Refused):
                with folder.alone(self.into):
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


def stopped(name):
    """`rmtree`, and Ctrl-C where the folder has this in its name."""

    def remove(path, *args, **options):
        if name in path:
            raise KeyboardInterrupt
        rmtree(path, *args, **options)

    rmtree = shutil.rmtree
    return remove


if __name__ == "__main__":
    unittest.main()
