"""The guest's own rooms: what stands between a program and the host."""

# Where the program's code says that it is.
PROGRAM = "<program>"
# Where a notebook's cells say that they are: a file of their own for each, as IPython's kernel names them.
CELLS = "/tmp/ipykernel_2/"
# The working directory; what lies below it and below /tmp is the program's own.
HOME = "/home/user"


def is_program(filename):
    """Whether code is the caller's: the program itself, or a cell."""
    return filename == PROGRAM or filename.startswith(CELLS)
