"""Forms of SQLite's connections and cursors."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import threading
from collections.abc import Iterator
from typing import Any

from .encoder import Encoder
from .forms import Form, Parts
from .objects import encode_object

_IN_MEMORY, _CLOSED = ":memory:", "closed"
# Bytes of a database in memory that is compared and moved, and changes that are counted again.
_MAX_BYTES, _MAX_CHANGES = 16 << 20, 200_000
# Settings of a connection that are no part of the database. The last makes it read-only.
_PRAGMAS = (
    "foreign_keys recursive_triggers ignore_check_constraints reverse_unordered_selects short_column_names "
    "full_column_names legacy_alter_table trusted_schema cell_size_check busy_timeout automatic_index read_uncommitted "
    "secure_delete temp_store cache_size synchronous writable_schema query_only"
).split()
_KINDS_OF_LIMITS = range(12)


def _sqlite() -> Any:
    return importlib.import_module("sqlite3")


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


@contextlib.contextmanager
def _plain_rows(connection: Any) -> Iterator[Any]:
    """Gives a cursor whose rows are tuples of plain values, whatever the program set. Its columns must be expressions, which
    have no declared type, and named: else converters of the program would be called."""
    rows, texts = connection.row_factory, connection.text_factory
    connection.row_factory, connection.text_factory = None, _decoded
    try:
        yield connection.cursor()
    finally:
        connection.row_factory, connection.text_factory = rows, texts


def _has_callbacks(connection: Any) -> bool:
    """Returns whether functions of the program would be called for statements of ours, or for the program's later."""
    inside = gc.get_referents(connection)
    for known in (type(connection), connection.row_factory, connection.text_factory):
        at = next((at for at, part in enumerate(inside) if part is known), None)
        if at is not None:
            del inside[at]
    return any(callable(part) and getattr(part, "__wrapped__", None) is not connection for part in inside)


def _place(connection: Any) -> str | None:
    """Returns the path of a database, `:memory:` or `closed`; None if it is in several places."""
    try:
        with _plain_rows(connection) as cursor:
            places = [path or _IN_MEMORY for _, name, path in cursor.execute("pragma database_list") if name != "temp"]
            if cursor.execute("select count(*) as n from sqlite_temp_master").fetchone()[0]:
                return None
    except _sqlite().ProgrammingError as error:
        return _CLOSED if "closed" in str(error) else None
    return places[0] if len(places) == 1 else None


def _is_plain(connection: Any) -> bool:
    """Returns whether a connection has no functions, collations, limits or modes but those of a fresh one."""
    fresh = _sqlite().connect(_IN_MEMORY)
    try:
        # The program's own `like` would be called.
        return _additions(connection) == _additions(fresh) and _likes_case(connection) == _likes_case(fresh)
    finally:
        fresh.close()


def _additions(connection: Any) -> Parts:
    with _plain_rows(connection) as cursor:
        functions = set(cursor.execute("select +name as a, +narg as b, +builtin as c from pragma_function_list"))
        collations = {name for _, name in cursor.execute("pragma collation_list")}
    limits = [connection.getlimit(kind) for kind in _KINDS_OF_LIMITS] if hasattr(connection, "getlimit") else []
    return functions, collations, limits, getattr(connection, "autocommit", None)


def _likes_case(connection: Any) -> Any:
    with _plain_rows(connection) as cursor:
        return cursor.execute("select 'a' like 'A' as a").fetchone()[0]


def _settings(connection: Any) -> list[Any]:
    """Returns what a connection was given, and what its statements left in it."""
    with _plain_rows(connection) as cursor:
        pragmas = [_first(cursor.execute(f"pragma {name}")) for name in _PRAGMAS]
        counts = cursor.execute("select changes() as a, last_insert_rowid() as b").fetchone()
    given = [connection.isolation_level, connection.row_factory, connection.text_factory]
    return [*given, _detected_types(connection), pragmas, connection.total_changes, *counts]


def _first(rows: Any) -> Any:
    return next((row[0] for row in rows), None)


def _detected_types(connection: Any) -> int | None:
    """Returns what columns are converted by; None where no column is declared, with which this could be tried."""
    module, tried = _sqlite(), list[bytes]()
    with _plain_rows(connection) as cursor:
        by_name = cursor.execute('select null as "a [b]"').description[0][0] == "a"
        before = module.converters.get("INT")
        module.register_converter("INT", lambda text: tried.append(text))
        try:
            row = cursor.execute("select rootpage from sqlite_master limit 1").fetchone()
        finally:
            if before is None:
                del module.converters["INT"]
            else:
                module.register_converter("INT", before)
    if row is None:
        return None
    return (module.PARSE_COLNAMES if by_name else 0) | (module.PARSE_DECLTYPES if tried else 0)


def _is_of_one_thread(connection: Any) -> bool:
    """Returns whether other threads may not use a connection."""
    if not _sqlite().threadsafety:
        return False  # built without threads, as in WebAssembly: nothing can be refused to another one
    refused = []

    def use() -> None:
        try:
            connection.cursor()
        except _sqlite().ProgrammingError:
            refused.append(True)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    return bool(refused)


def _size(connection: Any) -> int:
    with _plain_rows(connection) as cursor:
        return int(_first(cursor.execute("pragma page_count")) * _first(cursor.execute("pragma page_size")))


def _content(connection: Any) -> list[Any]:
    """Returns the tables of a database and their rows, which versions keep in other bytes."""
    with _plain_rows(connection) as cursor:
        content: list[Any] = [_first(cursor.execute(f"pragma {name}")) for name in ("user_version", "application_id")]
        tables = cursor.execute("select +type as a, +name as b, +sql as c from sqlite_master order by a, b").fetchall()
        for kind, name, text in tables:
            content.append((kind, name, text))
            if kind == "table" and not str(text).upper().startswith("CREATE VIRTUAL"):
                content.extend(_rows(cursor, name))
    return content


def _rows(cursor: Any, table: str) -> list[Parts]:
    names = [row[1] for row in cursor.execute(f"pragma table_info({_quoted(table)})").fetchall()]
    columns = ", ".join(f"+{_quoted(name)} as c{number}" for number, name in enumerate(names))
    with contextlib.suppress(_sqlite().OperationalError):  # a table without numbers of rows
        found: list[Parts] = cursor.execute(
            f"select +rowid as r, {columns} from {_quoted(table)} order by r"
        ).fetchall()
        return found
    order = ", ".join(f"c{number}" for number in range(len(names)))
    return list(cursor.execute(f"select {columns} from {_quoted(table)} order by {order}"))


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


def _seen_of_connection(connection: Any) -> Parts | None:
    if _has_callbacks(connection):
        return None
    place = _place(connection)
    if place == _CLOSED:
        return (_CLOSED,)
    # A file may be exchanged under it.
    if place != _IN_MEMORY or _size(connection) > _MAX_BYTES or not _is_plain(connection):
        return None
    return place, _content(connection), _settings(connection), connection.in_transaction


def _parts_of_connection(connection: Any) -> Parts | None:
    if _has_callbacks(connection):
        return None
    place = _place(connection)
    if place == _CLOSED:
        return _CLOSED, None, [], False
    if place is None or connection.in_transaction or not _is_plain(connection):
        return None
    content, settings = None, _settings(connection)
    if settings[3] is None or not settings[6] <= settings[5] <= _MAX_CHANGES:
        return None
    if place == _IN_MEMORY:
        if _size(connection) > _MAX_BYTES:
            return None
        content = connection.serialize()
    else:
        with _plain_rows(connection) as cursor:
            if not os.path.isfile(place) or _first(cursor.execute("pragma journal_mode")) == "wal":
                return None
    return place, content, settings, _is_of_one_thread(connection)


def make_connection(place: str, content: bytes | None, settings: list[Any], one_thread: bool) -> Any:
    """Returns a connection; of a database in memory with its content."""
    if place == _CLOSED:
        made = _sqlite().connect(_IN_MEMORY)
        made.close()
        return made
    level, rows, texts, types, pragmas, total, changes, last = settings
    made = _sqlite().connect(place, detect_types=types, check_same_thread=one_thread, isolation_level=None)
    if content is not None:
        read = _sqlite().connect(_IN_MEMORY)
        read.deserialize(content)
        made.execute(f"pragma page_size = {_first(read.execute('pragma page_size'))}")
        read.backup(made)
        read.close()
    _count(made, total, changes, last)
    for name, value in zip(_PRAGMAS, pragmas):
        if value is not None and value != _first(made.execute(f"pragma {name}")):
            made.execute(f"pragma {name} = {value}")
    made.isolation_level, made.row_factory, made.text_factory = level, rows, texts
    return made


def _count(connection: Any, total: int, changes: int, last: int) -> None:
    """Makes changes elsewhere until a connection has counted as many, and has the number of the row inserted last."""
    for count in (total - changes, changes):
        connection.execute("create temp table switchtower (a)")
        if count:
            connection.execute(
                "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?) "
                "insert into temp.switchtower (rowid, a) select ? + i, 0 from n", (count, last - count)
            )  # fmt: skip
        elif total:
            connection.execute("delete from temp.switchtower")
        connection.execute("drop table temp.switchtower")


def _encode_open_connection(encoder: Encoder, value: Any) -> None:
    if _has_callbacks(value):
        encoder.write_opaque(value, "a database that calls functions of the program")
        return
    place = _place(value)
    if place is None:
        encode_object(encoder, value)
        return
    what = "a database in a file" if place != _IN_MEMORY else "a database that is large or has functions of the program"
    encoder.write_opaque(value, what, f"{place} {value.in_transaction}".encode())
    encoder.push(_settings(value))


def _is_at_its_end(cursor: Any) -> bool:
    return not any(type(part).__name__ == "Statement" for part in gc.get_referents(cursor))


def _seen_of_cursor(cursor: Any) -> Parts | None:
    """Returns what a cursor is that has no more rows to give."""
    if not _is_at_its_end(cursor):
        return None
    names = [column[0] for column in cursor.description or ()]
    # Versions set `lastrowid` after other statements.
    return cursor.connection, names, cursor.row_factory, cursor.arraysize, cursor.rowcount


def _parts_of_cursor(cursor: Any) -> Parts | None:
    seen = _seen_of_cursor(cursor)
    # The last condition: only another change of rows would give it the count of those that its own changed.
    if seen is None or _has_callbacks(cursor.connection) or cursor.rowcount != -1:
        return None
    cursor.fetchmany(0)  # raises if it is closed
    with _plain_rows(cursor.connection) as other:
        last = cursor.lastrowid
        if last not in (None, _first(other.execute("select last_insert_rowid() as a"))):
            return None
    return *seen[:4], last is not None


def make_cursor(connection: Any, names: list[str], factory: Any, size: int, was_used: bool) -> Any:
    made = connection.cursor()
    if names:
        _describe(made, names)
    elif was_used:  # by a statement without columns
        made.execute("savepoint switchtower")
        made.execute("release switchtower")
    made.row_factory, made.arraysize = factory, size
    return made


def _describe(cursor: Any, names: list[str]) -> None:
    """Gives a cursor the names of its columns."""
    cursor.execute(f"select {', '.join(f'null as {_quoted(name)}' for name in names)} where 0").fetchall()


def make_row(names: list[str], values: Parts) -> Any:
    module = _sqlite()
    connection = module.connect(_IN_MEMORY)
    cursor = connection.cursor()
    if names:
        _describe(cursor, names)
    return module.Row(cursor, values)


NAMED: dict[tuple[str, str], Form] = {
    ("sqlite3", "Connection"): Form(
        "database", _parts_of_connection, make_connection, _seen_of_connection, _encode_open_connection
    ),
    ("sqlite3", "Row"): Form("row of a database", lambda value: (value.keys(), tuple(value)), make_row),
    ("sqlite3", "Cursor"): Form(
        "cursor", _parts_of_cursor, make_cursor, _seen_of_cursor, public="description rowcount arraysize row_factory"
    ),
}
