//! The suite's programs, written in one language.

use std::time::Duration;

use crate::language::Language;

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
    /// The name of the exception of [`get`](Self::get) where the variable is not set.
    pub unset_error: &'static str,
    /// The name of the exception of [`read`](Self::read) at the end of stdin.
    pub end_error: &'static str,
    /// The name of the exception of [`variable`](Self::variable) where it is not set.
    pub no_variable_error: &'static str,
    /// The name of the exception of [`file`](Self::file) where the file is missing.
    pub missing_file_error: &'static str,
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
    /// Prints the variable `kept`; raises [`unset_error`](Self::unset_error) where it is not set.
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
    unset_error: "NameError",
    end_error: "EOFError",
    no_variable_error: "KeyError",
    missing_file_error: "FileNotFoundError",
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

/// JavaScript. A backend's own test adds a module that the backend does not provide.
pub const JAVASCRIPT: TestPrograms = TestPrograms {
    language: Language::JavaScript,
    hello: "console.log('hello')",
    count: "for (const word of ['one', 'two', 'three']) console.log(word)",
    warn: "console.error('careful')",
    value: "const x = 6\nx * 7",
    unset_error: "ReferenceError",
    end_error: "Error",
    no_variable_error: "Error",
    missing_file_error: "Error",
    raise: "const y = 1\nthrow Object.assign(new Error('no good'), { name: 'ValueError' })",
    exit: "process.exit(3)",
    read: "const line = readline()\nif (line === null) throw new Error('the end')\nconsole.log(line)",
    file: "process.stdout.write(require('fs').readFileSync('given.txt', 'utf8'))\nnull",
    write: "require('node:fs').writeFileSync('made.txt', 'made')",
    read_made: "process.stdout.write(require('fs').readFileSync('made.txt', 'utf8'))\nnull",
    variable: "console.log(process.env.GIVEN ?? (() => { throw new Error('no variable') })())",
    spin: "for (;;) {}",
    sleep: "await new Promise((resolve) => setTimeout(resolve, 3600_000))",
    flood: "for (let i = 0; i < 50; i++) console.log('x'.repeat(99))",
    hoard: "const held = new Uint8Array(200 * 1024 * 1024).fill(1)\nconsole.log(held.length)",
    set: "const kept = 1",
    get: "console.log(kept)",
    clock: "console.log(process.hrtime.bigint() + BigInt(Date.now()))",
    random: "console.log(Math.random())",
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
    unset_error: "NameError",
    end_error: "EOFError",
    no_variable_error: "KeyError",
    missing_file_error: "FileNotFoundError",
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
