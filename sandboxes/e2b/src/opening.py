# Runs once in a prepared kernel that a client keeps: gives it the session's variables and folder, and takes back what a
# notebook does in its own way. Asking for input is an error there, unless the cell was given some; so is leaving.
def _switchtower_open(env, folder):
    import os, sys, warnings

    os.environ.update(env)
    if folder:
        os.makedirs(folder, exist_ok=True)
        os.chdir(folder)
    ours = "To exit: use 'exit', 'quit', or Ctrl-D."
    warnings.filters[:] = [one for one in warnings.filters if not (one[1] and getattr(one[1], "pattern", one[1]) == ours)]
    getattr(warnings, "_filters_mutated", lambda: None)()

    shell = get_ipython()
    read = shell.user_ns.pop("input", None)

    def before(*_):
        # The prelude's own callback has laid out the input by now.
        given = getattr(sys.stdin, "getvalue", lambda: "")()
        if given and read is not None:
            shell.user_ns["input"] = read
        elif shell.user_ns.get("input") is read:
            del shell.user_ns["input"]

    shell.events.register("pre_run_cell", before)
