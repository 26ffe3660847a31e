# Runs once in a prepared kernel that a client keeps: sets the session's variables and folder, and restores a notebook's
# own behaviour: input is an error unless the cell was given some, and so is leaving.
def _switchtower_set_options(env: "dict[str, str]", folder: "str | None") -> None:
    import os
    import sys
    import warnings

    os.environ.update(env)
    if folder:
        os.makedirs(folder, exist_ok=True)
        os.chdir(folder)
    exit_warning = "To exit: use 'exit', 'quit', or Ctrl-D."
    warnings.filters[:] = [  # type: ignore[index]
        one for one in warnings.filters if not (one[1] and getattr(one[1], "pattern", one[1]) == exit_warning)
    ]
    getattr(warnings, "_filters_mutated", lambda: None)()

    shell = get_ipython()  # type: ignore[name-defined]  # noqa: F821
    read = shell.user_ns.pop("input", None)
    # A notebook is no script.
    if shell.user_ns.pop("__file__", None) is not None:
        sys.argv = shell._switchtower_argv

    def before_cell(*_: object) -> None:
        # The prelude's own callback has set the input by now.
        given = getattr(sys.stdin, "getvalue", lambda: "")()
        if given and read is not None:
            shell.user_ns["input"] = read
        elif shell.user_ns.get("input") is read:
            del shell.user_ns["input"]

    shell.events.register("pre_run_cell", before_cell)
