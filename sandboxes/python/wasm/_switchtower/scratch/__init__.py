"""The scratch file system: a tree in the guest's own memory, gone with the instance.

The program owns its working directory and /tmp. Every other absolute path is a need, which is
reported to the host; where no other tier can take the program, it sees what an empty machine would answer.
Links do not exist; modes are kept and not enforced.
"""

from .calls import install
from .changes import FOLDER, REMOVED, apply, mark, reset, take_changes
from .tree import clear, set_working_directory, tree, write_files

__all__ = [
    "FOLDER",
    "REMOVED",
    "apply",
    "clear",
    "set_working_directory",
    "reset",
    "write_files",
    "install",
    "take_changes",
    "mark",
    "tree",
]
