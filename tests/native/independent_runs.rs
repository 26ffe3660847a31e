//! Runs in independent interpreters, and workers that replace one that has ended.

use std::fs;
use std::time::Duration;

use switchtower_contract::{
    Backend as _, Effect, Effects, Events, Fault, InterpreterId, Language, Limits, Outcome, Output, Program, Spec,
};
use switchtower_native::{Config, Native};
use tokio::time::timeout;

use super::harness::{harness, kill, size, wait_until};

/// Prints values that depend on the hash seed and on the layout of memory.
const PRINT_HASH_AND_ADDRESS: &str = "print(hash('text'), id(object))";

/// Runs a program in a sandbox of `spec`; returns its output and its interpreter.
async fn run(native: &Native, spec: &Spec, source: &str) -> (String, InterpreterId) {
    let (stdout, _, interpreter) = run_fully(native, spec, source).await;
    (stdout, interpreter)
}

/// Runs a program as [`run`] does; also returns its outcome.
async fn run_fully(native: &Native, spec: &Spec, source: &str) -> (String, Outcome, InterpreterId) {
    let (events, mut from) = Events::channel();
    let program = Program::python(source);
    let mut sandbox = native.open(spec).await.unwrap();
    let mut ran = sandbox.run(&program, &Limits::default(), &events).await;
    if matches!(ran, Err(Fault::Unavailable { .. })) {
        // The pool has not noticed the end of the worker yet. Nothing ran, and a tier would retry.
        sandbox = native.open(spec).await.unwrap();
        ran = sandbox.run(&program, &Limits::default(), &events).await;
    }
    let outcome = ran.unwrap();
    drop(events);
    let mut output = Output::default();
    while let Some(event) = from.recv().await {
        output.push(event);
    }
    (output.stdout, outcome, sandbox.interpreter().unwrap())
}

#[test]
fn a_run_apart_from_another_has_its_own_hash_seed_and_layout() {
    let Some(harness) = harness() else { return };
    harness.block_on(async {
        let native = harness.of(*harness.profiles().last().unwrap());
        let any = Spec::new(Language::Python);
        for _ in 0..3 {
            let (first, interpreter) = run(native, &any, PRINT_HASH_AND_ADDRESS).await;
            let apart = Spec { avoid_interpreter: Some(interpreter), ..any.clone() };
            let (second, other) = run(native, &apart, PRINT_HASH_AND_ADDRESS).await;
            assert!(interpreter != other && first != second, "{first}{second}");
        }
    });
}

/// Programs, each with its observed effect. Two runs of them agree today; those with an effect differ tomorrow or elsewhere.
const PROGRAMS: [(&str, Option<Effect>); 14] = [
    ("import datetime\nprint(datetime.date.today())", Some(Effect::Clock)),
    ("import pandas as pd\nprint(pd.Timestamp('now').date())", Some(Effect::Clock)),
    ("import pandas as pd\nprint(pd.to_datetime('today').year)", Some(Effect::Clock)),
    ("import numpy as np\nprint(np.datetime64('today'))", Some(Effect::Clock)),
    ("import time\nprint(time.strftime('%Y'))", Some(Effect::Clock)),
    ("import email.utils\nprint(email.utils.formatdate()[:16])", Some(Effect::Clock)),
    ("import os\nprint(len(os.urandom(3)))", Some(Effect::Randomness)),
    ("import uuid\nprint(len(str(uuid.uuid4())))", Some(Effect::Randomness)),
    ("import os\nprint(os.getpid() > 0)", Some(Effect::Identity)),
    ("import os\nprint(os.cpu_count() > 0)", Some(Effect::Identity)),
    (
        "try:\n    print(len(open('/proc/self/status').read()) > 0)\nexcept OSError:\n    print(1)",
        Some(Effect::Identity),
    ),
    ("import numpy as np\nprint(np.random.default_rng(7).normal(size=3))", None),
    ("import pandas as pd\nprint(pd.DataFrame({'a': [1, 2, 2]}).groupby('a').size())", None),
    ("open('/tmp/x', 'w').write('1')\nprint(open('/tmp/x').read())", None),
];

#[test]
fn nondeterminism_that_two_equal_runs_hide_is_observed() {
    let Some(harness) = harness() else { return };
    for profile in harness.profiles() {
        for (source, expected) in PROGRAMS {
            let any = Spec::new(Language::Python);
            let (_, outcome, _) = harness.block_on(run_fully(harness.of(*profile), &any, source));
            let observed = outcome.observed.unwrap_or(Effects::NONE);
            assert_eq!(expected.is_some(), !observed.is_empty(), "{profile:?}: {source}: {outcome:?}");
            assert!(expected.is_none_or(|effect| observed.has(effect)), "{profile:?}: {source}: {outcome:?}");
        }
    }
}

/// Returns whether a process has ended and all its files are closed: it is gone, or every thread that is left is a zombie.
/// The list of open files is empty before the last of them is closed.
fn has_ended(number: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{number}/task")) else { return true };
    threads.flatten().all(|thread| {
        fs::read_to_string(thread.path().join("status")).map_or(true, |status| status.contains("\nState:\tZ"))
    })
}

#[test]
fn the_other_workers_run_all_programs_while_one_is_restarted() {
    let Some(harness) = harness() else { return };
    let alias = harness.alias("spare");
    harness.block_on(async {
        let profile = *harness.profiles().last().unwrap();
        let native = Native::new(alias.installation(), Config { kernel_workers: 0, ..size(profile) });
        native.ensure_started().await.unwrap();
        let workers = alias.workers();
        assert_eq!(workers.len(), 2);
        kill(workers[0]);
        wait_until("the killed worker has ended", || has_ended(workers[0])).await;
        // The worker that is up gets every run until the other is back. Its start with all packages takes seconds.
        let (_, remaining) = run(&native, &Spec::new(Language::Python), "pass").await;
        let apart = Spec { avoid_interpreter: Some(remaining), ..Spec::new(Language::Python) };
        let until_it_is_back = async {
            for answered in 1.. {
                let (stdout, interpreter) = run(&native, &apart, "print(1 + 1)").await;
                assert_eq!(stdout, "2\n");
                if interpreter != remaining {
                    return answered;
                }
            }
            0
        };
        let answered = timeout(Duration::from_secs(60), until_it_is_back).await.expect("another worker runs them");
        assert!(answered > 3, "the programs waited for the worker: it ran number {answered}");
        native.shutdown().await;
    });
}
