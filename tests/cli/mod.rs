//! The command line: output and exit codes. Programs run in the real engine.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The exit code and output of a command.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchtower"));
    // Settings of the user who runs the tests are ignored, except the folder of the compiled guest.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SWITCHTOWER_")) {
        if name != "SWITCHTOWER_WASM_CACHE_FOLDER" {
            command.env_remove(name);
        }
    }
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("E2B_")) {
        command.env_remove(name);
    }
    // Whether a host can start machines does not change these tests.
    command.env("SWITCHTOWER_MACHINE_ENABLED", "false");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments);
    command
}

fn switchtower(arguments: &[&str], input: &str) -> Ended {
    let mut command = command(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it is built");
    // A command that reads nothing may have ended already.
    let _ = child.stdin.take().expect("its input is a pipe").write_all(input.as_bytes());
    let ended = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    Ended { code: ended.status.code().expect("no signal"), out: text(ended.stdout), err: text(ended.stderr) }
}

#[test]
fn a_program_prints_its_output_its_last_value_and_where_it_ran() {
    let ended = switchtower(&["run", "examples/loan.py"], "");
    assert_eq!(ended.code, 0, "{}", ended.err);
    insta::assert_snapshot!(ended.out, @r"
   200000 at 3.9 %, 1100 a month: 23 years  0 months, interest  103014.81
   200000 at 3.9 %, 1300 a month: 17 years 10 months, interest   77709.78
{'saved': '25305.03'}
");
    let last = ended.err.lines().last().unwrap();
    assert!(last.starts_with("switchtower: ran in wasm, ") && last.ends_with("no effects: runs in wasm)"), "{last}");
    assert_eq!(switchtower(&["run", "--quiet", "-c", "1"], "").err, "");
}

#[test]
fn every_example_runs() {
    let pendulum = switchtower(&["run", "examples/pendulum.py"], "");
    insta::assert_snapshot!(pendulum.out, @r"
motion: pi*cos(sqrt(g)*t/sqrt(l))/6
exact period / small-angle period: 1.0174088
1.0174088
");
    let weather = switchtower(&["run", "--stdin", "examples/weather.csv", "examples/weather.py"], "");
    insta::assert_snapshot!(weather.out, @r#"
{
  "stations": {
    "harbour": {
      "n": 3,
      "mean": 17.43,
      "max": 18.1
    },
    "summit": {
      "n": 2,
      "mean": 5.25,
      "max": 5.6
    }
  },
  "unreadable rows": 1
}
"#);
    let retry = switchtower(&["run", "examples/retry.py"], "");
    insta::assert_snapshot!(retry.out, @r"
1 attempts:  20.22% fail, mean wait 0.000 s, p99 0.00 s
2 attempts:   3.68% fail, mean wait 0.095 s, p99 0.94 s
4 attempts:   0.12% fail, mean wait 0.140 s, p99 2.20 s
");
    assert_eq!((pendulum.code, weather.code, retry.code), (0, 0, 0));
}

#[test]
fn the_exit_code_is_the_programs_own() {
    for (code, arguments) in [
        (0, &["run", "-c", "None"][..]),
        (7, &["run", "-c", "raise SystemExit(7)"]),
        (1, &["run", "-c", "1/0"]),
        (124, &["run", "--timeout", "200ms", "-c", "while True: pass"]),
        (137, &["run", "-c", "import os; os.abort()"]),
    ] {
        let ended = switchtower(arguments, "");
        assert_eq!(ended.code, code, "{arguments:?}: {}", ended.err);
    }
    let raised = switchtower(&["run", "-q", "-c", "print(1)\n1/0"], "");
    assert_eq!(raised.out, "1\n");
    assert!(raised.err.ends_with("ZeroDivisionError: division by zero\n"), "{}", raised.err);
}

#[test]
fn standard_input_is_the_program_or_its_input() {
    assert_eq!(switchtower(&["run", "-"], "print('from here')").out, "from here\n");
    let echo = ["run", "--stdin", "-", "-c", "print(input('? '))"];
    assert_eq!(switchtower(&echo, "text\n").out, "? text\n");
    assert_eq!(switchtower(&["run", "--input", "text", "-c", "print(input())"], "").out, "text\n");
    let seeded = ["run", "--deterministic", "--seed", "7", "-c", "import random, time; (random.random(), time.time())"];
    assert_eq!(switchtower(&seeded, "").out, switchtower(&seeded, "").out);
}

#[test]
fn wrong_or_contradictory_arguments_end_with_exit_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let workload = one_program(folder.path());
    for arguments in [
        &["run"][..],
        &["run", "a.py", "-c", "1"],
        &["run", "-", "--stdin", "-"],
        &["run", "--stdin", "a", "--input", "b", "-c", "1"],
        &["run", "--seed", "3", "-c", "1"],
        &["run", "--timeout", "soon", "-c", "1"],
        &["run", "--env", "NAME", "-c", "1"],
        &["run", "--isolation", "paper", "-c", "1"],
        &["run", "--memory-mb", "0", "-c", "1"],
        &["run", "--tier", "moon", "-c", "1"],
        &["workload", "--tier", "moon", &workload],
        &["run", "there-is-no-such-file.py"],
        &["serve", "--listen", "127.0.0.1:1", "--port", "2"],
        &["serve", "--listen", "0.0.0.0"],
        &["serve", "--listen", "everywhere"],
        &["--config", "there-is-no-such-file.toml", "config"],
    ] {
        let ended = switchtower(arguments, "");
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{arguments:?}: {}", ended.err);
        assert!(!ended.err.is_empty(), "{arguments:?}");
    }
    assert_eq!(switchtower(&["run", "--isolation", "micro_vm", "-c", "1"], "").code, 126);
}

#[test]
fn a_server_whose_settings_cannot_be_kept_says_why_in_one_line_before_a_tier_starts() {
    for (arguments, reason) in [
        (&["serve", "--port", "0", "--force-remote"][..], "rules.force_remote is set, but there is no remote tier"),
        (&["serve", "--port", "0", "--rules", "there-is-no-such-folder"], "there-is-no-such-folder"),
    ] {
        let ended = switchtower(arguments, "");
        assert_eq!((ended.code, ended.err.lines().count()), (2, 1), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(reason), "{}", ended.err);
    }
}

#[test]
fn output_that_cannot_be_written_ends_with_exit_code_125() {
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["--version"],
        &["version"],
        &["config"],
        &["explain", "-c", "1"],
        &["run", "-c", "1"],
        &["run", "-c", "raise SystemExit(7) if print(1) is None else 0"],
        &["run", "--json", "-c", "1"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("it exists");
        let ended = command(arguments).stdin(Stdio::null()).stdout(full).output().expect("it is built");
        let err = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(125), "{arguments:?}: {err}");
        assert!(err.contains("switchtower: cannot write to standard output: "), "{arguments:?}: {err}");
        // A closed pipe is no error.
        let (reader, closed) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ended = command(arguments).stdin(Stdio::null()).stdout(closed).output().expect("it is built");
        assert!(matches!(ended.status.code(), Some(0 | 7)), "{arguments:?}: {:?}", ended.status);
    }
}

#[test]
fn an_input_larger_than_its_limit_is_refused_before_all_of_it_is_read() {
    for (arguments, limit) in [
        (&["run", "/dev/zero"][..], "code must be at most 1048576 bytes"),
        (&["explain", "/dev/zero"], "code must be at most 1048576 bytes"),
        (&["run", "--stdin", "/dev/zero", "-c", "1"], "stdin must be at most 4194304 bytes"),
        (&["run", "--file", "/dev/zero", "-c", "1"], "files must be at most 8388608 bytes"),
        (&["run", "--file", "README.md", "--file", "/dev/zero", "-c", "1"], "files must be at most 8388608 bytes"),
        (&["workload", "/dev/zero"], "/dev/zero, line 1: a line must be at most 67108864 bytes"),
        (&["--config", "/dev/zero", "config"], "/dev/zero: a settings file must be at most 1048576 bytes"),
    ] {
        let ended = switchtower(arguments, "");
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(limit), "{arguments:?}: {}", ended.err);
    }
    // An input of just the limit is accepted.
    let program = format!("print(1) #{}", "x".repeat((1 << 20) - "print(1) #".len()));
    assert_eq!(switchtower(&["run", "-"], &program).out, "1\n");
    assert_eq!(switchtower(&["run", "-"], &format!("{program}x")).code, 2);
}

/// Writes a workload of one program without a category, and returns its path.
fn one_program(folder: &Path) -> String {
    let path = folder.join("one.jsonl");
    std::fs::write(&path, "{\"id\": \"one\", \"code\": \"1\"}\n\n").expect("a writable folder");
    path.display().to_string()
}

#[test]
fn a_folder_without_cases_and_a_file_without_programs_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy("router-rules/default.rhai", folder.path().join("default.rhai")).expect("the built-in rules");
    let (rules, workload) = (folder.path().display().to_string(), one_program(folder.path()));
    for (arguments, message) in [
        (&["rules", "test", &rules][..], "has no test cases: each is a table `[[case]]` in a file named *.cases.toml"),
        (&["workload", "/dev/null"], "/dev/null has no programs: each line must be a JSON object"),
        (&["workload", "--category", "nope", &workload], "one.jsonl; its programs have no `category`"),
    ] {
        let ended = switchtower(arguments, "");
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(message), "{arguments:?}: {}", ended.err);
    }
    assert_eq!(switchtower(&["rules", "test", "router-rules"], "").code, 0);
}

#[test]
fn modules_beside_a_program_and_folders_that_are_given_go_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
        std::fs::write(path, text).expect("a writable folder");
    };
    write("main.py", "import helper, package.deep, plain.leaf\nprint(helper.X, package.deep.Y, plain.leaf.Z)");
    write("helper.py", "from other import X");
    write("other.py", "X = 1");
    write("package/__init__.py", "");
    write("package/deep.py", "Y = 2");
    write("plain/leaf.py", "Z = 3");
    write("unrelated.py", "1 / 0");
    write("data/inner/numbers.txt", "4");
    write("data/.hidden", "5");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let ended = switchtower(&["run", "--quiet", &path("main.py")], "");
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "1 2 3\n", ""));
    write("main.mjs", "import { x } from './lib/a.mjs'\nconsole.log(x)");
    write("lib/a.mjs", "export { x } from '../b.mjs'");
    write("b.mjs", "export const x = 7");
    let ended = switchtower(&["run", "--quiet", &path("main.mjs")], "");
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "7\n", ""));
    write("main.go", "package main");
    let ended = switchtower(&["run", "--quiet", &path("main.go")], "");
    assert!(ended.code == 2 && ended.err.contains("no language here has files that end with .go"), "{}", ended.err);
    let list = "import os\nprint([(f, n) for f, _, n in os.walk('.')])\nprint(open('data/inner/numbers.txt').read())";
    let ended = switchtower(&["run", "--quiet", "--file", &path("data"), "-c", list], "");
    let listed = "[('.', []), ('./data', []), ('./data/inner', ['numbers.txt'])]\n4\n";
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, listed, ""));
    for survived in [
        "try:\n    import helper\nexcept ImportError:\n    print(1)",
        "import socket\ntry:\n    socket.create_connection(('192.0.2.1', 80))\nexcept OSError:\n    print(1)",
        "import os\nprint(len(os.listdir('/')) and 1)",
    ] {
        let ended = switchtower(&["run", "-c", survived], "");
        assert_eq!(
            (ended.code, ended.out.as_str(), ended.err.contains("it needs")),
            (0, "1\n", false),
            "{}",
            ended.err
        );
    }
    let missing = switchtower(&["run", "-c", "import helper"], "");
    let note =
        "it needs the module helper; if it is your own, add helper.py or its folder to the files, or set E2B_API_KEY";
    assert!(missing.err.contains(note), "{}", missing.err);
}
