# Without namespaces, functions of `os` and `open` translate the sandbox's paths to paths in its folder on the host. Files
# that C code opens are not translated.
OWN = ("/home/user", "/tmp", "/var/tmp", "/run/e2b", "/etc/build-tag")
ONE = ("open stat lstat listdir scandir mkdir remove unlink rmdir chdir access chmod utime walk truncate "
       "readlink statvfs").split()  # fmt: skip
TWO = "rename replace link symlink".split()


def within(path: Any, folder: Any) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def prepare_paths(root: Any) -> None:
    if root is None:
        return
    real_cwd = os.getcwd
    kept = {root, *(os.path.realpath(one) for one in (sys.prefix, sys.base_prefix)), sys.prefix, sys.base_prefix}

    def place(path: Any) -> Any:
        if not isinstance(path, (str, os.PathLike)):
            return path
        text = os.fspath(path)
        if not isinstance(text, str) or not any(within(text, own) for own in OWN):
            return path
        return path if any(within(text, one) for one in kept) else root + text

    def placed(function: Any, many: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            return function(*map(place, arguments[:many]), *arguments[many:], **named)

        call.__name__ = call.__qualname__ = function.__name__
        return call

    def cwd() -> Any:
        at = real_cwd()
        return at[len(root) :] or "/" if within(at, root) else at

    for many, names in ((1, ONE), (2, TWO)):
        for name in names:
            setattr(os, name, placed(getattr(os, name), many))
    builtins.open = io.open = placed(open, 1)
    os.getcwd = cwd
    # These sets are looked up by the function itself, so they need the new functions too.
    for known in (os.supports_follow_symlinks, os.supports_dir_fd, os.supports_effective_ids, os.supports_fd):
        known.update(getattr(os, name) for name in ONE + TWO)


