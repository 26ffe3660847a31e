"""The scratch file system: a tree in the guest's own memory, gone with the instance.

The program owns its working directory and /tmp. Every other absolute path belongs to a machine that is not here: the
need is named to the host, and where no other tier stands ready the program sees what an empty machine would answer.
Links do not exist; modes are kept and not enforced.
"""

from .calls import install
from .changes import FOLDER, GONE, apply, forget, made, remember
from .tree import clear, enter, give, tree

__all__ = ["FOLDER", "GONE", "apply", "clear", "enter", "forget", "give", "install", "made", "remember", "tree"]
