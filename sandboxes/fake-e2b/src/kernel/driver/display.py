# Results of cells, in all representations that a value has.
KEYS = {
    "text/plain": "text",
    "text/html": "html",
    "text/markdown": "markdown",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "application/pdf": "pdf",
    "text/latex": "latex",
    "application/json": "json",
    "application/javascript": "javascript",
    "e2b/data": "data",
    "e2b/chart": "chart",
}
METHODS = {
    "_repr_html_": "text/html",
    "_repr_markdown_": "text/markdown",
    "_repr_svg_": "image/svg+xml",
    "_repr_png_": "image/png",
    "_repr_jpeg_": "image/jpeg",
    "_repr_pdf_": "application/pdf",
    "_repr_latex_": "text/latex",
    "_repr_json_": "application/json",
    "_repr_javascript_": "application/javascript",
    "_repr_e2b_data_": "e2b/data",
    "_repr_e2b_chart_": "e2b/chart",
}


# Modules that kernels of Switchtower use too: the layout of values, their JSON.
pretty_printer, json_values = (sys.modules[f"{__name__}.{name}"] for name in ("pretty", "json_values"))


def figure_png(figure: Any) -> Any:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return buffer.getvalue()


def is_a(value: Any, module: Any, name: str) -> bool:
    return any(c.__name__ == name and c.__module__.split(".")[0] == module for c in type(value).__mro__)


def bundle(value: Any) -> Any:
    """Returns the representations of a value: MIME type to data."""
    data: dict[str, Any] = {"text/plain": pretty_printer.pretty(value)}
    if isinstance(value, (dict, list)) and (text := json_values.of_container(value)) is not None:
        data["application/json"] = json.loads(text)
    if isinstance(value, type):
        return data
    whole = getattr(value, "_repr_mimebundle_", None)
    if callable(whole):
        try:
            returned = whole(include=None, exclude=None)
            data.update(returned[0] if isinstance(returned, tuple) else returned or {})
        except NotImplementedError:
            pass
    for method, mime in METHODS.items():
        function = getattr(value, method, None)
        if not callable(function):
            continue
        try:
            returned = function()
        except NotImplementedError:
            continue
        if isinstance(returned, tuple) and len(returned) == 2:
            returned = returned[0]
        if returned is not None:
            data[mime] = returned
    if is_a(value, "matplotlib", "Figure"):
        data.setdefault("image/png", figure_png(value))
    if is_a(value, "pandas", "DataFrame"):
        data.setdefault("e2b/data", json.loads(json.dumps(value.to_dict("list"), default=str)))
    return data


def result(data: Any, main: Any) -> Any:
    line, extra = {"type": "result"}, {}
    for mime, value in data.items():
        if isinstance(value, (bytes, bytearray)):
            value = base64.b64encode(value).decode()
        key = KEYS.get(mime)
        if key == "text" and len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        if key:
            line[key] = value
        else:
            extra[mime] = value
    line["extra"], line["is_main_result"] = extra, main
    return line


def display(*values: Any, raw: Any=False, **_: Any) -> None:
    for value in values:
        SHELL.out.send_row(result(value if raw else bundle(value), False))


