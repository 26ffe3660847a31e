"""Paths inside a sandbox, and the file names that the caller's code is compiled under."""

# The folder in the file names of cells: a name of its own for each, as IPython's kernel has them.
CELLS = "/tmp/ipykernel_2/"
# The working directory. What is below it and below /tmp is the program's own.
HOME = "/home/user"
# A program is a script at this path: in tracebacks, `__file__` and `sys.argv`.
PROGRAM = HOME + "/main.py"
# Folders that are the program's own, with what is below them.
OWN_FOLDERS = (HOME, "/tmp")
# The beginnings of the file names of internal code, which tracebacks leave out: componentize-py mounts it in these
# folders, a native worker has it in its executable.
INTERNAL = ("/0/", "/world/", "/bundled/", "/switchtower/", "<frozen importlib")
# `sys.executable`.
EXECUTABLE = "/usr/bin/python3"


def is_program(filename: str) -> bool:
    """Returns whether code is the caller's: the program itself, or a cell."""
    return filename == PROGRAM or filename.startswith(CELLS)
