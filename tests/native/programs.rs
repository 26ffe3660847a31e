//! The promises of the native tier to Python programs.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use switchtower_contract::conformance::{PYTHON, TestPrograms, run_kernel_suite, run_suite};
use switchtower_contract::{Backend as _, Event, Events, Exit, Fault, File, Language, Need, Spec};
use switchtower_native::{Config, Native, WorkerLifetime};

use super::harness::{PROFILES, harness, run_in_profiles, size, stdouts_of};
use crate::backend::harness::{TestProgram, first_event, open, test_program};

const SECOND: Duration = Duration::from_secs(1);

/// Only this module is missing. The worker enforces the deadlines, on a machine that may be busy.
const PROGRAMS: TestPrograms = TestPrograms {
    missing_module: Some(("import tensorflow", "tensorflow")),
    tolerance: Duration::from_millis(500),
    ..PYTHON
};

#[test]
fn the_backend_passes_the_conformance_suite_in_both_profiles() {
    let Some(harness) = harness() else { return };
    for profile in harness.profiles() {
        let report = harness.block_on(run_suite(harness.of(*profile), &PROGRAMS));
        report.verdict().unwrap_or_else(|broken| panic!("{profile:?}: {broken}"));
        assert!(report.kept.len() >= 23, "{report}");
    }
}

#[test]
fn its_kernels_pass_the_conformance_suite_in_both_profiles() {
    let Some(harness) = harness() else { return };
    for profile in harness.profiles() {
        let report = harness.block_on(run_kernel_suite(harness.of(*profile), &PROGRAMS));
        report.verdict().unwrap_or_else(|broken| panic!("{profile:?}: {broken}"));
        assert!(report.kept.len() >= 15, "{report}");
    }
}

const FIGURES: &str = "\
import matplotlib.pyplot as plt
print('before')
plt.plot([1, 2], label='$x^2$'); plt.title('title'); plt.legend(); plt.show()
print('between')
plt.bar([1, 2], [3, 4]); plt.show()
assert not plt.get_fignums()
print('after', flush=True)
fig, ax = plt.subplots(); ax.plot([3, 1])
None";

#[test]
fn figures_are_shown_in_order_with_the_output_and_open_ones_at_the_end() {
    let Some(harness) = harness() else { return };
    for profile in harness.profiles() {
        harness.block_on(async {
            let TestProgram { program, limits } = test_program(FIGURES);
            let (events, mut from) = Events::channel();
            let mut sandbox = open(harness.of(*profile)).await;
            let run = async {
                let ended = sandbox.run(&program, &limits, &events).await;
                drop(events);
                ended
            };
            let mut received = Vec::new();
            let (ended, ()) = tokio::join!(run, async {
                while let Some(event) = from.recv().await {
                    received.push(match event {
                        Event::Stdout(text) => text,
                        Event::Result { data, main: false } => {
                            // Base64 of a PNG's first bytes.
                            assert!(data["image/png"].starts_with("iVBORw0KGgo"), "{data:?}");
                            "figure\n".to_owned()
                        }
                        event => panic!("{event:?}"),
                    });
                }
            });
            assert_eq!(ended.unwrap().exit, Exit::Finished(0));
            assert_eq!(received.concat(), "before\nfigure\nbetween\nfigure\nafter\nfigure\n");
        });
    }
}

/// Returns the value of the last expression by MIME type, in each profile.
fn shown(source: &str) -> Vec<BTreeMap<String, String>> {
    let last = |ran: crate::backend::harness::TestRun| {
        ran.stdout();
        ran.output.results.into_iter().find(|shown| shown.main).unwrap_or_else(|| panic!("{source}")).data
    };
    run_in_profiles(&test_program(source)).into_iter().map(last).collect()
}

#[test]
fn the_last_value_is_shown_as_a_notebook_shows_it() {
    for data in shown("import pandas as pd\npd.DataFrame({'a': [1.5], 'b': ['x']})") {
        assert_eq!(data["text/plain"], "     a  b\n0  1.5  x");
        assert!(data["text/html"].contains("<table border=\"1\" class=\"dataframe\">"), "{data:?}");
    }
    for data in shown("import sympy\nx = sympy.symbols('x')\nsympy.Rational(1, 3) * x") {
        assert_eq!((&*data["text/plain"], &*data["text/latex"]), ("x/3", "$\\displaystyle \\frac{x}{3}$"));
    }
    for data in shown("{'a': [1, 2.5], 'b': None}") {
        assert_eq!(data["text/plain"], "{'a': [1, 2.5], 'b': None}");
        let json: serde_json::Value = serde_json::from_str(&data["application/json"]).unwrap();
        assert_eq!(json, serde_json::json!({ "a": [1, 2.5], "b": null }));
    }
    for data in shown("[1, 2]") {
        assert_eq!(data["application/json"].replace(' ', ""), "[1,2]");
    }
    let own = "class Own:\n    def _repr_html_(self): return '<b>own</b>'\n    \
               def _repr_svg_(self): return '<svg/>'\n    \
               def _repr_markdown_(self): return '*own*'\n    def __repr__(self): return 'own'\nOwn()";
    for data in shown(own) {
        let expected = [("text/html", "<b>own</b>"), ("image/svg+xml", "<svg/>"), ("text/markdown", "*own*")];
        assert!(expected.iter().all(|(mime, text)| data.get(*mime).is_some_and(|it| it == text)), "{data:?}");
        assert_eq!(data["text/plain"], "own");
    }
}

#[test]
fn displayed_values_keep_their_order_with_the_output() {
    let Some(harness) = harness() else { return };
    let source = "from IPython.display import display\nfor n in range(50):\n    print(n)\n    display(n)";
    let expected: String = (0..50).map(|n| format!("{n}\n[{n}]")).collect();
    for profile in harness.profiles() {
        harness.block_on(async {
            let TestProgram { program, limits } = test_program(source);
            let (events, mut from) = Events::channel();
            let mut sandbox = open(harness.of(*profile)).await;
            let run = async {
                sandbox.run(&program, &limits, &events).await.unwrap();
                drop(events);
            };
            let mut received = String::new();
            tokio::join!(run, async {
                while let Some(event) = from.recv().await {
                    match event {
                        Event::Stdout(text) => received.push_str(&text),
                        Event::Result { data, .. } => received.push_str(&format!("[{}]", data["text/plain"])),
                        event => panic!("{event:?}"),
                    }
                }
            });
            assert_eq!(received, expected);
        });
    }
}

#[test]
fn what_was_written_before_a_program_was_ended_arrives_without_a_lines_end_too() {
    let unfinished = "import os, sys\nprint('ha', end='')\nsys.stdout.buffer.write(b'lf')\n\
        print('no', 'te', sep='', end='', file=sys.stderr)\n";
    for (end, exit) in [
        ("while True: pass", Exit::TimedOut),
        ("import time; time.sleep(3600)", Exit::TimedOut),
        ("x = bytearray(1 << 40)", Exit::OutOfMemory),
        ("os._exit(3)", Exit::Finished(3)),
    ] {
        for ran in run_in_profiles(&test_program(&format!("{unfinished}{end}")).within(Duration::from_secs(2))) {
            assert_eq!(
                (ran.exit(), &*ran.output.stdout, &*ran.output.stderr),
                (exit, "half", "note"),
                "{end}: {ran:?}"
            );
        }
    }
}

#[test]
fn a_program_is_a_script_at_a_path_with_its_modules_beside_it() {
    let source = "\
import argparse, os, sys, plain.leaf, random
print(__file__, sys.argv, sys.path[0], os.getcwd(), __name__)
print(len(open(__file__).read()), sorted(os.listdir()), plain.leaf.Z, random.MINE, argparse.ArgumentParser().prog)
";
    let mut program = test_program(source);
    for (path, content) in [("plain/leaf.py", "Z = 3"), ("random.py", "MINE = 4")] {
        program.program.files.push(File { path: path.to_owned(), content: content.into() });
    }
    let expected = format!(
        "/home/user/main.py ['/home/user/main.py'] /home/user /home/user __main__\n\
         {} ['main.py', 'plain', 'random.py'] 3 4 main.py\n",
        source.len()
    );
    for ran in run_in_profiles(&program) {
        assert_eq!(ran.stdout(), expected);
    }
    for printed in stdouts_of("\u{feff}import os\nprint('é', os.listdir())") {
        assert_eq!(printed, "é []\n");
    }
    let lines = test_program("import sys\nprint([input(), sys.stdin.read()])").with_stdin("a\r\nb\r\n");
    for ran in run_in_profiles(&lines) {
        assert_eq!(ran.stdout(), "['a\\r', 'b\\r\\n']\n");
    }
}

#[test]
fn input_reads_the_given_text_to_its_end() {
    let source = "import sys\nprint(input('name? '))\nprint([line.strip() for line in sys.stdin])\n\
                  try: input()\nexcept EOFError: print('over')";
    for ran in run_in_profiles(&test_program(source).with_stdin("Ada\nä\nlast")) {
        assert_eq!(ran.stdout(), "name? Ada\n['ä', 'last']\nover\n");
    }
    for ran in run_in_profiles(&test_program("input()")) {
        assert_eq!((ran.exit(), ran.raised()), (Exit::Raised, "EOFError"), "{ran:?}");
    }
}

#[test]
fn a_traceback_has_only_the_programs_frames() {
    for ran in run_in_profiles(&test_program(
        "import numpy as np\ndef half(x):\n    return np.linalg.inv(x)\n\nprint(half(np.zeros((2, 2))))",
    )) {
        let failure = ran.output.error.unwrap();
        assert_eq!((&*failure.name, failure.line), ("LinAlgError", Some(3)));
        assert!(!failure.traceback.contains("switchtower"), "{}", failure.traceback);
    }
    let tracebacks = |source: &str| -> Vec<String> {
        // The marks below a line differ from one Python to the next.
        let is_mark = |line: &&str| !line.trim().is_empty() && line.chars().all(|it| " ~^".contains(it));
        let plain = |text: String| text.lines().filter(|line| !is_mark(line)).collect::<Vec<_>>().join("\n");
        run_in_profiles(&test_program(source))
            .into_iter()
            .map(|ran| plain(ran.output.error.unwrap().traceback))
            .collect()
    };
    for traceback in tracebacks("def half(x):\n    return x / 0\n\nprint(half(1) + 2)") {
        insta::allow_duplicates! {
            insta::assert_snapshot!(traceback, @r#"
Traceback (most recent call last):
  File "/home/user/main.py", line 4, in <module>
    print(half(1) + 2)
  File "/home/user/main.py", line 2, in half
    return x / 0
ZeroDivisionError: division by zero
"#);
        }
    }
    for traceback in tracebacks("x = (1,\nprint(x") {
        insta::allow_duplicates! {
            insta::assert_snapshot!(traceback, @r#"
  File "/home/user/main.py", line 2
    print(x
SyntaxError: '(' was never closed
"#);
        }
    }
}

#[test]
fn exiting_gives_the_exit_code_of_a_shell() {
    for (source, code, stdout, stderr) in [
        ("import sys; sys.exit()", 0, "", ""),
        ("import sys; sys.exit(3)", 3, "", ""),
        ("exit(300)", 44, "", ""),
        ("import sys; sys.exit('it is over')", 1, "", "it is over\n"),
        ("import os\nprint('said', flush=True)\nos._exit(4)", 4, "said\n", ""),
        (
            "import atexit, sys\natexit.register(print, 'last')\nsys.stdout.write('first ')\nsys.exit(2)",
            2,
            "first last\n",
            "",
        ),
    ] {
        for ran in run_in_profiles(&test_program(source)) {
            assert_eq!(ran.exit(), Exit::Finished(code), "{source}");
            assert_eq!(
                (&*ran.output.stdout, &*ran.output.stderr, &ran.output.error),
                (stdout, stderr, &None),
                "{source}"
            );
        }
    }
}

#[test]
fn the_memory_limit_is_an_exception_that_can_be_caught_and_otherwise_ends_the_program() {
    for source in [
        "import numpy as np\nnp.ones((1 << 30,))",
        "x = []\nwhile True: x.append(bytearray(1_000_000))",
        "x = 'x'\nwhile True: x += x",
        "x = []\nwhile True: x.append({i: str(i) for i in range(10_000)})",
    ] {
        for ran in run_in_profiles(&test_program(source)) {
            assert_eq!(ran.exit(), Exit::OutOfMemory, "{source}: {ran:?}");
            assert_eq!(ran.outcome().unmet_need, Some(Need::Memory(256 << 20)), "{source}");
        }
    }
    let source =
        "try: x = bytearray(400 << 20)\nexcept MemoryError: print('less, then')\nprint(len(bytearray(100 << 20)))";
    for ran in run_in_profiles(&test_program(source)) {
        assert_eq!((ran.exit(), &*ran.output.stdout), (Exit::Finished(0), "less, then\n104857600\n"));
        let used = ran.outcome().usage.memory;
        assert!((90 << 20..=256 << 20).contains(&used), "{used}");
    }
}

#[test]
fn files_count_as_memory_even_if_they_are_removed_before_the_end() {
    const MB: u64 = 1 << 20;
    let used = |source: &str| -> Vec<u64> {
        let used = |ran: crate::backend::harness::TestRun| {
            ran.stdout();
            ran.outcome().usage.memory
        };
        run_in_profiles(&test_program(source)).into_iter().map(used).collect()
    };
    for used in used("print('nothing')") {
        assert!(used < 24 * MB, "{used}");
    }
    let both = "chunk = b'x' * (1 << 20)\nfor n in range(60):\n    \
                for path in (f'/tmp/{n}', f'/home/user/{n}'): open(path, 'wb').write(chunk)\nprint('120 MB')";
    for used in used(both) {
        // The memory of a program is limited to 256 MB, its files to 128 MB.
        assert!((120 * MB..150 * MB).contains(&used), "{used}");
    }
    let removed = "import os, time\nopen('/tmp/large', 'wb').write(b'x' * (80 << 20))\ntime.sleep(0.3)\n\
                   os.remove('/tmp/large')\nprint('gone')";
    for used in used(removed) {
        assert!((80 * MB..200 * MB).contains(&used), "{used}");
    }
}

#[test]
fn an_endless_program_is_ended_at_its_deadline() {
    for source in [
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "import numpy as np\nx = np.ones((800, 800))\nwhile True: x @ x",
        "import time; time.sleep(3600)",
        "import threading; threading.Event().wait(3600)",
    ] {
        for ran in run_in_profiles(&test_program(source).within(SECOND / 2)) {
            assert_eq!(ran.exit(), Exit::TimedOut, "{source}");
            assert!(ran.took < 2 * SECOND, "{source}: {:?}", ran.took);
        }
    }
}

#[test]
fn output_arrives_while_the_program_runs() {
    let Some(harness) = harness() else { return };
    for profile in harness.profiles() {
        harness.block_on(async {
            let TestProgram { program, limits } = test_program("print('first')\nwhile True: pass");
            let (events, mut from) = Events::channel();
            let mut sandbox = open(harness.of(*profile)).await;
            let mut run = std::pin::pin!(sandbox.run(&program, &limits, &events));
            // The run would go on for another half minute; it is dropped here.
            assert_eq!(first_event(run.as_mut(), &mut from).await, Event::Stdout("first\n".into()));
        });
    }
}

#[test]
fn output_is_cut_at_its_limit_and_reported_as_truncated() {
    for ran in
        run_in_profiles(&test_program("import sys\nfor i in range(3000): print('ä' * 512); print(i, file=sys.stderr)"))
    {
        assert_eq!((ran.exit(), ran.outcome().truncated), (Exit::Finished(0), true));
        let kept = ran.output.stdout.len() + ran.output.stderr.len();
        // A character that the limit cuts in two is replaced by another one, which may be longer.
        assert!(((1 << 20) - 4..=(1 << 20) + 4).contains(&kept), "{kept}");
    }
    for ran in run_in_profiles(&test_program("print('x' * (1 << 20), end='')")) {
        assert!(!ran.outcome().truncated && ran.stdout().len() == 1 << 20);
    }
}

#[test]
fn a_program_has_its_own_inputs_and_nothing_of_the_one_before() {
    let source = "\
import getpass, os, tempfile
print(os.getcwd(), os.path.expanduser('~'), os.environ.get('TOKEN'), sorted(os.listdir('.')))
print([it for it in os.scandir('/tmp') if it.is_file()])
print(open('table.csv').read(), open('deep/er/note').read())
open('/tmp/left', 'w').write('x'); open('left', 'w').write('x')
with tempfile.NamedTemporaryFile() as file: print(file.name.startswith('/tmp/'))";
    let mut given = test_program(source);
    let file = |path: &str, content: &[u8]| File { path: path.to_owned(), content: content.to_vec() };
    given.program.files = vec![file("table.csv", b"a,b"), file("/home/user/deep/er/note", b"noted")];
    given.program.env = Some([("TOKEN".to_owned(), "t".to_owned())].into());
    for _ in 0..2 {
        for ran in run_in_profiles(&given) {
            assert_eq!(ran.stdout(), "/home/user /home/user t ['deep', 'table.csv']\n[]\na,b noted\nTrue\n");
        }
    }
    for printed in stdouts_of("import os\nprint(os.environ.get('TOKEN'), os.listdir('.'), os.path.exists('/tmp/left'))")
    {
        assert_eq!(printed, "None [] False\n");
    }
}

#[test]
fn unseeded_values_differ_between_runs() {
    let source = "import random, uuid, secrets, numpy as np, tempfile\n\
                  draws = (random.random, np.random.rand, np.random.default_rng().random, uuid.uuid4, secrets.token_hex,\n\
                  lambda: next(tempfile._get_candidate_names()))\nfor draw in draws: print(draw())";
    let runs: Vec<String> = (0..3).flat_map(|_| stdouts_of(source)).collect();
    let mut drawn: Vec<&str> = runs.iter().flat_map(|run| run.lines()).collect();
    let count = drawn.len();
    assert_eq!(count, runs.len() * 6);
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), count, "{runs:?}");
}

/// Programs, each with its need and with its exception if there is no other tier.
const NEEDS: [(&str, &str, &str); 10] = [
    ("import tensorflow", "the module tensorflow", "ModuleNotFoundError"),
    ("__import__('tor' + 'ch')", "the module torch", "ModuleNotFoundError"),
    (
        "print(open('/etc/passwd').read())",
        "files outside its memory (/etc/passwd)",
        "FileNotFoundError PermissionError",
    ),
    (
        "open('/data/table.csv', 'w')",
        "files outside its memory (/data/table.csv)",
        "FileNotFoundError PermissionError OSError",
    ),
    (
        "import pandas as pd; pd.read_csv('/data/table.csv')",
        "files outside its memory (/data/table.csv)",
        "FileNotFoundError PermissionError",
    ),
    ("import urllib.request as u; u.urlopen('https://example.org/x')", "the network (example.org)", "URLError"),
    ("import pandas as pd; pd.read_csv('https://example.org/x.csv')", "the network (example.org)", "URLError"),
    ("import socket; socket.create_connection(('192.0.2.1', 80))", "the network (192.0.2.1:80)", "OSError"),
    ("import subprocess; subprocess.run(['git', 'status'])", "other processes (git status)", "FileNotFoundError"),
    ("import os; os.fork()", "other processes (os.fork)", "PermissionError"),
];

#[test]
fn a_need_escalates_or_is_reported_with_the_programs_exception() {
    for (source, need, exceptions) in NEEDS {
        for ran in run_in_profiles(&test_program(source).on_need()) {
            let Err(Fault::Unsupported(named)) = &ran.ended else { panic!("{source}: {ran:#?}") };
            assert_eq!(named.to_string(), need, "{source}");
        }
        for ran in run_in_profiles(&test_program(source)) {
            assert_eq!(ran.exit(), Exit::Raised, "{source}: {ran:#?}");
            assert!(exceptions.split(' ').any(|name| name == ran.raised()), "{source}: {}", ran.raised());
            assert_eq!(ran.outcome().unmet_need.as_ref().map(ToString::to_string).as_deref(), Some(need), "{source}");
        }
    }
    // A shell that cannot run a command says so and does not raise.
    let line = "import os; print(os.system('id'))";
    for ran in run_in_profiles(&test_program(line).on_need()) {
        assert!(matches!(&ran.ended, Err(Fault::Unsupported(Need::Process(_)))), "{ran:#?}");
    }
    for ran in run_in_profiles(&test_program(line)) {
        let need = Some(Need::Process("id".to_owned()));
        assert_eq!((ran.exit(), &ran.outcome().unmet_need), (Exit::Finished(0), &need), "{ran:#?}");
    }
}

#[test]
fn memory_time_files_beyond_the_limit_and_seeded_clocks_are_needs() {
    let large = test_program("open('a', 'wb').truncate(1 << 30)");
    for ran in run_in_profiles(&large) {
        assert_eq!((ran.raised(), &ran.outcome().unmet_need), ("OSError", &Some(Need::Disk)));
    }
    for ran in run_in_profiles(&large.on_need()) {
        assert_eq!(ran.ended, Err(Fault::Unsupported(Need::Disk)));
    }
    for ran in run_in_profiles(&test_program("x = []\nwhile True: x.append(bytearray(1 << 20))").on_need()) {
        assert!(matches!(ran.ended, Err(Fault::Unsupported(Need::Memory(_)))), "{:?}", ran.ended);
    }
    let wall = SECOND / 2;
    for ran in run_in_profiles(&test_program("while True: pass").within(wall).on_need()) {
        assert_eq!(ran.ended, Err(Fault::Unsupported(Need::Time(wall))));
    }
    for ran in run_in_profiles(&test_program("print(1)").seeded(7)) {
        assert!(matches!(ran.ended, Err(Fault::Unsupported(Need::Language(_)))), "{:?}", ran.ended);
    }
}

#[test]
fn an_error_that_every_tier_would_raise_is_not_a_need() {
    for source in
        ["open('missing.txt')", "open('/tmp/missing.txt')", "import os; os.rmdir('nothing')", "open('/tmp')", "1 / 0"]
    {
        for ran in run_in_profiles(&test_program(source).on_need()) {
            assert_eq!((ran.exit(), &ran.outcome().unmet_need), (Exit::Raised, &None), "{source}");
        }
    }
}

#[test]
fn a_worker_past_its_lifetime_is_replaced_without_a_failed_program() {
    let Some(harness) = harness() else { return };
    let profile = *harness.profiles().last().unwrap();
    let alias = harness.alias("renewed");
    let lifetime = WorkerLifetime { max_runs: 3, max_age: Duration::from_secs(3600) };
    let native = Native::new(alias.installation(), Config { workers: 1, lifetime, ..size(profile) });
    harness.block_on(async {
        native.ensure_started().await.unwrap();
        let first = alias.workers();
        let mut programs = 0_u64;
        let mut hashes = std::collections::BTreeSet::new();
        while hashes.len() < 2 {
            let ran = test_program("print(hash('a'))").run(&native).await;
            hashes.insert(ran.stdout().to_owned());
            programs += 1;
            assert!(programs < 100_000, "it is never replaced");
        }
        assert!(programs > 3 && alias.workers() != first, "{programs}");
        native.shutdown().await;
    });
}

#[test]
fn the_tier_is_absent_if_the_self_test_of_a_worker_fails() {
    let Some(harness) = harness() else { return };
    for (name, script, reason) in [
        ("nonsense", "#!/bin/sh\nhead -c 64 /dev/zero >&0\nsleep 5\n", "the worker"),
        ("silent", "#!/bin/sh\nexit 3\n", "the worker ended before it was ready"),
    ] {
        let alias = harness.alias(name);
        let worker = alias.folder().join("switchtower-native");
        std::fs::remove_file(&worker).unwrap();
        std::fs::write(&worker, script).unwrap();
        std::fs::set_permissions(&worker, std::fs::Permissions::from_mode(0o755)).unwrap();
        let native = Native::new(alias.installation(), size(PROFILES[1]));
        harness.block_on(async {
            let why = native.ensure_started().await.unwrap_err().to_string();
            assert!(why.starts_with(reason), "{why}");
            let opened = native.open(&Spec::new(Language::Python)).await;
            assert!(matches!(opened.map(drop), Err(Fault::Refused { retry_after: None, .. })));
        });
    }
}
