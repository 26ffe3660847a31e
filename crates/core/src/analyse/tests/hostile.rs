//! Programs that do not parse, and programs that are made to be expensive to analyse.

use proptest::prelude::*;

use super::profile;

#[test]
fn a_program_that_does_not_parse_has_a_reason_and_no_effects() {
    for source in
        ["print(", "def f(:\n  pass", "x = 'abc", "a b", ")", "import os\nos.system('x'", "x\0y", "  x = 1\n y = 2"]
    {
        let profile = profile(source);
        assert!(!profile.parses && profile.analysis_error.is_some(), "{source:?}");
        assert!(!profile.verdict.deterministic && profile.effects.is_empty() && profile.imports.is_empty());
    }
    for source in ["", "\u{feff}print(1)", "# nothing", "print('\\ud800')"] {
        assert!(profile(source).parses, "{source:?}");
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("m{number:x}")).collect()
}

/// Returns programs that are made to be expensive to analyse.
fn hostile() -> Vec<String> {
    let mib = 1 << 20;
    let repeated = |unit: &str, size: usize| unit.repeat(size / unit.len());
    vec![
        format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        "[".repeat(mib),
        repeated("{'a':", mib),
        repeated("lambda: ", mib),
        repeated("lambda x, y: ", mib),
        format!("x = {}1", repeated("a + ", mib)),
        format!("x = {}1", repeated("a ** ", mib)),
        format!("x = {}1", repeated("not ", mib)),
        format!("x = {}1", "-".repeat(mib)),
        format!("a{}", repeated(".b", mib)),
        format!("a{}", repeated("()", mib)),
        format!("a{}", repeated("[0]", mib)),
        format!("x = {}1", repeated("1 if a else ", mib)),
        repeated("if x: ", mib),
        repeated("if a, b: ", mib),
        (0..5000).map(|depth| format!("{}if x:\n", " ".repeat(depth % 700))).collect(),
        repeated("f'{", mib),
        format!("x = {}", repeated("f\"{a:{b}}\" ", mib)),
        repeated("x = 1\n", mib),
        repeated("x=1;", mib),
        repeated("import a\n", mib),
        repeated("__import__('a')\n", mib),
        format!("import a{}", repeated("\na.b.c(a.d)", mib)),
        format!("x = [{}]", repeated("1,", mib)),
        format!("x = '{}'", "a".repeat(mib)),
        "\n".repeat(mib),
        "\0".repeat(mib),
        "\u{feff}".repeat(mib / 3),
        repeated("match x:\n case 1 | 2: y\n", mib),
        repeated("class A(B): x = {1, 2}\n", mib),
        repeated("def f(): return f\n", mib),
        format!("import requests\n{}f()", repeated("def f(): requests.get(f)\n", mib)),
        format!("import os\n{}", format!("os.system('{}<')\n", "1".repeat(mib / 20)).repeat(20)),
        format!("import os\n{}", repeated("os.system('pip list | grep a')\n", mib)),
        repeated("\\\n", mib),
        repeated("!ls\n", mib),
        repeated("%%x\n", mib),
        repeated("x = (1 if a else {b for c in d})\n", mib),
        format!("x = {}c{}", repeated("(a if b else ", 2600), ")".repeat(200)),
        format!("x = {}1", "- ".repeat(3900)),
        format!("x = {}1", "a + ".repeat(1900)),
        format!("a{}", ".b".repeat(1900)),
        // Many imports, and much that looks like their files.
        format!("import {}\n#{}", names(48_000).join(","), repeated("m", mib / 2)),
        format!("import {}\n#{}", names(48_000).join(","), repeated("m1.py/", mib / 2)),
        names(30_000).iter().map(|name| format!("import {name}\n")).collect(),
    ]
}

#[test]
fn hostile_programs_neither_panic_nor_overflow() {
    for source in hostile() {
        let start = source.chars().take(40).collect::<String>();
        #[allow(clippy::disallowed_methods, reason = "the time is only printed")]
        let began = std::time::Instant::now();
        let profile = profile(&source);
        println!("{:>9.1?} parses: {:5} {start:?}", began.elapsed(), profile.parses);
    }
}

#[test]
fn deeply_nested_programs_within_the_limits_are_analysed() {
    let sum = format!("import numpy as np\nx = {}np.zeros(1)", "1 + ".repeat(1500));
    assert!(profile(&sum).needed_modules().any(|module| module == "numpy"));
    let brackets = format!("x = {}1{}", "[".repeat(190), "]".repeat(190));
    assert!(profile(&brackets).parses);
}

proptest! {
    #[test]
    fn analysis_never_panics_on_any_text(source in any::<String>()) {
        profile(&source);
    }

    #[test]
    fn analysis_never_panics_on_any_sequence_of_tokens(tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..80)) {
        profile(&tokens.concat());
    }

    #[test]
    fn analysis_never_panics_on_a_mangled_program(at in 0.0..1.0f64, cut in 0..40usize, put in "\\PC{0,6}") {
        let mut bytes = MANGLED.as_bytes().to_vec();
        let at = (at * bytes.len() as f64) as usize;
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put.bytes());
        profile(&String::from_utf8_lossy(&bytes));
    }
}

const TOKENS: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    ";",
    ".",
    "=",
    ":=",
    "+",
    "-",
    "**",
    "*",
    "%",
    "!",
    "?",
    "@",
    "\n",
    "\n    ",
    " ",
    "\\\n",
    "'",
    "\"\"\"",
    "f'",
    "{x!r:>{y}}",
    "a",
    "self",
    "1",
    "0x",
    "1e",
    "if ",
    "else ",
    "for ",
    "in ",
    "lambda ",
    "def f",
    "class A",
    "return ",
    "yield ",
    "await ",
    "async ",
    "import os",
    "from x import *",
    "match x",
    "case ",
    "try",
    "except ",
    "not ",
    "with ",
    "as ",
    "while True",
    "print",
    "set",
    "random.seed(",
    "__import__('os')",
    "#",
    "\u{feff}",
    "é",
    "\t",
];

const MANGLED: &str = r#"
import random, numpy as np
from dataclasses import dataclass

@dataclass
class Point(object):
    x: int = 0
    def __repr__(self):
        return f"P({self.x!r:>{3}})"

async def main(*args, key=lambda a, b: {a, b}, **rest):
    async with open("x") as f, g() as (a, b):
        yield [c async for c in f if c or not d]

random.seed(3)
for i, (j, k) in enumerate(sorted({1: 2}.items(), key=lambda p: p[1])):
    match i:
        case Point(x=1) | [1, *_] | {"a": b, **rest} if b:
            print("%s" % i, "{0.x}".format(i), end="")
        case _:
            del i
try:
    x = [y := 1, *[2 ** 10 for _ in range(10 ** 3)]]
except* (ValueError, ImportError) as error:
    raise error from None
finally:
    print(getattr(np, "random").rand(3), globals()["x"], __import__("os").path.join("a", "b"))
"#;
