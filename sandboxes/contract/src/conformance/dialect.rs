//! The suite's programs, as one language writes them.

use std::time::Duration;

use crate::program::Language;

/// The text of every program that the suite runs, and how exact a clock it may expect.
///
/// What a field's program does is said at the field. `None`: the language, or the backend, cannot say it, and the
/// promise is left out.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    pub language: Language,
    /// Writes the line `hello`.
    pub hello: &'static str,
    /// Writes the lines `one`, `two`, `three` to stdout, one at a time.
    pub count: &'static str,
    /// Writes the line `careful` to stderr.
    pub warn: &'static str,
    /// Its last expression is 42.
    pub value: &'static str,
    /// Raises `ValueError` with the text `no good`, on line 2.
    pub raise: &'static str,
    /// Leaves with code 3.
    pub exit: &'static str,
    /// Reads a line of stdin and writes it to stdout.
    pub read: &'static str,
    /// Writes the content of the file `given.txt`.
    pub file: &'static str,
    /// Writes the environment variable `GIVEN`.
    pub variable: &'static str,
    /// Never ends.
    pub spin: &'static str,
    /// Sleeps for an hour.
    pub sleep: &'static str,
    /// Writes 5000 bytes to stdout.
    pub flood: &'static str,
    /// Holds 200 MB at once.
    pub hoard: &'static str,
    /// Sets the variable `kept`.
    pub set: &'static str,
    /// Reads the variable `kept`; raises `NameError` where it is not set.
    pub get: &'static str,
    /// Writes what it learns from the clock.
    pub clock: &'static str,
    /// Writes a random number.
    pub chance: &'static str,
    /// Needs a module that this backend has not, and its name.
    pub lacking: Option<(&'static str, &'static str)>,
    /// How much longer than its deadline a run may take.
    pub tolerance: Duration,
}

/// Python, for backends that run it. A backend's own test names a module that it lacks.
pub const PYTHON: Dialect = Dialect {
    language: Language::Python,
    hello: "print('hello')",
    count: "for word in ('one', 'two', 'three'):\n    print(word, flush=True)",
    warn: "import sys\nprint('careful', file=sys.stderr)",
    value: "x = 6\nx * 7",
    raise: "x = 1\nraise ValueError('no good')",
    exit: "import sys\nsys.exit(3)",
    read: "print(input())",
    file: "print(open('given.txt').read(), end='')",
    variable: "import os\nprint(os.environ['GIVEN'])",
    spin: "while True:\n    pass",
    sleep: "import time\ntime.sleep(3600)",
    flood: "for _ in range(50):\n    print('x' * 99)",
    hoard: "held = bytearray(200 * 1024 * 1024)\nprint(len(held))",
    set: "kept = 1",
    get: "print(kept)",
    clock: "import time\nprint(time.time_ns())",
    chance: "import random\nprint(random.random())",
    lacking: None,
    tolerance: Duration::from_millis(500),
};

/// The directives of [`Scripted`](crate::scripted::Scripted).
pub const SCRIPTED: Dialect = Dialect {
    language: Language::Python,
    hello: "print hello",
    count: "print one; print two; print three",
    warn: "eprint careful",
    value: "show 42",
    raise: "sleep 1ms\nraise ValueError no good",
    exit: "exit 3",
    read: "read",
    file: "cat given.txt",
    variable: "env GIVEN",
    spin: "spin",
    sleep: "sleep 60m",
    flood: "flood 5000",
    hoard: "alloc 200",
    set: "set kept 1",
    get: "get kept",
    clock: "clock",
    chance: "chance",
    lacking: Some(("need module pandas", "pandas")),
    tolerance: Duration::from_millis(2),
};
