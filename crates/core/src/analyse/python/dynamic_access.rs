//! Names and attributes through which a program can reach objects that its source does not name.

/// Returns whether a builtin name gives access to arbitrary objects or executes code.
pub(super) fn is_dynamic_name(name: &str) -> bool {
    matches!(
        name,
        "getattr"
            | "setattr"
            | "delattr"
            | "vars"
            | "globals"
            | "locals"
            | "__import__"
            | "__builtins__"
            | "exec"
            | "eval"
            | "compile"
            | "breakpoint"
            | "get_ipython"
            | "exit_hook"
            | "__loader__"
            | "__spec__"
    )
}

/// Returns whether an attribute of a module gives access to another module, to the interpreter, or executes code.
pub(super) fn is_dynamic_attribute(name: &str) -> bool {
    matches!(
        name,
        "os" | "sys"
            | "io"
            | "subprocess"
            | "socket"
            | "builtins"
            | "importlib"
            | "ctypes"
            | "ctypeslib"
            | "shutil"
            | "urllib"
            | "http"
            | "requests"
            | "threading"
            | "multiprocessing"
            | "signal"
            | "pty"
            | "pickle"
            | "cPickle"
            | "system"
            | "popen"
            | "Popen"
            | "fork"
            | "spawn"
            | "urlopen"
            | "modules"
            | "meta_path"
            | "path_hooks"
            | "settrace"
            | "setprofile"
            | "addaudithook"
            | "register"
            | "excepthook"
            | "displayhook"
            | "import_module"
            | "load_library"
            | "eval"
            | "query"
            | "read_pickle"
            | "distutils"
            | "f2py"
            | "lambdify"
            | "autowrap"
            | "ufuncify"
            | "codegen"
            | "_os"
            | "_sys"
    ) || (name.starts_with("__") && name.ends_with("__") && !is_harmless_dunder(name))
}

fn is_harmless_dunder(name: &str) -> bool {
    matches!(
        name,
        "__init__"
            | "__name__"
            | "__doc__"
            | "__repr__"
            | "__str__"
            | "__len__"
            | "__eq__"
            | "__hash__"
            | "__iter__"
            | "__next__"
            | "__version__"
            | "__add__"
            | "__lt__"
            | "__post_init__"
            | "__enter__"
            | "__exit__"
            | "__getitem__"
            | "__setitem__"
            | "__contains__"
            | "__call__"
            | "__new__"
            | "__file__"
            | "__main__"
    )
}
