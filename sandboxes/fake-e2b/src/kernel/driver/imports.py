# Imports that differ here: IPython is replaced, matplotlib shows its figures as results, and a template limits the modules.
class Shown:
    """One of IPython's display objects."""

    mime = "text/plain"

    def __init__(self, data: Any=None, url: Any=None, filename: Any=None, **_: Any) -> None:
        if filename is not None:
            with open(filename, "rb") as file:
                data = file.read()
        self.data = data

    def _repr_mimebundle_(self, include: Any=None, exclude: Any=None) -> dict[Any, Any]:
        return {self.mime: self.data, "text/plain": f"<IPython.core.display.{type(self).__name__} object>"}


def shown(name: str, mime: str) -> Any:
    return type(name, (Shown,), {"mime": mime})


def ipython_modules() -> None:
    package, shows = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    core, errors = types.ModuleType("IPython.core"), types.ModuleType("IPython.core.error")
    package.__path__ = core.__path__ = []
    package.get_ipython = get_ipython
    package.version_info, package.__version__ = (9, 0, 0, ""), "9.0.0"
    kinds = dict(HTML="text/html", Markdown="text/markdown", SVG="image/svg+xml", Latex="text/latex",
                 JSON="application/json", Javascript="application/javascript")  # fmt: skip
    for name, mime in kinds.items():
        setattr(shows, name, shown(name, mime))

    class SVG(Shown):
        mime = kinds["SVG"]

        def _repr_mimebundle_(self, include: Any=None, exclude: Any=None) -> dict[Any, Any]:
            from xml.dom import minidom

            # As IPython: the first `svg` element, written anew. What is no XML stays as it is.
            data = super()._repr_mimebundle_()
            try:
                data[self.mime] = minidom.parseString(self.data).getElementsByTagName("svg")[0].toxml()
            except Exception:
                pass
            return data

    shows.SVG = SVG

    class Image(Shown):
        def _repr_mimebundle_(self, include: Any=None, exclude: Any=None) -> dict[Any, Any]:
            data = self.data
            if isinstance(data, str):
                with open(data, "rb") as file:
                    data = file.read()
            mime = "image/jpeg" if data[:2] == b"\xff\xd8" else "image/png"
            return {mime: data, "text/plain": "<IPython.core.display.Image object>"}

    shows.Image, shows.display = Image, display
    for kind in (*(getattr(shows, name) for name in kinds), Image):
        # The names that IPython has: a session's values are compared by the module and name of their class.
        kind.__module__, kind.__qualname__ = "IPython.core.display", kind.__name__
    shows.clear_output = lambda wait=False: None
    display.__module__ = "IPython.core.display_functions"
    package.display, package.core = shows, core
    errors.UsageError, errors.StdinNotImplementedError = UsageError, StdinNotImplementedError
    core.error, core.display = errors, shows
    for module in (package, shows, core, errors):
        sys.modules[module.__name__] = module
    sys.modules["IPython.core.display"] = shows
    for name in ("IPython.core.getipython", "IPython.core.interactiveshell"):
        module = sys.modules[name] = types.ModuleType(name)
        module.get_ipython = get_ipython


class StdinNotImplementedError(NotImplementedError):
    pass


def no_input(prompt: Any="") -> None:
    raise StdinNotImplementedError("raw_input was called, but this frontend does not support input requests.")


def show_figures(*_: Any, **__: Any) -> None:
    """Sends every open figure and closes it."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None or not hasattr(pyplot, "get_fignums"):
        return
    for number in pyplot.get_fignums():
        figure = pyplot.figure(number)
        text = f"<Figure size {figure.bbox.width:.0f}x{figure.bbox.height:.0f} with {len(figure.axes)} Axes>"
        display({"image/png": figure_png(figure), "text/plain": text}, raw=True)
    pyplot.close("all")


class Backend:
    """Loads the matplotlib backend that sends figures as results."""

    name = "_switchtower_backend"

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        from matplotlib.backends import backend_agg

        module.FigureCanvas, module.show = backend_agg.FigureCanvasAgg, show_figures


class Finder:
    """Finds modules, before all other finders: refuses those that the template does not have."""

    def __init__(self, allowed: Any) -> None:
        self.allowed = None if allowed is None else set(allowed)

    def find_spec(self, name: str, path: Any=None, target: Any=None) -> Any:
        if self.allowed is not None and "." not in name and self.is_imported_by_a_cell():
            if name not in self.allowed and name not in sys.stdlib_module_names:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name == Backend.name:
            return importlib.machinery.ModuleSpec(name, Backend())
        if name != "matplotlib" or getattr(self, "within", False):
            return None
        self.within = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.within = False
        if spec is not None:
            load = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                load(module)
                module.rcParams["backend"] = "module://" + Backend.name

            spec.loader.exec_module = exec_module
        return spec

    def is_imported_by_a_cell(self) -> bool:
        frame = sys._getframe(2)
        while frame and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        return bool(frame) and frame.f_code.co_filename in tracebacks.cell_numbers


def prepare_imports(allowed: Any) -> None:
    import importlib.util  # noqa: F401

    ipython_modules()
    sys.meta_path.insert(0, Finder(allowed))


