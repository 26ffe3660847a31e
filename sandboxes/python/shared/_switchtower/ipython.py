"""The package `IPython`, as much of it as notebooks use without its shell: its display functions and objects."""

from __future__ import annotations

import base64
import importlib.machinery
import io
import os
import sys
import types
from typing import Any

from . import host, pretty, representations, streams
from .magic_registry import UsageError

VERSION = (9, 0, 0, "")


class StdinNotImplementedError(NotImplementedError):
    """Raised where a cell reads input and none was given."""


class DisplayObject:
    """Something that is shown as it is. Its data may be in a file of the scratch file system."""

    _mode = "r"

    def __init__(self, data: Any = None, url: Any = None, filename: str | None = None, metadata: Any = None) -> None:
        if isinstance(data, os.PathLike):
            data = os.fspath(data)
        if isinstance(data, str) and url is None and filename is None:
            if data.startswith("http"):
                data, url = None, data
            elif len(data) < 250 and "\n" not in data and "<" not in data and os.path.isfile(data):
                data, filename = None, data
        self.url, self.filename, self.metadata = url, filename, dict(metadata or {})
        self.data = data
        self.reload()
        self._check_data()

    def _check_data(self) -> None:
        pass

    def reload(self) -> None:
        """Reads the data again, where it is in a file."""
        if self.filename is not None:
            with open(self.filename, self._mode) as file:
                self.data = file.read()
        elif self.url is not None:
            host.report_need("NETWORK", self.url[:200])
            raise OSError(101, "Network is unreachable")

    def _data_and_metadata(self) -> Any:
        return (self.data, self.metadata) if self.metadata else self.data

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} object>"


class TextDisplayObject(DisplayObject):
    """Text that is shown as it is."""

    def _check_data(self) -> None:
        if self.data is not None and not isinstance(self.data, str):
            raise TypeError(f"{type(self).__name__} expects text, not {self.data!r}")


class Pretty(TextDisplayObject):
    def _repr_pretty_(self, p: pretty.Printer, cycle: bool) -> Any:
        return p.text(self.data)


class HTML(TextDisplayObject):
    def _repr_html_(self) -> Any:
        return self._data_and_metadata()

    def __html__(self) -> Any:
        return self._repr_html_()


class Markdown(TextDisplayObject):
    def _repr_markdown_(self) -> Any:
        return self._data_and_metadata()


class Math(TextDisplayObject):
    def _repr_latex_(self) -> Any:
        text = f"$\\displaystyle {self.data.strip('$')}$"
        return (text, self.metadata) if self.metadata else text


class Latex(TextDisplayObject):
    def _repr_latex_(self) -> Any:
        return self._data_and_metadata()


class SVG(DisplayObject):
    def _repr_svg_(self) -> Any:
        return self._data_and_metadata()


class JSON(DisplayObject):
    def __init__(
        self,
        data: Any = None,
        url: Any = None,
        filename: str | None = None,
        expanded: Any = False,
        metadata: Any = None,
        root: str = "root",
        **kwargs: Any,
    ) -> None:
        super().__init__(data, url, filename, {"expanded": expanded, "root": root, **(metadata or {}), **kwargs})

    def _check_data(self) -> None:
        if self.data is not None and not isinstance(self.data, (dict, list, str)):
            raise TypeError(f"{type(self).__name__} expects JSONable dict or list, not {self.data!r}")
        if isinstance(self.data, str):
            import json

            self.data = json.loads(self.data)

    def _repr_json_(self) -> Any:
        return self.data


class GeoJSON(JSON):
    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[Any, Any]:
        return {"application/geo+json": self.data, "text/plain": repr(self)}


class Javascript(TextDisplayObject):
    def __init__(
        self, data: Any = None, url: Any = None, filename: str | None = None, lib: Any = None, css: Any = None
    ) -> None:
        self.lib = [lib] if isinstance(lib, str) else list(lib or ())
        self.css = [css] if isinstance(css, str) else list(css or ())
        super().__init__(data, url, filename)

    def _repr_javascript_(self) -> Any:
        return self.data


class Image(DisplayObject):
    _mode = "rb"
    _BEGINNINGS = ((b"\x89PNG", "png"), (b"\xff\xd8", "jpeg"), (b"GIF8", "gif"), (b"RIFF", "webp"))

    def __init__(
        self,
        data: Any = None,
        url: Any = None,
        filename: str | None = None,
        format: Any = None,
        embed: Any = None,
        width: Any = None,
        height: Any = None,
        retina: Any = False,
        unconfined: Any = False,
        metadata: Any = None,
        alt: Any = None,
    ) -> None:
        self.format, self.width, self.height, self.alt = format, width, height, alt
        self.embed = url is None if embed is None else embed
        super().__init__(data, url, filename, metadata)

    def reload(self) -> None:
        if self.filename is not None or self.embed:
            super().reload()

    def _check_data(self) -> None:
        if isinstance(self.data, str):
            self.data = base64.b64decode(self.data)
        if self.data is not None and not isinstance(self.data, bytes):
            raise TypeError(f"{type(self).__name__} expects bytes, not {self.data!r}")
        if self.format is None:
            data = self.data or b""
            self.format = next((kind for start, kind in self._BEGINNINGS if data.startswith(start)), "png")
        self.format = "jpeg" if self.format.lower() == "jpg" else self.format.lower()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[Any, Any]:
        if self.data is not None:
            return {"text/plain": repr(self), f"image/{self.format}": self.data}
        sizes = "".join(f' {name}="{size}"' for name, size in (("width", self.width), ("height", self.height)) if size)
        alt = f' alt="{self.alt}"' if self.alt else ""
        return {"text/plain": repr(self), "text/html": f'<img src="{self.url}"{sizes}{alt}/>'}


class Code(TextDisplayObject):
    def __init__(self, data: Any = None, url: Any = None, filename: str | None = None, language: Any = None) -> None:
        self.language = language
        super().__init__(data, url, filename)

    def __repr__(self) -> str:
        return self.data


class IFrame:
    def __init__(self, src: Any, width: Any, height: Any, extras: Any = None, **kwargs: Any) -> None:
        self.src, self.width, self.height, self.extras, self.params = src, width, height, list(extras or ()), kwargs

    def _repr_html_(self) -> str:
        from urllib.parse import urlencode

        query = "?" + urlencode(self.params) if self.params else ""
        return (f'\n        <iframe\n            width="{self.width}"\n            height="{self.height}"\n'
                f'            src="{self.src}{query}"\n            frameborder="0"\n            allowfullscreen\n'
                f'            {" ".join(self.extras)}\n        ></iframe>\n        ')  # fmt: skip


class DisplayHandle:
    """What was shown under an id. Updates have no effect: outputs cannot be changed after they were sent."""

    _made = 0

    def __init__(self, display_id: Any = None) -> None:
        if display_id is None:
            DisplayHandle._made += 1
            display_id = f"{DisplayHandle._made:032x}"
        self.display_id = display_id

    def display(self, obj: Any, **kwargs: Any) -> None:
        display(obj, display_id=self.display_id, **kwargs)

    def update(self, obj: Any, **kwargs: Any) -> None:
        update_display(obj, display_id=self.display_id, **kwargs)

    def __repr__(self) -> str:
        return f"<DisplayHandle display_id={self.display_id}>"


def display(
    *objs: Any,
    include: Any = None,
    exclude: Any = None,
    metadata: Any = None,
    transient: Any = None,
    display_id: Any = None,
    raw: Any = False,
    clear: Any = False,
    **kwargs: Any,
) -> Any:
    """Shows values in the order given."""
    handle = None if display_id is None else DisplayHandle(None if display_id is True else display_id)
    if not kwargs.pop("update", False):
        for value in objs:
            data = (
                [(mime, representations.encode(mime, data)) for mime, data in value.items()]
                if raw
                else representations.mime_bundle(value)
            )
            _publish([(m, d) for m, d in data if (not include or m in include) and (not exclude or m not in exclude)])
    return handle


def update_display(obj: Any, *, display_id: Any, **kwargs: Any) -> None:
    """Has no effect: outputs cannot be changed after they were sent."""


def publish_display_data(data: Any, metadata: Any = None, *, transient: Any = None, **kwargs: Any) -> None:
    """Shows data by MIME types."""
    _publish([(mime, representations.encode(mime, thing)) for mime, thing in data.items()])


def clear_output(wait: Any = False) -> None:
    """Has no effect: outputs cannot be taken back after they were sent."""


def _publish(data: Any) -> None:
    if data:
        streams.flush()
        host.show(data, False)


def _displaying(mime: str) -> Any:
    def display_one(*objs: Any, raw: Any = False, metadata: Any = None) -> None:
        for value in objs:
            data = [(mime, representations.encode(mime, value))] if raw else representations.mime_bundle(value)
            _publish([(m, d) for m, d in data if m in (mime, "text/plain")])

    return display_one


# The shell of the kernel's cells, once there is one.
current_shell: Any = None


def get_ipython() -> Any:
    """Returns the shell of a cell. A program outside of notebooks has none."""
    return shell_for(sys._getframe(1).f_code.co_filename)


def shell_for(file: str) -> Any:
    """Returns the shell that the code of a file gets."""
    return current_shell if representations.notebook else None


def _module(name: str, names: Any, package: bool = False) -> Any:
    module: Any = types.ModuleType(name)
    sys.modules[name] = module

    def missing(attribute: str) -> None:
        # `from IPython.display import Audio`: what is missing here is a need, but not what Python itself looks for.
        if not attribute.startswith("_"):
            host.report_need("LANGUAGE", f"{name}.{attribute}")
        raise AttributeError(f"module {name!r} has no attribute {attribute!r}")

    module.__getattr__ = missing
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=package)
    if package:
        module.__path__ = []
    module.__dict__.update(names)
    return module


def install(*classes: type) -> None:
    """Makes the package, which is in no file, with further classes in the modules that they name."""
    kinds = (
        DisplayObject,
        TextDisplayObject,
        Pretty,
        HTML,
        Markdown,
        Math,
        Latex,
        SVG,
        JSON,
        GeoJSON,
        Javascript,
        Image,
        Code,
    )
    objects = {kind.__name__: kind for kind in kinds}
    functions = {
        function.__name__: function
        for function in (display, update_display, publish_display_data, clear_output, DisplayHandle)
    }
    displayed = {method.removeprefix("_repr_").rstrip("_"): mime for method, mime in representations.METHODS}
    for name, mime in {**displayed, "pretty": "text/plain"}.items():
        functions[f"display_{name}"] = _displaying(mime)
        functions[f"display_{name}"].__name__ = functions[f"display_{name}"].__qualname__ = f"display_{name}"
    for kind in objects.values():
        kind.__module__ = "IPython.core.display"
    for function in functions.values():
        function.__module__ = "IPython.core.display_functions"
    get_ipython.__module__ = "IPython.core.getipython"
    IFrame.__module__ = "IPython.lib.display"
    StdinNotImplementedError.__module__ = "IPython.core.error"
    errors = {"UsageError": UsageError, "StdinNotImplementedError": StdinNotImplementedError}

    shown = _module("IPython.display", {**objects, **functions, "IFrame": IFrame})
    core = _module("IPython.core", {}, package=True)
    core.display = _module("IPython.core.display", objects)
    core.display_functions = _module("IPython.core.display_functions", functions)
    core.getipython = _module("IPython.core.getipython", {"get_ipython": get_ipython})
    core.error = _module("IPython.core.error", errors)
    lib = _module("IPython.lib", {}, package=True)
    lib.pretty = _module("IPython.lib.pretty", {"pretty": pretty.pretty_as_built_in, "PrettyPrinter": pretty.Printer})
    lib.latextools = _module("IPython.lib.latextools", {"latex_to_png": latex_to_png})
    _module("IPython", {
        "display": shown, "core": core, "lib": lib, "get_ipython": get_ipython, "version_info": VERSION,
        "__version__": ".".join(map(str, VERSION[:3])),
    }, package=True)  # fmt: skip
    for each in classes:
        vars(_found(each.__module__))[each.__name__] = each


def latex_to_png(
    s: str, encode: bool = False, backend: Any = None, wrap: bool = False, color: str = "Black", scale: float = 1.0
) -> Any:
    """Returns a formula as a picture, drawn by matplotlib; `None` where it cannot be drawn or there is no matplotlib."""
    try:
        from matplotlib import mathtext  # type: ignore[import-not-found]
    except ImportError:
        return None
    file = io.BytesIO()
    try:
        mathtext.math_to_image(f"${s}$" if wrap else s, file, dpi=120 * scale, format="png", color=color)
    except (ValueError, RuntimeError):
        return None
    return base64.encodebytes(file.getvalue()) if encode else file.getvalue()


def _found(name: str) -> Any:
    """Returns a module of the package, and makes it where it is not there."""
    if name not in sys.modules:
        parent, _, last = name.rpartition(".")
        setattr(_found(parent), last, _module(name, {}, package=True))
    return sys.modules[name]
