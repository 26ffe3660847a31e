"""The text of cells, read as a notebook reads it."""

from __future__ import annotations

import ast

# Compiles `await` outside functions.
TOP_LEVEL_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def dedent(source: str) -> str:
    """Returns a cell without empty lines at its head and without the indentation of its first line, as IPython does."""
    lines = source.split("\n")
    while len(lines) > 1 and not lines[0].strip():
        lines.pop(0)
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    return "\n".join(line.removeprefix(indent) for line in lines)


def ends_with_semicolon(code: str, last: ast.expr | ast.stmt) -> bool:
    """Returns whether a semicolon follows the last expression: then its value is not shown."""
    assert last.end_lineno is not None
    line = code.splitlines()[last.end_lineno - 1].encode()
    return line[last.end_col_offset :].decode("utf-8", "replace").lstrip().startswith(";")


def parse(source: str) -> ast.Module:
    """Returns the tree of a cell; an empty one where it is no Python, for then it ran nowhere."""
    try:
        tree = compile(dedent(source), "<cell>", "exec", ast.PyCF_ONLY_AST | TOP_LEVEL_AWAIT, True)
    except (SyntaxError, ValueError):
        return ast.Module([], [])
    assert isinstance(tree, ast.Module)
    return tree
