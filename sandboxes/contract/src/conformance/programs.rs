//! The suite's programs, written in one language.

use std::time::Duration;

use crate::program::Language;

/// The source of every program that the suite runs, and the precision of deadlines that it expects.
///
/// Each field's doc says what its program does. `None`: the language or the backend cannot express it, and the promise
/// is skipped.
#[derive(Debug, Clone, Copy)]
pub struct TestPrograms {
    pub language: Language,
    /// Prints the line `hello`.
    pub hello: &'static str,
    /// Prints the lines `one`, `two`, `three` to stdout, one at a time.
    pub count: &'static str,
    /// Prints the line `careful` to stderr.
    pub warn: &'static str,
    /// Has 42 as its last expression.
    pub value: &'static str,
    /// Raises `ValueError` with the text `no good`, on line 2.
    pub raise: &'static str,
    /// Exits with code 3.
    pub exit: &'static str,
    /// Reads a line of stdin and prints it.
    pub read: &'static str,
    /// Prints the content of the file `given.txt`.
    pub file: &'static str,
    /// Writes the text `made` to the file `made.txt`.
    pub write: &'static str,
    /// Prints the content of the file `made.txt`.
    pub read_made: &'static str,
    /// Prints the environment variable `GIVEN`.
    pub variable: &'static str,
    /// Never ends, using the processor.
    pub spin: &'static str,
    /// Sleeps for an hour.
    pub sleep: &'static str,
    /// Prints 5000 bytes to stdout.
    pub flood: &'static str,
    /// Holds 200 MB at once.
    pub hoard: &'static str,
    /// Sets the variable `kept`.
    pub set: &'static str,
    /// Prints the variable `kept`; raises `NameError` where it is not set.
    pub get: &'static str,
    /// Prints a reading of the clock.
    pub clock: &'static str,
    /// Prints a random number.
    pub random: &'static str,
    /// Imports a module that this backend does not provide; the module's name.
    pub missing_module: Option<(&'static str, &'static str)>,
    /// A service that every machine of the backend has.
    pub service: Option<TestService>,
    /// How long after its deadline a run may end.
    pub tolerance: Duration,
}

/// A service that answers GET requests.
#[derive(Debug, Clone, Copy)]
pub struct TestService {
    pub port: u16,
    pub path: &'static str,
    /// The status of its answer.
    pub status: u16,
}

/// Python. A backend's own test adds a module that the backend does not provide.
pub const PYTHON: TestPrograms = TestPrograms {
    language: Language::Python,
    hello: "print('hello')",
    count: "for word in ('one', 'two', 'three'):\n    print(word, flush=True)",
    warn: "import sys\nprint('careful', file=sys.stderr)",
    value: "x = 6\nx * 7",
    raise: "x = 1\nraise ValueError('no good')",
    exit: "import sys\nsys.exit(3)",
    read: "print(input())",
    file: "print(open('given.txt').read(), end='')",
    write: "with open('made.txt', 'w') as file:\n    _ = file.write('made')",
    read_made: "print(open('made.txt').read(), end='')",
    variable: "import os\nprint(os.environ['GIVEN'])",
    spin: "while True:\n    pass",
    sleep: "import time\ntime.sleep(3600)",
    flood: "for _ in range(50):\n    print('x' * 99)",
    hoard: "held = bytearray(200 * 1024 * 1024)\nprint(len(held))",
    set: "kept = 1",
    get: "print(kept)",
    clock: "import time\nprint(time.time_ns())",
    random: "import random\nprint(random.random())",
    missing_module: None,
    service: None,
    tolerance: Duration::from_millis(500),
};

/// The directives of [`Scripted`](crate::scripted::Scripted).
pub const SCRIPTED: TestPrograms = TestPrograms {
    language: Language::Python,
    hello: "print hello",
    count: "print one; print two; print three",
    warn: "eprint careful",
    value: "show 42",
    raise: "sleep 1ms\nraise ValueError no good",
    exit: "exit 3",
    read: "read",
    file: "cat given.txt",
    write: "write made.txt made",
    read_made: "cat made.txt",
    variable: "env GIVEN",
    spin: "spin",
    sleep: "sleep 60m",
    flood: "flood 5000",
    hoard: "alloc 200",
    set: "set kept 1",
    get: "get kept",
    clock: "clock",
    random: "random",
    missing_module: Some(("need module pandas", "pandas")),
    service: Some(TestService { port: 80, path: "/hello", status: 200 }),
    tolerance: Duration::from_millis(2),
};
