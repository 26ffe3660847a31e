//! Limits of time, memory and output, and how programs end that exceed them.

use std::time::Duration;

use switchtower_contract::{Backend, Event, Events, Exit, Fault, Need};

use super::harness::{TestProgram, TestRun, first_event, harness, next_program_runs, open, test_program};

const SECOND: Duration = Duration::from_secs(1);
/// How late the tier may end a program.
const TOLERANCE: Duration = Duration::from_millis(50);

/// Asserts that a program is ended in time, in the best of three runs: a busy machine may be late once.
fn assert_on_time(run: impl Fn() -> TestRun, wall: Duration) {
    let lateness = || {
        let ran = run();
        assert_eq!(ran.exit(), Exit::TimedOut, "{ran:?}");
        ran.took.saturating_sub(wall)
    };
    let late = lateness();
    assert!(late <= TOLERANCE || lateness() <= TOLERANCE || lateness() <= TOLERANCE, "{late:?} late");
}

#[test]
fn an_endless_program_is_ended_within_50_ms_of_its_deadline() {
    for source in [
        "while True: pass",
        "while True:\n    try:\n        while True: pass\n    except BaseException:\n        pass",
        "sum(iter(int, 1))",
        "import re; re.match('(a+)+$', 'a' * 60 + 'b')",
        "9 ** 9 ** 9",
        "import time\nwhile True: time.sleep(0)",
    ] {
        let wall = Duration::from_millis(300);
        let endless = test_program(source).within(wall);
        assert_on_time(|| endless.in_worker(), wall);
        assert_on_time(|| endless.in_process(), wall);
    }
    next_program_runs();
}

#[test]
fn sleeping_past_the_deadline_ends_at_once_and_sleeping_before_it_costs_nothing() {
    for source in [
        "import time; time.sleep(3600)",
        "import asyncio; asyncio.run(asyncio.sleep(3600))",
        "import time\nwhile True:\n    try: time.sleep(0.4)\n    except BaseException: pass",
        "import select; select.select([], [], [], 3600)",
        "import threading; threading.Event().wait(3600)",
    ] {
        let ran = test_program(source).within(SECOND).in_worker();
        assert_eq!(ran.exit(), Exit::TimedOut, "{source}: {ran:?}");
        assert!(ran.took < SECOND, "{source}: {:?}", ran.took);
    }
    let source = "import time\na = time.time()\ntime.sleep(20)\nprint(round(time.time() - a))";
    let ran = test_program(source).in_worker();
    assert_eq!(ran.stdout(), "20\n");
    assert!(ran.took < 5 * SECOND, "{:?}", ran.took);
}

#[test]
fn the_deadline_is_a_need_if_another_tier_is_available() {
    let wall = Duration::from_millis(200);
    let ran = test_program("while True: pass").within(wall).on_need().in_worker();
    assert_eq!(ran.ended, Err(Fault::Unsupported(Need::Time(wall))));
}

/// Prints to both streams without a line's end.
const UNFINISHED: &str = "import os, sys\nprint('ha', end='')\nsys.stdout.buffer.write(b'lf')\n\
    print('no', 'te', sep='', end='', file=sys.stderr)\n";

#[test]
fn what_was_written_before_a_program_was_ended_arrives_without_a_lines_end_too() {
    let ends = [
        ("while True: pass", SECOND, Exit::TimedOut),
        ("import time; time.sleep(3600)", SECOND, Exit::TimedOut),
        ("x = 'x'\nwhile True: x += x", 60 * SECOND, Exit::OutOfMemory),
        ("os._exit(3)", 60 * SECOND, Exit::Finished(3)),
    ];
    for (end, wall, exit) in ends {
        let program = test_program(&format!("{UNFINISHED}{end}")).within(wall);
        for ran in [program.in_worker(), program.in_process()] {
            assert_eq!(
                (ran.exit(), &*ran.output.stdout, &*ran.output.stderr),
                (exit, "half", "note"),
                "{end}: {ran:?}"
            );
        }
    }
    let large = "import sys\nprint('x' * 3_000_000, end='')\nsys.stdout.buffer.write(bytearray(b'y') * 3_000_000)\n\
        while True: pass";
    let mut large = test_program(large).within(3 * SECOND);
    large.limits.output = 10_000_000;
    assert_eq!(large.in_worker().output.stdout.len(), 6_000_000);
}

#[test]
fn a_deeply_nested_value_ends_as_in_cpython_and_never_kills_the_interpreter() {
    // The end of such a value recurses as deep as it is nested.
    for (make, depth) in [
        ("[x]", 1_000_000),
        ("(x,)", 1_000_000),
        ("x.__call__", 1_000_000),
        ("{1: x}", 500_000),
        ("functools.partial(str, x)", 300_000),
    ] {
        let source =
            format!("import functools\nx = int.__add__\nfor _ in range({depth}): x = {make}\ndel x\nprint('end')");
        assert_eq!(test_program(&source).within(60 * SECOND).in_worker().stdout(), "end\n", "{make}");
    }
    let raise = "import json, pickle\nx = []\nfor _ in range(100_000): x = [x]\n\
        for deep in (repr, json.dumps, pickle.dumps, lambda x: x == eval(repr(x)), lambda x: json.loads('[' * 100_000),\n\
        \x20       lambda x: compile('-' * 100_000 + '1', 'x', 'exec'), lambda x: compile('a' + '.b' * 100_000, 'x', 'exec')):\n\
        \x20   try: deep(x)\n\
        \x20   except (RecursionError, MemoryError) as error: print(type(error).__name__)";
    let errors = test_program(raise).within(60 * SECOND).in_worker();
    assert_eq!(errors.stdout().lines().count(), 7, "{errors:?}");
    next_program_runs();
}

const BOMB: &str = "x = []\nwhile True: x.append(bytearray(1_000_000))";

#[test]
fn a_memory_bomb_runs_out_of_memory_and_the_next_program_runs() {
    for source in [
        BOMB,
        "x = 'x'\nwhile True: x += x",
        "x = [0] * 10**9",
        "x = []\nwhile True: x.append({i: str(i) for i in range(10_000)})",
    ] {
        let bomb = test_program(source);
        assert_eq!(
            (bomb.in_worker().exit(), bomb.in_process().exit()),
            (Exit::OutOfMemory, Exit::OutOfMemory),
            "{source}"
        );
        next_program_runs();
    }
    let moved = test_program(BOMB).on_need().in_worker();
    assert_eq!(moved.ended, Err(Fault::Unsupported(Need::Memory(256 << 20))));
}

#[test]
fn a_program_that_catches_its_memory_error_runs_on_and_the_need_is_reported() {
    let source = "try:\n    x = bytearray(400 << 20)\nexcept MemoryError:\n    print('less, then')\nprint(len(bytearray(100 << 20)))";
    let ran = test_program(source).in_worker();
    assert_eq!(ran.output.stdout, "less, then\n104857600\n");
    assert_eq!((ran.exit(), &ran.outcome().unmet_need), (Exit::Finished(0), &Some(Need::Memory(256 << 20))));
    let usage = ran.outcome().usage;
    assert!((100 << 20..=256 << 20).contains(&usage.memory), "{usage:?}");
}

#[test]
fn a_flood_of_output_is_cut_and_reported_as_truncated() {
    let assert_cut = |flood: TestProgram, exit| {
        let ran = flood.in_worker();
        assert_eq!((ran.exit(), ran.outcome().truncated), (exit, true));
        assert_eq!(ran.output.stdout.len() + ran.output.stderr.len(), 1 << 20);
    };
    assert_cut(test_program("for i in range(3000): print('x' * 1023)"), Exit::Finished(0));
    assert_cut(test_program("while True: print('x' * 1023)").within(SECOND), Exit::TimedOut);
    assert_cut(
        test_program("import sys\nfor i in range(9000): print('ä' * 99, file=sys.stderr); print(i)"),
        Exit::Finished(0),
    );
    let all = test_program("print('x' * (1 << 20), end='')").in_worker();
    assert!(!all.outcome().truncated && all.stdout().len() == 1 << 20);
}

#[test]
fn a_program_that_destroys_its_interpreter_is_killed_and_the_next_one_runs() {
    for source in ["import os; os.abort()", "import faulthandler; faulthandler._sigabrt()"] {
        let (worker, in_process) = (test_program(source).in_worker(), test_program(source).in_process());
        assert_eq!((worker.exit(), in_process.exit()), (Exit::Killed, Exit::Killed), "{source}");
        next_program_runs();
    }
    // A very deep recursion ends only its own program.
    let deep = test_program("import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()").in_worker();
    assert!(matches!(deep.exit(), Exit::Raised | Exit::Killed | Exit::OutOfMemory), "{deep:?}");
    next_program_runs();
}

#[test]
fn output_before_a_long_computation_arrives_while_it_runs() {
    let source = "import time\nprint('first')\ntime.sleep(1)\nwhile True: pass";
    let harness = harness();
    harness.block_on(async {
        for backend in [&*harness.workers as &dyn Backend, &harness.in_process] {
            let TestProgram { program, limits } = test_program(source);
            let (events, mut from) = Events::channel();
            let mut sandbox = open(backend).await;
            let mut run = std::pin::pin!(sandbox.run(&program, &limits, &events));
            // The run would go on for another half minute; it is dropped here.
            assert_eq!(first_event(run.as_mut(), &mut from).await, Event::Stdout("first\n".into()));
        }
    });
    // The same without a pause or a flush.
    let unflushed = test_program("print('first')\nwhile True: pass").within(SECOND);
    assert_eq!(unflushed.in_worker().output.stdout, "first\n");
}
