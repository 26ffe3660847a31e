"""What has a form comes out of a pickle as it was, or has none: the state of a session is never silently wrong."""

import asyncio
import base64
import csv
import gzip
import io
import itertools
import os
import pathlib
import pickle
import sqlite3
import tarfile
import tempfile
import threading
import types
import unittest
import zipfile
from concurrent.futures import ThreadPoolExecutor

import package


def setUpModule():
    # Pickles name the package, of which other tests import other parts.
    global forms, groups, pickled, view
    package.use("transfer")
    forms, groups, view = (package.module(f"state_transfer.digest.{name}") for name in ("forms", "groups", "view"))
    pickled = package.module("state_transfer.export.pickled")


def encoded(value):
    """Returns the view of a session with one name, and what was encoded of it."""
    main = types.ModuleType("__main__")
    main.x = value
    seen = view.View(main, {"<test>": 1})
    return seen, groups.encode_each(seen, seen.roots())["x"]


class Case(unittest.TestCase):
    def moved(self, value):
        """Returns what a value is on the other side."""
        seen, encoder = encoded(value)
        text, reason = pickled.pickle_group(seen, {"x": value}, 1 << 24)
        self.assertIsNone(reason, value)
        made = pickle.loads(base64.b64decode(text))[0]["x"]
        self.assertEqual(encoder.digest(), encoded(made)[1].digest(), value)
        return made

    def is_not_movable(self, value):
        seen, _ = encoded(value)
        text, reason = pickled.pickle_group(seen, {"x": value}, 1 << 24)
        self.assertIsNone(text, value)
        self.assertIn("cannot be pickled", reason)

    def differ(self, one, other):
        self.assertNotEqual(encoded(one)[1].digest(), encoded(other)[1].digest(), (one, other))


class Readers(Case):
    def test_a_csv_reader_reads_on_where_it_was(self):
        parts = ["a,b", "c,d"], ["e,f", "g,h"]
        for source in (lambda: itertools.chain(*parts), lambda: itertools.chain.from_iterable(parts),
                       lambda: iter(sum(parts, [])), lambda: io.StringIO("\n".join(sum(parts, [])))):  # fmt: skip
            for read in range(4):
                reader = csv.reader(source())
                for _ in range(read):
                    next(reader)
                made = self.moved(self.moved(reader))
                self.assertEqual((made.line_num, list(made)), (read, list(reader)))


class Databases(Case):
    def database(self, *statements, **options):
        made = sqlite3.connect(":memory:", **options)
        made.execute("create table t (a, d date)")
        for statement in statements:
            made.execute(statement)
        made.commit()
        return made

    def test_a_database_in_memory_keeps_all_that_a_program_can_see_of_it(self):
        db = self.database("insert into t (a) values (1), (2), (3)", "delete from t where a < 3", "pragma user_version = 7",
                           "insert into t (a) values (char(97, 0, 98)), (x'ff00'), (9e999)", "pragma foreign_keys = on",
                           "create table n (i integer primary key autoincrement)", "insert into n values (9)",
                           "delete from n", "update t set d = '2024-01-02' where a = 3",
                           detect_types=sqlite3.PARSE_DECLTYPES, timeout=2, isolation_level="IMMEDIATE")  # fmt: skip
        db.row_factory = sqlite3.Row
        made = self.moved(self.moved(db))
        questions = (
            "select rowid, a, d from t", "select typeof(a) from t", "pragma user_version", "pragma foreign_keys",
            "pragma busy_timeout", "pragma journal_mode", "select changes(), last_insert_rowid()", "select * from sqlite_master",
            "select * from sqlite_sequence",
        )  # fmt: skip
        for question in questions:
            one, other = (list(map(tuple, each.execute(question).fetchall())) for each in (db, made))
            self.assertEqual(one, other, question)
        self.assertEqual((made.total_changes, made.isolation_level), (db.total_changes, "IMMEDIATE"))
        self.assertEqual(made.execute("insert into n values (null)").lastrowid, 10)

    def test_what_a_database_holds_is_part_of_its_digest(self):
        self.differ(
            self.database("insert into t (a) values (char(97, 0, 98))"),
            self.database("insert into t (a) values (char(97, 0, 99))"),
        )
        self.differ(self.database(), self.database(detect_types=sqlite3.PARSE_DECLTYPES))
        self.differ(self.database(), self.database("pragma foreign_keys = on"))
        self.differ(
            self.database("insert into t (rowid) values (1)"), self.database("insert into t (rowid) values (2)")
        )

    def test_a_database_for_all_threads_stays_one(self):
        made = self.moved(self.database("insert into t (a) values (5)", check_same_thread=False))
        found = []
        thread = threading.Thread(target=lambda: found.extend(made.execute("select a from t").fetchall()))
        thread.start()
        thread.join()
        self.assertEqual(found, [(5,)])

    def test_tables_for_full_text_move(self):
        made = self.moved(self.database("create virtual table f using fts5(a)", "insert into f values ('hello world')"))
        self.assertEqual(made.execute("select * from f where f match 'hello'").fetchall(), [("hello world",)])

    def test_functions_of_the_program_are_not_called_and_keep_a_database_where_it_is(self):
        ways = (
            lambda db: db.create_function("upper", 1, len), lambda db: db.create_collation("rev", lambda a, b: 0),
            lambda db: db.create_function("mine", 0, len), lambda db: db.execute("pragma case_sensitive_like = on"),
            lambda db: db.execute("attach ':memory:' as other"), lambda db: db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 999),
        )  # fmt: skip
        for change in ways:
            db = self.database()
            change(db)
            self.is_not_movable(db)
        called = []
        for name in ("set_trace_callback", "set_authorizer"):
            db = self.database()
            getattr(db, name)(lambda *rest: called.append(rest) or 0)
            self.is_not_movable(db)
            self.assertIn("x", encoded(db)[1].opaque)
        self.assertEqual(called, [])
        sqlite3.register_converter("TEXT", called.append)
        self.moved(self.database(detect_types=3))
        self.assertEqual(called, [])
        del sqlite3.converters["TEXT"]

    def test_a_large_database_is_not_read(self):
        db = self.database("insert into t (a) values (zeroblob(20000000))")
        self.is_not_movable(db)
        self.assertIn("x", encoded(db)[1].opaque)

    def test_a_cursor_moves_where_it_comes_out_the_same(self):
        db = self.database("insert into t (a) values (1)")
        used = db.cursor()
        self.assertEqual(used.execute("select a from t").fetchall(), [(1,)])
        made = self.moved(used)
        for name in ("description", "lastrowid", "rowcount", "arraysize"):
            self.assertEqual(getattr(made, name), getattr(used, name), name)
        self.assertIsNone(self.moved(db.cursor()).lastrowid)
        changing = db.cursor()
        changing.execute("update t set a = 6")
        db.commit()
        self.differ(changing, used)
        closed = db.cursor()
        closed.close()
        for cursor in (changing, closed, db.execute("select * from t")):
            self.is_not_movable(cursor)


class Streams(Case):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "a.txt")
        pathlib.Path(self.path).write_bytes(b"a\r\nb\n")

    def test_closed_files_keep_what_can_be_seen_of_them(self):
        ways = (
            lambda: open(self.path), lambda: open(self.path, "rb"), lambda: open(self.path, "r+b", buffering=0),
            lambda: open(self.path, "w", 1, errors="replace"), lambda: open(self.path + "x", "x"),
            lambda: open(self.path, "r+", encoding="utf-16"), lambda: gzip.open(self.path + ".gz", "wt"),
            lambda: tempfile.NamedTemporaryFile(delete=False), io.BytesIO, io.StringIO,
        )  # fmt: skip
        for make in ways:
            file = make()
            file.close()
            made = self.moved(file)
            for name in "name mode encoding errors newlines line_buffering closed delete".split():
                self.assertEqual(forms._attribute(made, name), forms._attribute(file, name), (file, name))

    def test_the_line_ends_that_were_met_and_attributes_that_were_set_are_kept(self):
        with open(self.path) as file:
            file.read()
        file.purpose = ["mine"]
        made = self.moved(file)
        self.assertEqual((made.newlines, made.purpose), (("\n", "\r\n"), ["mine"]))
        with open(self.path) as other:
            other.read()
        self.differ(file, other)

    def test_streams_of_other_classes_are_not_taken_for_those_of_their_base(self):
        kind = type("Wrapped", (io.TextIOWrapper,), {"__module__": "elsewhere"})
        file = kind(io.BytesIO())
        file.close()
        self.is_not_movable(file)

    def test_closed_archives_keep_members_and_options(self):
        with zipfile.ZipFile(self.path + ".zip", "w", 8, compresslevel=3) as archive:
            archive.writestr("a", "b")
        archive.setpassword(b"secret")
        made = self.moved(archive)
        for name in "filename mode compression compresslevel pwd debug".split():
            self.assertEqual(getattr(made, name), getattr(archive, name), name)
        for mode in ("w:gz", "r"):
            with tarfile.open(self.path + ".tar", mode) as archive:
                if mode == "r":
                    archive.getmembers()
                else:
                    archive.add(self.path, "a.txt")
            made = self.moved(archive)
            self.assertEqual([m.get_info() for m in made.members], [m.get_info() for m in archive.members])
            self.assertEqual((len(made.members), made.name, made.mode), (1, archive.name, archive.mode))

    def test_a_temporary_folder_stays_with_its_options(self):
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(folder.cleanup)
        self.assertTrue(self.moved(folder)._ignore_cleanup_errors)


class Threads(Case):
    def test_a_pool_keeps_how_its_threads_begin(self):
        made = self.moved(ThreadPoolExecutor(2, "n", print, ("begin",)))
        self.assertEqual((made._initializer, made._initargs), (print, ("begin",)))

    def test_a_thread_that_ended_keeps_what_the_program_left_on_it(self):
        thread = threading.Thread(target=int, name="worker")
        thread.start()
        thread.join()
        thread.result = [1]
        self.assertEqual(self.moved(thread).result, [1])

    def test_what_is_at_work_is_not_pickled_by_its_attributes(self):
        pool = ThreadPoolExecutor(1)
        self.addCleanup(pool.shutdown)
        wait = threading.Event()
        self.addCleanup(wait.set)
        future = pool.submit(wait.wait)
        self.is_not_movable(future)
        self.is_not_movable(pool)

    def test_an_event_loop_is_the_kernels_or_another_one(self):
        kernels, other = asyncio.new_event_loop(), asyncio.new_event_loop()
        self.addCleanup(other.close)
        self.addCleanup(kernels.close)
        asyncio.set_event_loop(kernels)
        self.addCleanup(asyncio.set_event_loop, None)
        self.assertIs(self.moved(kernels), kernels)
        other.set_debug(True)
        other.set_task_factory(print)
        made = self.moved(other)
        self.addCleanup(made.close)
        self.assertIsNot(made, kernels)
        self.assertEqual((made.get_debug(), made.get_task_factory()), (True, print))
        self.differ(kernels, other)
        other.call_later(5, print)
        self.is_not_movable(other)
        other.close()
        self.assertTrue(self.moved(other).is_closed())


class Generators(Case):
    def test_an_ended_generator_keeps_the_name_in_its_code(self):
        def generate():
            yield 1

        for made in (generate(), (each for each in "a")):
            list(made)
            moved = self.moved(made)
            self.assertEqual((moved.gi_code.co_name, moved.__qualname__), (made.gi_code.co_name, made.__qualname__))


if __name__ == "__main__":
    unittest.main()
