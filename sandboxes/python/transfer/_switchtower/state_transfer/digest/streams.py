"""Forms of files and archives that are closed, and of what reads and writes them."""

from __future__ import annotations

import gc
import importlib
import io
import os
import shutil
import sys
import types
import weakref
from typing import Any

from .encoder import Encoder
from .forms import Form, Parts, no_attributes, set_by_program
from .objects import encode_object

_BUFFERS = {kind.__name__: kind for kind in (io.BufferedReader, io.BufferedWriter, io.BufferedRandom)}
_COMPRESSED = {"GzipFile": "gzip", "BZ2File": "bz2", "LZMAFile": "lzma"}
_MEMORY = {kind.__name__: kind for kind in (io.BytesIO, io.StringIO)}
_OPTIONS_OF_TAR = "format encoding errors dereference ignore_zeros debug errorlevel pax_headers offset".split()
_DIALECT = "delimiter quotechar doublequote skipinitialspace lineterminator quoting escapechar strict".split()


def encode_open_file(encoder: Encoder, value: Any) -> None:
    """Encodes a file that is open: its position and what it holds back cannot be seen without changing it."""
    if id(value) in encoder.view.streams:
        encode_object(encoder, value)
        return
    about = f"{getattr(value, 'name', '')} {getattr(value, 'mode', '')}"
    encoder.write_opaque(value, "an open file", about.encode())


def _layers(stream: Any) -> list[Parts] | None:
    """Returns what a closed stream is made of, the innermost first; None if it is open or has other layers."""
    if not stream.closed:
        return None
    kind = type(stream).__name__
    if type(stream) is io.TextIOWrapper:
        inner = _inner_layers(stream.buffer)
        options = stream.encoding, stream.errors, getattr(stream, "mode", None), stream.line_buffering
        layer: Parts = ("text", *options, stream.write_through, stream.newlines)
    elif type(stream) in _BUFFERS.values():
        inner, layer = _inner_layers(stream.raw), (kind,)
    elif type(stream) in _MEMORY.values():
        inner, layer = [], (kind,)
    elif kind in _COMPRESSED and type(stream).__module__ == _COMPRESSED[kind]:
        # Versions spell the mode as a number or as text.
        inner, layer = [], (kind, str(getattr(stream, "name", "")), _is_written(stream))
    elif _is_file(type(stream)):
        inner, layer = [], ("raw", stream.name, stream.mode)
    else:
        return None
    return None if inner is None else [*inner, layer]


def _inner_layers(stream: Any) -> list[Parts] | None:
    return None if set_by_program(stream) else _layers(stream)


def _is_file(kind: type) -> bool:
    """Returns whether a class is that of plain files; the guest's files are of a class of its own."""
    return kind.__name__ == "FileIO" and kind.__module__.partition(".")[0] in ("_io", "io", "_switchtower")


def _is_written(stream: Any) -> bool:
    mode = getattr(stream, "mode", "")
    return mode == 2 or str(mode)[:1] in ("w", "x", "a")


def _parts_of_stream(stream: Any) -> Parts | None:
    layers = _layers(stream)
    return None if layers is None else (layers,)


def _seen_of_stream(stream: Any) -> Parts | None:
    layers = _layers(stream)
    if layers is None:
        return None
    # A file without a name has the number of its descriptor, which the system chose.
    return ([tuple("number" if type(part) is int else part for part in layer) for layer in layers],)


def make_stream(layers: list[Parts]) -> Any:
    """Returns a closed stream."""
    made: Any = None
    for kind, *rest in layers:
        if kind == "raw":
            made = _make_file(rest[0], rest[1], _line_ends(layers))
        elif kind == "text":
            encoding, errors, mode, line_buffering, write_through, newlines = rest
            made = io.TextIOWrapper(
                made, encoding, errors, line_buffering=line_buffering, write_through=write_through
            )  # fmt: skip
            if newlines is not None:
                made.read()
            if mode is not None:
                made.mode = mode
        elif kind in _BUFFERS:
            made = _BUFFERS[kind](made)
        elif kind in _MEMORY:
            made = _MEMORY[kind]()
        else:
            made = _make_compressed(kind, *rest)
    made.close()
    return made


def _line_ends(layers: list[Parts]) -> bytes:
    """Returns text with all the line ends that a reader of text has met, and knows."""
    for kind, *options in layers:
        if kind == "text" and options[-1] is not None:
            return "".join(options[-1]).encode(options[0])
    return b""


def _make_file(name: Any, mode: str, content: bytes) -> Any:
    """Returns an open file."""
    if not content and "x" not in mode:
        made = io.FileIO(os.devnull, mode)
    else:
        path = f"/tmp/.switchtower-{os.getpid()}"
        if content:
            with open(path, "xb") as file:
                file.write(content)
        made = io.FileIO(path, mode)
        os.unlink(path)
    made.name = name
    return made


def _make_compressed(kind: str, name: str, written: bool) -> Any:
    mode, module = "wb" if written else "rb", importlib.import_module(_COMPRESSED[kind])
    if kind != "GzipFile":
        return getattr(module, kind)(io.BytesIO(), mode)
    made = module.GzipFile("", mode, fileobj=io.BytesIO())
    made.name = name
    return made


def _parts_of_temporary_file(value: Any) -> Parts | None:
    layers = _inner_layers(value.file)
    return None if layers is None else (layers, value.name, value._closer.delete)


def _attributes_of_temporary_file(value: Any) -> dict[str, Any]:
    # It keeps the methods of its file that were called.
    return {name: each for name, each in set_by_program(value).items() if not hasattr(value.file, name)}


def make_temporary_file(layers: list[Parts], name: str, delete: bool) -> Any:
    made = importlib.import_module("tempfile")._TemporaryFileWrapper(make_stream(layers), name, False)
    # The file is not this one's to remove; versions remember that it was closed by the one or the other.
    made._closer.close_called = made._closer.cleanup_called = True
    made._closer.delete = delete
    if "delete" in vars(made):
        made.delete = delete
    return made


def _parts_of_temporary_folder(value: Any) -> Parts | None:
    # One that stays is of newer versions.
    return (
        (value.name, value._finalizer.alive, value._ignore_cleanup_errors) if getattr(value, "_delete", True) else None
    )


def make_temporary_folder(name: str, alive: bool, ignores_errors: bool) -> Any:
    """Returns the object of a temporary folder that is there already, or is gone already."""
    made: Any = object.__new__(importlib.import_module("tempfile").TemporaryDirectory)
    made.name, made._ignore_cleanup_errors = name, ignores_errors
    if sys.version_info >= (3, 12):
        made._delete = True
    made._finalizer = weakref.finalize(made, shutil.rmtree, name, True)
    if not alive:
        made._finalizer.detach()
    return made


def _parts_of_zip(value: Any) -> Parts | None:
    if value.fp is not None:
        return None
    options = value.compression, value.compresslevel, value.pwd, value.debug
    return value.filename, value.mode, value.comment, options, value.filelist


def _seen_of_zip(value: Any) -> Parts | None:
    if value.fp is not None:
        return None
    # Versions compress to different sizes.
    inside = [(each.filename, each.file_size, each.CRC, each.date_time) for each in value.filelist]
    return value.filename, value.mode, value.comment, inside


def make_zip(filename: Any, mode: str, comment: bytes, options: Parts, inside: list[Any]) -> Any:
    made = importlib.import_module("zipfile").ZipFile(io.BytesIO(), "w")
    made.close()
    made.filename, made.mode, made._comment = filename, mode, comment
    made.compression, made.compresslevel, made.pwd, made.debug = options
    made.filelist, made.NameToInfo = inside, {each.filename: each for each in inside}
    return made


def _parts_of_tar(value: Any) -> Parts | None:
    if not value.closed:
        return None
    inside = [{name: getattr(each, name) for name in each.__slots__ if hasattr(each, name)} for each in value.members]
    for attributes in inside:
        # They know the archive that they are in.
        for name in attributes.keys() & {"tarfile", "_tarfile"}:
            if attributes[name] not in (None, value):
                return None
            attributes[name] = attributes[name] is value
    return value.name, value.mode, [getattr(value, name) for name in _OPTIONS_OF_TAR], inside


def _seen_of_tar(value: Any) -> Parts | None:
    if not value.closed:
        return None
    inside = [(each.name, each.size, each.mtime, each.mode, each.type, each.linkname) for each in value.members]
    return value.name, value.mode, inside


def make_tar(name: Any, mode: str, options: list[Any], inside: list[dict[str, Any]]) -> Any:
    module = importlib.import_module("tarfile")
    made = module.TarFile(fileobj=io.BytesIO(), mode="w")
    made.close()
    made.name, made.mode = name, mode
    for option, value in zip(_OPTIONS_OF_TAR, options):
        setattr(made, option, value)
    for attributes in inside:
        member = made.tarinfo()
        for attribute, value in attributes.items():
            if attribute in ("tarfile", "_tarfile"):
                # Versions call it the one or the other.
                attribute, value = (
                    next(n for n in ("tarfile", "_tarfile") if n in module.TarInfo.__slots__),
                    made if value else None,
                )
            setattr(member, attribute, value)
        made.members.append(member)
    return made


def _dialect(value: Any) -> list[Any]:
    return [getattr(value.dialect, name) for name in _DIALECT]


def _parts_of_writer(value: Any) -> Parts | None:
    for part in gc.get_referents(value):
        if isinstance(part, (types.BuiltinMethodType, types.MethodType)) and part.__name__ == "write":
            return part.__self__, _dialect(value)
    return None


def make_writer(file: Any, dialect: list[Any]) -> Any:
    return importlib.import_module("csv").writer(file, **dict(zip(_DIALECT, dialect)))


class _ReadLines:
    """The source of a reader that has read some lines: as many empty ones, and then what is left."""

    def __init__(self, lines: int, source: Any) -> None:
        self._lines, self.source = lines, source

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        if self._lines:
            self._lines -= 1
            return ""
        return next(self.source)


def _parts_of_reader(value: Any) -> Parts | None:
    source: Any = next((part for part in gc.get_referents(value) if hasattr(part, "__next__")), None)
    # A restore has a module of its own, and with it another class of the same name.
    while type(source).__name__ == "_ReadLines" and type(source).__module__.endswith("digest.streams"):
        source = source.source
    return None if source is None else (source, _dialect(value), value.line_num)


def make_reader(source: Any, dialect: list[Any], lines: int) -> Any:
    """Returns a reader that has read some lines."""
    read = _ReadLines(lines, source)
    made = importlib.import_module("csv").reader(read, **dict(zip(_DIALECT, dialect)))
    for _ in range(lines):
        next(made)
    return made


def _seen_of_book(value: Any) -> Parts | None:
    """Returns what a pandas writer of a workbook is, once it is closed."""
    if not value._handles.handle.closed:
        return None
    return type(value).__name__, str(value._handles.handle.name), list(value.sheets)


def _seen_of_table_reader(value: Any) -> Parts | None:
    """Returns what a pandas reader of parts of a table is, once it is closed."""
    return (value.chunksize, value._currow) if value.handles is None or value.handles.handle.closed else None


def _parts_of_picture(value: Any) -> Parts | None:
    """Returns what a picture is whose file was closed before its pixels were read."""
    return (type(value), dict(vars(value))) if value._im is None and getattr(value, "fp", 0) is None else None


def make_picture(kind: Any, attributes: dict[str, Any]) -> Any:
    made = kind.__new__(kind)
    vars(made).update(attributes)
    return made


def _parts_of_pen(value: Any) -> Parts | None:
    return value._image, value.mode, value.fontmode, value.fill, value.font, value.ink


def make_pen(picture: Any, mode: str, font_mode: str, fill: Any, font: Any, ink: Any) -> Any:
    made = importlib.import_module("PIL.ImageDraw").Draw(picture, mode)
    made.fontmode, made.fill, made.font, made.ink = font_mode, fill, font, ink
    return made


_PUBLIC = "closed mtime line_buffering write_through newlines"
_STREAM = Form("closed file", _parts_of_stream, make_stream, _seen_of_stream, encode_open_file, _PUBLIC)

_CLOSED = Form("closed file", _parts_of_stream, make_stream, _seen_of_stream, public=_PUBLIC)
_TEMPORARY_FILE = Form(
    "temporary file", _parts_of_temporary_file, make_temporary_file, public="name file.newlines",
    attributes=_attributes_of_temporary_file,
)  # fmt: skip
# That of a copy would remove the folder.
_TEMPORARY_FOLDER = Form("temporary folder", _parts_of_temporary_folder, make_temporary_folder)
_ZIP = Form(
    "closed archive", _parts_of_zip, make_zip, _seen_of_zip,
    public="compression compresslevel pwd debug metadata_encoding",
)  # fmt: skip
_TAR = Form("closed archive", _parts_of_tar, make_tar, _seen_of_tar, public=" ".join(_OPTIONS_OF_TAR))

FORMS: dict[type, Form] = dict.fromkeys(_MEMORY.values(), _CLOSED)

# By module and name, for classes of modules that may not be imported.
NAMED: dict[tuple[str, str], Form] = {
    **{(module, name): _CLOSED for name, module in _COMPRESSED.items()},
    ("tempfile", "_TemporaryFileWrapper"): _TEMPORARY_FILE,
    ("tempfile", "TemporaryDirectory"): _TEMPORARY_FOLDER,
    ("zipfile", "ZipFile"): _ZIP,
    ("tarfile", "TarFile"): _TAR,
    ("_csv", "writer"): Form("csv writer", _parts_of_writer, make_writer),
    ("_csv", "reader"): Form("csv reader", _parts_of_reader, make_reader),
    ("PIL.ImageDraw", "ImageDraw"): Form("pen of a picture", _parts_of_pen, make_pen),
}


def choose(kind: type) -> Form | None:
    """Returns the form of a library's class that is known by what it derives from."""
    names = {base.__name__ for base in kind.__mro__}
    package = kind.__module__.partition(".")[0]
    if package == "pandas" and "ExcelWriter" in names:
        return Form("closed workbook", _seen_of_book)
    if package == "pandas" and "TextFileReader" in names:
        return Form("closed reader of a table", _seen_of_table_reader)
    if package == "PIL" and "ImageFile" in names:
        return Form("closed picture", _parts_of_picture, make_picture, attributes=no_attributes)
    return _STREAM if issubclass(kind, (io.RawIOBase, *_BUFFERS.values(), io.TextIOWrapper)) else None
