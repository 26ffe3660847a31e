"""Paths in a machine, and the file names that the caller's code is compiled under."""

import os
import sys

# The folder in the file names of cells: a name of its own for each, as IPython's kernel has them.
CELLS = "/tmp/ipykernel_2/"
# The working directory of most, and the folder in which a program is.
HOME = os.path.expanduser("~")
# A program is a script at this path: in tracebacks, `__file__` and `sys.argv`.
PROGRAM = os.path.join(HOME, "main.py")
# Folders that are the program's own, with what is below them.
OWN_FOLDERS = (HOME, "/tmp")
# `sys.executable`.
EXECUTABLE = sys.executable
# The beginnings of the file names of internal code, which tracebacks leave out.
INTERNAL = (os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + "/", "<frozen importlib")


def is_program(filename: str) -> bool:
    """Returns whether code is the caller's: the program itself, or a cell."""
    return filename == PROGRAM or filename.startswith(CELLS)
