//! Tracebacks of uncaught exceptions are those of CPython 3.14, without frames of the runtime.

use switchtower_contract::Exit;

use super::harness::test_program;

fn traceback(source: &str) -> String {
    let ran = test_program(source).in_worker();
    assert_eq!(ran.exit(), Exit::Raised, "{ran:#?}");
    ran.output.error.unwrap().traceback
}

#[test]
fn an_exception_shows_the_programs_frames_and_nothing_else() {
    insta::assert_snapshot!(traceback("def half(x):\n    return x / 0\n\nprint(half(1) + 2)"), @r#"
Traceback (most recent call last):
  File "/home/user/main.py", line 4, in <module>
    print(half(1) + 2)
          ~~~~^^^
  File "/home/user/main.py", line 2, in half
    return x / 0
           ~~^~~
ZeroDivisionError: division by zero
"#);
    insta::assert_snapshot!(traceback("1 / 0"), @r#"
Traceback (most recent call last):
  File "/home/user/main.py", line 1, in <module>
    1 / 0
    ~~^~~
ZeroDivisionError: division by zero
"#);
}

#[test]
fn causes_notes_and_groups_are_shown() {
    let caused = "\
try:
    {}['key']
except KeyError as error:
    error.add_note('a note')
    raise RuntimeError('no luck') from error";
    insta::assert_snapshot!(traceback(caused), @r#"
Traceback (most recent call last):
  File "/home/user/main.py", line 2, in <module>
    {}['key']
    ~~^^^^^^^
KeyError: 'key'
a note

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/home/user/main.py", line 5, in <module>
    raise RuntimeError('no luck') from error
RuntimeError: no luck
"#);
    let group = "raise ExceptionGroup('two', [ValueError(1), TypeError('x')])";
    insta::assert_snapshot!(traceback(group), @r#"
+ Exception Group Traceback (most recent call last):
|   File "/home/user/main.py", line 1, in <module>
|     raise ExceptionGroup('two', [ValueError(1), TypeError('x')])
| ExceptionGroup: two (2 sub-exceptions)
+-+---------------- 1 ----------------
  | ValueError: 1
  +---------------- 2 ----------------
  | TypeError: x
  +------------------------------------
"#);
}

#[test]
fn a_syntax_error_has_cpythons_message() {
    insta::assert_snapshot!(traceback("x = (1,\nprint(x"), @r#"
  File "/home/user/main.py", line 2
    print(x
         ^
SyntaxError: '(' was never closed
"#);
    insta::assert_snapshot!(traceback("if True:\nprint(1)"), @r#"
  File "/home/user/main.py", line 2
    print(1)
    ^^^^^
IndentationError: expected an indented block after 'if' statement on line 1
"#);
    insta::assert_snapshot!(traceback("print 'hello'"), @r#"
  File "/home/user/main.py", line 1
    print 'hello'
    ^^^^^^^^^^^^^
SyntaxError: Missing parentheses in call to 'print'. Did you mean print(...)?
"#);
}

#[test]
fn a_misspelt_name_is_suggested() {
    insta::assert_snapshot!(traceback("length = 3\nprint(lenght)"), @r#"
Traceback (most recent call last):
  File "/home/user/main.py", line 2, in <module>
    print(lenght)
          ^^^^^^
NameError: name 'lenght' is not defined. Did you mean: 'length'?
"#);
    insta::assert_snapshot!(traceback("import math\nmath.squrt(2)"), @r#"
Traceback (most recent call last):
  File "/home/user/main.py", line 2, in <module>
    math.squrt(2)
    ^^^^^^^^^^
AttributeError: module 'math' has no attribute 'squrt'. Did you mean: 'sqrt'?
"#);
}

#[test]
fn frames_of_the_standard_library_are_shown() {
    insta::assert_snapshot!(traceback("import json\njson.loads('{')"), @r#"
Traceback (most recent call last):
  File "/home/user/main.py", line 2, in <module>
    json.loads('{')
    ~~~~~~~~~~^^^^^
  File "/python/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
           ~~~~~~~~~~~~~~~~~~~~~~~^^^
  File "/python/json/decoder.py", line 345, in decode
    obj, end = self.raw_decode(s, idx=_w(s, 0).end())
               ~~~~~~~~~~~~~~~^^^^^^^^^^^^^^^^^^^^^^^
  File "/python/json/decoder.py", line 361, in raw_decode
    obj, end = self.scan_once(s, idx)
               ~~~~~~~~~~~~~~^^^^^^^^
json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)
"#);
}

#[test]
fn a_program_can_print_its_own_traceback() {
    let source = "import traceback\ntry:\n    int('x')\nexcept ValueError:\n    print(traceback.format_exc(), end='')";
    insta::assert_snapshot!(test_program(source).in_worker().stdout(), @r#"
Traceback (most recent call last):
  File "/home/user/main.py", line 3, in <module>
    int('x')
    ~~~^^^^^
ValueError: invalid literal for int() with base 10: 'x'
"#);
}

#[test]
fn an_endless_recursion_of_any_kind_is_a_recursion_error() {
    for source in [
        "def f(n):\n    return f(n + 1)\nf(0)",
        "import json\nx = []\nfor _ in range(100_000): x = [x]\njson.dumps(x)",
        "import json\njson.loads('[' * 100_000)",
        "def f(x):\n    return list(map(f, [x]))\nf(1)",
        "class A:\n    def __repr__(self): return repr(self)\nrepr(A())",
        "class A:\n    def __getattr__(self, name): return getattr(self, name)\nA().x",
        "import sys\nsys.setrecursionlimit(5000)\ndef f(): f()\nf()",
        "x = []\nfor _ in range(100_000): x = [x]\nrepr(x)",
        "import copy\nx = []\nfor _ in range(5_000): x = [x]\ncopy.deepcopy(x)",
    ] {
        let ran = test_program(source).in_worker();
        assert_eq!((ran.exit(), ran.raised()), (Exit::Raised, "RecursionError"), "{source}: {ran:?}");
    }
    let caught =
        "def f(n):\n    try:\n        return f(n + 1)\n    except RecursionError:\n        return n\nprint(f(0) > 500)";
    assert_eq!(test_program(caught).in_worker().stdout(), "True\n");
    let folded = traceback("def f(): f()\nf()");
    assert!(folded.contains("[Previous line repeated ") && folded.len() < 2000, "{folded}");
}
