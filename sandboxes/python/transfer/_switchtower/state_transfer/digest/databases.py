"""Forms of SQLite's connections and cursors."""

from __future__ import annotations

import contextlib
import gc
import importlib
from collections.abc import Iterator
from typing import Any

from .encoder import Encoder
from .forms import Form, Parts
from .objects import encode_object

_IN_MEMORY, _CLOSED = ":memory:", "closed"


def _sqlite() -> Any:
    return importlib.import_module("sqlite3")


@contextlib.contextmanager
def _plain_rows(connection: Any) -> Iterator[Any]:
    """Gives a cursor whose rows are tuples of plain values, whatever the program set."""
    rows, texts = connection.row_factory, connection.text_factory
    connection.row_factory, connection.text_factory = None, str
    try:
        yield connection.cursor()
    finally:
        connection.row_factory, connection.text_factory = rows, texts


def _place(connection: Any) -> str | None:
    """Returns the path of a database, `:memory:` or `closed`; None if it is in several places."""
    try:
        with _plain_rows(connection) as cursor:
            places = {path or _IN_MEMORY for _, name, path in cursor.execute("pragma database_list") if name != "temp"}
            if cursor.execute("select count(*) from sqlite_temp_master").fetchone()[0]:
                return None
    except _sqlite().ProgrammingError as error:
        return _CLOSED if "closed" in str(error) else None
    return places.pop() if len(places) == 1 else None


def _settings(connection: Any) -> list[Any]:
    return [connection.isolation_level, connection.row_factory, connection.text_factory]


def _seen_of_connection(connection: Any) -> Parts | None:
    place = _place(connection)
    if place == _CLOSED:
        return (_CLOSED,)
    if place != _IN_MEMORY:
        return None  # a file may be exchanged under it
    with _plain_rows(connection):
        content = "\n".join(connection.iterdump())
    return place, content, _settings(connection), connection.in_transaction


def _parts_of_connection(connection: Any) -> Parts | None:
    place = _place(connection)
    if place == _CLOSED:
        return _CLOSED, None, []
    if place is None or connection.in_transaction or _has_functions(connection):
        return None
    content = None
    with _plain_rows(connection) as cursor:
        if place == _IN_MEMORY:
            content = "\n".join(connection.iterdump())
        elif cursor.execute("pragma journal_mode").fetchone()[0] == "wal":
            return None
    return place, content, _settings(connection)


def _has_functions(connection: Any) -> bool:
    """Returns whether the program gave it functions of its own."""
    query = "select name, narg from pragma_function_list"
    fresh = _sqlite().connect(_IN_MEMORY)
    try:
        with _plain_rows(connection) as cursor:
            return set(cursor.execute(query)) - set(fresh.execute(query)) != set()
    finally:
        fresh.close()


def make_connection(place: str, content: str | None, settings: list[Any]) -> Any:
    made = _sqlite().connect(_IN_MEMORY if place == _CLOSED else place)
    if content is not None:
        made.executescript(content)
    if settings:
        made.isolation_level, made.row_factory, made.text_factory = settings
    if place == _CLOSED:
        made.close()
    return made


def _encode_open_connection(encoder: Encoder, value: Any) -> None:
    place = _place(value)
    if place is None:
        encode_object(encoder, value)
    else:
        encoder.write_opaque(value, "a database in a file", f"{place} {value.in_transaction}".encode())
        encoder.push(_settings(value))


def _is_at_its_end(cursor: Any) -> bool:
    return not any(type(part).__name__ == "Statement" for part in gc.get_referents(cursor))


def _parts_of_cursor(cursor: Any) -> Parts | None:
    """Returns what a cursor is that has no more rows to give."""
    if not _is_at_its_end(cursor):
        return None
    names = [column[0] for column in cursor.description or ()]
    return cursor.connection, names, cursor.lastrowid, cursor.row_factory, cursor.arraysize


def _seen_of_cursor(cursor: Any) -> Parts | None:
    # Versions set `lastrowid` after other statements.
    parts = _parts_of_cursor(cursor)
    return None if parts is None else (*parts[:2], *parts[3:])


def make_cursor(connection: Any, names: list[str], last: int | None, factory: Any, size: int) -> Any:
    made = connection.cursor()
    if last:
        other = connection.cursor()
        other.execute("create temp table switchtower_last (a)")
        made.execute("insert into temp.switchtower_last (rowid, a) values (?, 0)", (last,))
        other.execute("drop table temp.switchtower_last")
        connection.commit()
    _describe(made, names)
    made.row_factory, made.arraysize = factory, size
    return made


def _describe(cursor: Any, names: list[str]) -> None:
    """Gives a cursor the names of its columns."""
    if names:
        quoted = ", ".join('null as "{}"'.format(name.replace('"', '""')) for name in names)
        cursor.execute(f"select {quoted} where 0").fetchall()


def make_row(names: list[str], values: Parts) -> Any:
    module = _sqlite()
    connection = module.connect(_IN_MEMORY)
    cursor = connection.cursor()
    _describe(cursor, names)
    return module.Row(cursor, values)


NAMED: dict[tuple[str, str], Form] = {
    ("sqlite3", "Connection"): Form(
        "database", _parts_of_connection, make_connection, _seen_of_connection, _encode_open_connection
    ),
    ("sqlite3", "Row"): Form("row of a database", lambda value: (value.keys(), tuple(value)), make_row),
    ("sqlite3", "Cursor"): Form("cursor", _parts_of_cursor, make_cursor, _seen_of_cursor),
}
