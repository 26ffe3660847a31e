//! Python's behaviour for programs: exits, imports, definitions, files.

use switchtower_contract::{Exit, File};

use super::harness::{stdout_of, test_program};

#[test]
fn exiting_gives_the_exit_code_of_a_shell() {
    for (source, code) in [
        ("import sys; sys.exit()", 0),
        ("import sys; sys.exit(3)", 3),
        ("raise SystemExit(None)", 0),
        ("raise SystemExit(True)", 1),
        ("exit(300)", 44),
        ("import sys; sys.exit(-1)", 255),
        ("def f(): quit(5)\nf()", 5),
        ("import os; os._exit(3)", 3),
    ] {
        let ran = test_program(source).in_worker();
        assert_eq!(ran.exit(), Exit::Finished(code), "{source}");
        assert_eq!((ran.output.error, ran.output.results.len()), (None, 0), "{source}");
    }
    let message = test_program("import sys; sys.exit('it is over')").in_worker();
    assert_eq!((message.exit(), message.output.stderr.as_str()), (Exit::Finished(1), "it is over\n"));
}

#[test]
fn a_program_is_a_script_at_a_path() {
    let source = "\
import argparse, inspect, os, sys, __main__
print(__file__, sys.argv, sys.path[0], os.getcwd(), __name__, __main__.__file__ == __file__)
print(os.path.dirname(os.path.abspath(__file__)), len(open(__file__).read()), os.listdir())
def f(): pass
print(inspect.getsource(f), argparse.ArgumentParser().parse_args([]), argparse.ArgumentParser().prog)
";
    let expected = format!(
        "/home/user/main.py ['/home/user/main.py'] /home/user /home/user __main__ True\n/home/user {} ['main.py']\n\
         def f(): pass\n Namespace() main.py\n",
        source.len()
    );
    assert_eq!(stdout_of(source), expected);
    // One that does not name its file sees only its own.
    assert_eq!(stdout_of("import os; print(os.listdir())"), "[]\n");
    let warned = test_program("import warnings\nwarnings.warn('careful')").in_worker();
    assert_eq!(
        warned.output.stderr, "/home/user/main.py:2: UserWarning: careful\n  warnings.warn('careful')\n",
        "{warned:?}"
    );
    let mut given = test_program("print(open(__file__).read(), open('main.py').read())");
    given.program.files.push(File { path: "main.py".to_owned(), content: b"mine".to_vec() });
    assert_eq!(given.in_worker().stdout(), "mine mine\n");
}

#[test]
fn a_byte_order_mark_and_a_declared_encoding_are_accepted() {
    assert_eq!(stdout_of("\u{feff}print('é', __file__[-3:])\n"), "é .py\n");
    assert_eq!(stdout_of("# -*- coding: latin-1 -*-\nprint('é')"), "é\n");
    assert_eq!(stdout_of("\u{feff}# coding: utf-8\nprint('é')"), "é\n");
}

#[test]
fn standard_input_is_not_changed_and_ends_as_in_cpython() {
    let source = "import sys\nprint([input('name? '), input(), sys.stdin.readline(), sys.stdin.read()])";
    let ran = test_program(source).with_stdin("a\r\nb\nc\rd\r\ne\n\nf").in_worker();
    assert_eq!(ran.stdout(), "name? ['a\\r', 'b', 'c\\rd\\r\\n', 'e\\n\\nf']\n");
    let ended = test_program("print(input('a '))\ninput('b ')").with_stdin("last").in_worker();
    let failure = ended.output.error.unwrap();
    assert_eq!((ended.output.stdout.as_str(), failure.name.as_str()), ("a last\nb ", "EOFError"));
    assert_eq!(failure.value, "EOF when reading a line");
}

#[test]
fn modules_beside_a_program_and_folders_of_them_are_found() {
    let source = "\
import helper, package.inner, plain.deep.leaf, random, os
from plain import top
print(helper.X, helper.__file__, package.inner.Y, plain.deep.leaf.Z, top.Z, random.MINE, list(plain.__path__))
os.makedirs('made/later')
open('made/later/one.py', 'w').write('W = 5')
import made.later.one
print(made.later.one.W, made.__spec__.loader is not None)
try:
    import made.nothing
except ModuleNotFoundError as error:
    print(error)
";
    let mut program = test_program(source);
    for (path, content) in [
        ("helper.py", "X = 1"),
        ("package/__init__.py", "from .inner import Y"),
        ("package/inner.py", "Y = 2"),
        ("plain/top.py", "from .deep.leaf import Z"),
        ("plain/deep/leaf.py", "Z = 3"),
        // Goes before the standard library's.
        ("random.py", "MINE = 4"),
        // Does not.
        ("json/data.py", "1 / 0"),
    ] {
        program.program.files.push(File { path: path.to_owned(), content: content.into() });
    }
    let expected = "1 /home/user/helper.py 2 3 3 4 ['/home/user/plain']\n5 True\nNo module named 'made.nothing'\n";
    assert_eq!(program.in_worker().stdout(), expected);
}

#[test]
fn what_cpythons_tests_found_is_as_in_cpython() {
    let source = "\
import os, pickle, platform, pydoc
print(pydoc.plain(pydoc.render_doc(len)).splitlines()[0])
print(open('a', 'w').encoding)
found = os.stat('a')
print({pickle.loads(pickle.dumps(found, n)).st_mtime == found.st_mtime for n in range(6)})
try:
    open('b', opener=lambda path, flags: -1)
except ValueError as error:
    print(error)
print(platform.libc_ver(), platform.processor() == '')
";
    let expected = "Python Library Documentation: built-in function len in module builtins\nUTF-8\n{True}\nopener returned -1\n('', '') True\n";
    assert_eq!(stdout_of(source), expected);
}

#[test]
fn exit_handlers_run_and_buffered_output_arrives() {
    let source = "import atexit, sys\natexit.register(print, 'last')\nsys.stdout.write('first ')\nsys.exit(2)";
    let ran = test_program(source).in_worker();
    assert_eq!((ran.exit(), ran.output.stdout.as_str()), (Exit::Finished(2), "first last\n"));
    let early = test_program("import os\nprint('said', flush=True)\nos._exit(4)\nprint('never')").in_worker();
    assert_eq!((early.exit(), early.output.stdout.as_str()), (Exit::Finished(4), "said\n"));
}

#[test]
fn a_program_is_main_and_its_classes_can_be_pickled() {
    let source = "\
import copy, pickle
from dataclasses import dataclass, field, asdict, replace
from enum import Enum
from typing import NamedTuple

class Colour(Enum):
    RED = 1

class Pair(NamedTuple):
    a: int
    b: str = 'b'

@dataclass(order=True, frozen=True)
class Point:
    x: int
    y: float = 0.5
    tags: list = field(default_factory=list, compare=False)

if __name__ == '__main__':
    p = Point(1, tags=['t'])
    print(pickle.loads(pickle.dumps(p)), copy.deepcopy(p) == p, asdict(p))
    print(sorted([Point(2), Point(1, 9.0)]), replace(p, x=3), hash(Point.__name__) == hash('Point'))
    print(pickle.loads(pickle.dumps([Colour.RED, Pair(1)])), Point.__module__, Point.__qualname__)
    try:
        p.x = 4
    except Exception as error:
        print(type(error).__name__, error)
";
    insta::assert_snapshot!(stdout_of(source), @r"
Point(x=1, y=0.5, tags=['t']) True {'x': 1, 'y': 0.5, 'tags': ['t']}
[Point(x=1, y=9.0, tags=[]), Point(x=2, y=0.5, tags=[])] Point(x=3, y=0.5, tags=['t']) True
[<Colour.RED: 1>, Pair(a=1, b='b')] __main__ Point
FrozenInstanceError cannot assign to field 'x'
");
}

#[test]
fn coroutines_sleep_concurrently_and_without_real_time() {
    let source = "\
import asyncio, time
async def work(name, pause):
    await asyncio.sleep(pause)
    print(name)
    return name
async def main():
    started = time.monotonic()
    names = await asyncio.gather(work('slow', 3), work('fast', 1), work('middle', 2))
    print(names, round(time.monotonic() - started))
    try:
        async with asyncio.timeout(5):
            await asyncio.sleep(60)
    except TimeoutError:
        print('too slow')
    queue = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.put('passed on'))
        group.create_task(work('last', 0.1))
    print(await queue.get())
asyncio.run(main())";
    let ran = test_program(source).in_worker();
    insta::assert_snapshot!(ran.stdout(), @r"
fast
middle
slow
['slow', 'fast', 'middle'] 3
too slow
last
passed on
");
    assert!(ran.took.as_secs() < 3, "{:?}", ran.took);
    assert_eq!(stdout_of("import asyncio\nawait asyncio.sleep(1)\nprint('at the top')"), "at the top\n");
}

#[test]
fn input_shows_its_prompt_and_raises_at_the_end() {
    let source = "\
import sys
name = input('name? ')
print('hello', name)
print(sys.stdin.readline(), end='')
print([line.strip() for line in sys.stdin])
try:
    input()
except EOFError as error:
    print('EOFError', error)";
    let ran = test_program(source).with_stdin("Ada\n1815\nä\nb").in_worker();
    insta::assert_snapshot!(ran.stdout(), @r"
name? hello Ada
1815
['ä', 'b']
EOFError EOF when reading a line
");
    let bytes = test_program("import sys; print(sys.stdin.buffer.read())").with_stdin("ä\n").in_worker();
    assert_eq!(bytes.stdout(), "b'\\xc3\\xa4\\n'\n");
}

#[test]
fn all_time_zones_are_available() {
    let source = "\
from datetime import datetime, timezone
from zoneinfo import ZoneInfo, available_timezones
moment = datetime(2024, 7, 1, 12, tzinfo=timezone.utc)
for name in ('Europe/Berlin', 'America/New_York', 'Asia/Kolkata'):
    print(moment.astimezone(ZoneInfo(name)).isoformat())
print(len(available_timezones()) > 400)";
    insta::assert_snapshot!(stdout_of(source), @r"
2024-07-01T14:00:00+02:00
2024-07-01T08:00:00-04:00
2024-07-01T17:30:00+05:30
True
");
}

#[test]
fn the_last_expression_is_shown_as_a_notebook_shows_it() {
    let shown = |source: &str| {
        let ran = test_program(source).in_worker();
        ran.stdout();
        ran.output.results.iter().map(|shown| shown.data["text/plain"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(shown("x = 2\nx ** 100"), ["1267650600228229401496703205376"]);
    assert_eq!(shown("'text'"), ["'text'"]);
    for nothing in ["None", "print(1)", "x = 1", "1;", "[].append(1)", "if True:\n    5", ""] {
        assert!(shown(nothing).is_empty(), "{nothing}");
    }
    assert_eq!(shown("display(1, 'two')\n3"), ["1", "'two'", "3"]);
    let html = test_program("class A:\n    def _repr_html_(self): return '<b>a</b>'\nA()").in_worker();
    assert_eq!(html.output.results[0].data["text/html"], "<b>a</b>");
}

#[test]
fn files_that_a_program_writes_can_be_read_in_every_way() {
    let source = "\
import csv, glob, io, json, os, pathlib, shutil, tempfile, zipfile
with open('/tmp/a.txt', 'w') as f:
    f.write('one\\ntwo\\n')
with open('/tmp/a.txt', 'a') as f:
    f.write('three')
print([line.strip() for line in open('/tmp/a.txt')], os.path.getsize('/tmp/a.txt'))
with open('rows.csv', 'w', newline='') as f:
    csv.writer(f).writerows([['n', 'square'], [3, 9]])
print(list(csv.DictReader(open('rows.csv'))))
json.dump({'k': [1, None]}, open('data.json', 'w'))
print(json.load(open('data.json')))
folder = pathlib.Path('folder/deep')
folder.mkdir(parents=True)
(folder / 'p.bin').write_bytes(bytes(range(5)))
print((folder / 'p.bin').read_bytes(), sorted(p.name for p in pathlib.Path('.').rglob('*')))
with tempfile.TemporaryDirectory() as place:
    shutil.copytree('folder', os.path.join(place, 'copy'))
    print(sorted((len(d), len(f)) for _, d, f in os.walk(place)))
print(os.path.exists(place))
with tempfile.NamedTemporaryFile('w+', suffix='.txt') as f:
    f.write('kept')
    f.seek(0)
    print(f.read())
with zipfile.ZipFile('all.zip', 'w', zipfile.ZIP_DEFLATED) as z:
    z.write('data.json')
    z.writestr('inside/note.txt', 'zipped')
with zipfile.ZipFile('all.zip') as z:
    print(z.namelist(), z.read('inside/note.txt'), z.testzip())
shutil.make_archive('packed', 'gztar', 'folder')
shutil.unpack_archive('packed.tar.gz', 'unpacked')
print(glob.glob('unpacked/**/*.bin', recursive=True))
os.rename('rows.csv', 'moved.csv'); os.remove('data.json'); shutil.rmtree('unpacked')
print(sorted(os.listdir('.')), os.getcwd() == os.path.abspath('.'))
try:
    open('missing.txt')
except FileNotFoundError as error:
    print(error, error.errno)
with open('moved.csv', 'r+') as f:
    f.seek(2); f.write('X'); f.truncate(4); f.seek(0)
    print(repr(f.read()))";
    insta::assert_snapshot!(stdout_of(source), @r"
['one', 'two', 'three'] 13
[{'n': '3', 'square': '9'}]
{'k': [1, None]}
b'\x00\x01\x02\x03\x04' ['data.json', 'deep', 'folder', 'p.bin', 'rows.csv']
[(0, 1), (1, 0), (1, 0)]
False
kept
['data.json', 'inside/note.txt'] b'zipped' None
['unpacked/deep/p.bin']
['all.zip', 'folder', 'moved.csv', 'packed.tar.gz'] True
[Errno 2] No such file or directory: 'missing.txt' 2
'n,Xq'
");
}
