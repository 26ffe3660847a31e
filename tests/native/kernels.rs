//! Kernels: child processes that keep their state from cell to cell.

use std::time::Duration;

use switchtower_contract::{
    Backend as _, Cell, Change, Content, Escalation, Exit, Fault, KernelOptions, Language, Limits, Need,
};
use switchtower_native::{Config, Native};
use tokio::time::{Instant, sleep, timeout};

use super::harness::{harness, kill, size, wait_until};
use crate::backend::kernels::{Notebook, assert_cells_as_expected, run};

/// Limits under which a cell is interrupted soon.
const SHORT: Limits =
    Limits { wall: Duration::from_millis(300), memory: 256 << 20, output: 1 << 20, escalation: Escalation::Never };

#[test]
fn cells_behave_as_in_a_notebook() {
    let Some(harness) = harness() else { return };
    let profile = harness.profiles()[0];
    harness.block_on(assert_cells_as_expected(harness.of(profile)));
}

#[test]
fn names_are_kept_from_cell_to_cell_and_kernels_are_separate() {
    let Some(harness) = harness() else { return };
    for profile in harness.profiles() {
        let native = harness.of(*profile);
        harness.block_on(async {
            let (mut one, mut other) = (Notebook::open(native).await, Notebook::open(native).await);
            one.run("import pandas as pd\ndf = pd.DataFrame({'a': [1, 2]})\nopen('/tmp/mine', 'w').write('1')").await;
            other.run("df = 'another'").await;
            assert_eq!(one.value_of("int(df.a.sum())").await, "3");
            assert_eq!(other.value_of("import os\ndf, os.path.exists('/tmp/mine')").await, "('another', False)");
            assert_ne!(
                one.value_of("import random\nrandom.random()").await,
                other.value_of("import random\nrandom.random()").await
            );
            one.kernel.restart().await.unwrap();
            assert_eq!(one.value_of("'df' in globals()").await, "False");
            assert_eq!(other.value_of("df").await, "'another'");
        });
    }
}

#[test]
fn changes_of_files_from_outside_reach_the_next_cell_and_its_own_are_reported() {
    let Some(harness) = harness() else { return };
    for profile in harness.profiles() {
        harness.block_on(async {
            let mut notebook = Notebook::open(harness.of(*profile)).await;
            let change = |path: &str, content| Change { path: path.to_owned(), content };
            let source = "import os\nopen('/tmp/made/b', 'w').write(open('given').read() * 2)\nos.remove('old')";
            let mut cell = notebook.cell(source);
            cell.changes = vec![
                change("/home/user/given", Content::File(b"ab".to_vec().into())),
                change("/home/user/old", Content::File(b"x".to_vec().into())),
                change("/tmp/made", Content::Folder),
            ];
            let (ran, output) = run(notebook.kernel.as_mut(), &cell, &Limits::default()).await;
            let mut changes = ran.unwrap().changes;
            changes.sort_by(|one, other| one.path.cmp(&other.path));
            let expected = [
                change("/home/user/old", Content::Removed),
                change("/tmp/made/b", Content::File(b"abab".to_vec().into())),
            ];
            assert_eq!(changes, expected, "{profile:?} {output:?}");
            let (ran, _) = notebook.run("open('/tmp/made/b').read()").await;
            assert_eq!(ran.changes, []);
        });
    }
}

#[test]
fn files_count_as_memory_only_of_the_cell_that_writes_them() {
    let Some(harness) = harness() else { return };
    for profile in harness.profiles() {
        harness.block_on(async {
            let mut notebook = Notebook::open(harness.of(*profile)).await;
            let source = "chunk = b'x' * (1 << 20)\nwith open('/tmp/forty', 'wb') as file:\n    \
                          for n in range(40): file.write(chunk)";
            let writes = notebook.run(source).await.0.outcome.usage.memory;
            assert!(writes >= 40 << 20, "{profile:?} {writes}");
            // The peak memory of a process is known only for its whole life, so it counts again; files do not.
            let computes = notebook.run("1 + 1").await.0.outcome.usage.memory;
            assert!(computes + (36 << 20) <= writes, "{profile:?} {computes} {writes}");
        });
    }
}

#[test]
fn kernel_workers_end_when_they_are_idle_and_start_again_with_the_next_kernel() {
    let Some(harness) = harness() else { return };
    let alias = harness.alias("idle");
    let size =
        Config { workers: 1, kernel_worker_idle: Some(Duration::from_millis(300)), ..size(harness.profiles()[0]) };
    let native = Native::new(alias.installation(), size);
    harness.block_on(async {
        native.ensure_started().await.unwrap();
        let mut notebook = Notebook::open(&native).await;
        assert_eq!(notebook.value_of("x = 1\nx").await, "1");
        assert_eq!(alias.workers().len(), 2);
        // Longer than the idle timeout; the worker stays because it has a kernel.
        sleep(Duration::from_secs(1)).await;
        assert_eq!(notebook.value_of("x").await, "1");
        drop(notebook);
        wait_until("only the worker for programs is left", || alias.workers().len() == 1).await;
        let mut another = Notebook::open(&native).await;
        assert_eq!(another.value_of("'x' in globals()").await, "False");
        assert_eq!(alias.workers().len(), 2);
        native.shutdown().await;
        wait_until("no process at all", || alias.processes().is_empty()).await;
    });
}

#[test]
fn a_cell_past_its_deadline_is_interrupted_and_the_names_stay() {
    let Some(harness) = harness() else { return };
    for profile in harness.profiles() {
        harness.block_on(async {
            let mut notebook = Notebook::open(harness.of(*profile)).await;
            notebook.run("x = 41").await;
            for source in ["x += 1\nwhile True: pass", "import time; time.sleep(60)"] {
                let cell = notebook.cell(source);
                let (ran, output) = run(notebook.kernel.as_mut(), &cell, &SHORT).await;
                let ran = ran.unwrap();
                assert_eq!((ran.outcome.exit, ran.alive), (Exit::TimedOut, true), "{source}: {output:?}");
            }
            assert_eq!(notebook.value_of("x").await, "42");
        });
    }
}

#[test]
fn a_cancelled_cell_leaves_its_names_and_the_next_one_reports_its_files() {
    let Some(harness) = harness() else { return };
    for profile in harness.profiles() {
        harness.block_on(async {
            let mut notebook = Notebook::open(harness.of(*profile)).await;
            notebook.run("x = 1").await;
            let cell = notebook.cell("x = 2\nopen('/tmp/left', 'w').write('yes')\nwhile True: pass");
            let limits = Limits::default();
            let running = run(notebook.kernel.as_mut(), &cell, &limits);
            assert!(timeout(SHORT.wall, running).await.is_err(), "the caller leaves");
            let (ran, output) = notebook.run("x").await;
            assert_eq!(
                ran.changes,
                [Change { path: "/tmp/left".into(), content: Content::File(b"yes".to_vec().into()) }]
            );
            assert_eq!(output.results[0].data["text/plain"], "2", "{profile:?}");
        });
    }
}

#[test]
fn a_cell_that_ignores_interrupts_or_ends_its_interpreter_ends_its_kernel() {
    let Some(harness) = harness() else { return };
    for profile in harness.profiles() {
        let native = harness.of(*profile);
        harness.block_on(async {
            let mut beside = Notebook::open(native).await;
            beside.run("y = 1").await;
            for (source, exit) in [
                ("while True:\n    try: sum(range(10**6))\n    except BaseException: pass", Exit::TimedOut),
                ("import os\nos._exit(3)", Exit::Finished(3)),
                ("import os\nos.abort()", Exit::Killed),
            ] {
                let mut notebook = Notebook::open(native).await;
                notebook.run("x = 1").await;
                let cell = notebook.cell(source);
                // A cell that ends by itself gets the time that it needs on a busy machine.
                let limits = if exit == Exit::TimedOut { SHORT } else { Limits::default() };
                let (ran, _) = run(notebook.kernel.as_mut(), &cell, &limits).await;
                let ran = ran.unwrap();
                assert_eq!((ran.outcome.exit, ran.alive), (exit, false), "{source}");
                let cell = notebook.cell("x");
                let (after, _) = run(notebook.kernel.as_mut(), &cell, &Limits::default()).await;
                assert!(matches!(after, Err(Fault::Lost { .. })), "{after:?}");
                notebook.kernel.restart().await.unwrap();
                assert_eq!(notebook.value_of("'x' in globals()").await, "False");
            }
            assert_eq!(beside.value_of("y").await, "1");
        });
    }
}

#[test]
fn a_cell_that_needs_more_escalates_before_it_sees_an_error() {
    let Some(harness) = harness() else { return };
    let limits = Limits { escalation: Escalation::OnNeed, ..Limits::default() };
    for profile in harness.profiles() {
        harness.block_on(async {
            for (source, need) in [
                ("print(1)\nimport tensorflow", Need::Module("tensorflow".into())),
                ("import subprocess\nsubprocess.run(['ls'])", Need::Process("ls".into())),
            ] {
                let mut notebook = Notebook::open(harness.of(*profile)).await;
                let cell = notebook.cell(source);
                let (ran, output) = run(notebook.kernel.as_mut(), &cell, &limits).await;
                assert_eq!(ran.unwrap_err(), Fault::Unsupported(need));
                assert_eq!(output.error, None);
            }
        });
    }
}

#[test]
fn internal_code_sees_the_kernel_and_leaves_no_trace() {
    let Some(harness) = harness() else { return };
    harness.block_on(async {
        let mut notebook = Notebook::open(harness.of(harness.profiles()[0])).await;
        notebook.run("x = 41").await;
        let code = "import sys\ny = sys.modules['__main__'].x + 1\nprint(y)";
        assert_eq!(notebook.kernel.run_internal(code, Duration::from_secs(5)).await.unwrap(), "42\n");
        assert_eq!(notebook.value_of("'y' in globals(), len(In)").await, "(False, 3)");
    });
}

#[test]
fn a_kernel_starts_in_its_folder_with_its_variables() {
    let Some(harness) = harness() else { return };
    harness.block_on(async {
        let options =
            KernelOptions { env: [("TOKEN".into(), "t".into())].into(), folder: Some("/home/user/project".into()) };
        let mut kernel =
            harness.of(harness.profiles()[0]).kernels().unwrap().open_kernel(Language::Python, &options).await.unwrap();
        let source = "import os\nprint(os.getcwd(), os.environ['TOKEN'])".to_owned();
        let cell = Cell { source, number: 1, ..Cell::default() };
        let (_, output) = run(kernel.as_mut(), &cell, &Limits::default()).await;
        assert_eq!(output.stdout, "/home/user/project t\n");
    });
}

#[test]
fn the_kernels_of_a_killed_worker_are_lost_and_new_ones_can_be_opened() {
    let Some(harness) = harness() else { return };
    let profile = *harness.profiles().last().unwrap();
    let alias = harness.alias("kernels");
    let native = Native::new(alias.installation(), Config { workers: 0, ..size(profile) });
    harness.block_on(async {
        let mut notebook = Notebook::open(&native).await;
        notebook.run("x = 1").await;
        let [worker] = alias.workers()[..] else { panic!("one worker: {:?}", alias.workers()) };
        kill(worker);
        let cell = notebook.cell("x");
        let (after, _) = run(notebook.kernel.as_mut(), &cell, &Limits::default()).await;
        assert!(matches!(after, Err(Fault::Lost { .. } | Fault::Unavailable { .. })), "{after:?}");
        let mut next = Notebook::open(&native).await;
        assert_eq!(next.value_of("1 + 1").await, "2");
        drop((notebook, next));
        native.shutdown().await;
        wait_until("no process at all", || alias.processes().is_empty()).await;
    });
}

#[test]
fn a_kernel_beyond_the_limit_can_be_opened_after_another_has_closed() {
    let Some(harness) = harness() else { return };
    let profile = *harness.profiles().last().unwrap();
    let alias = harness.alias("room");
    let native = Native::new(
        alias.installation(),
        Config { workers: 0, kernel_workers: 1, kernels_per_worker: 1, ..size(profile) },
    );
    harness.block_on(async {
        let mut first = Notebook::open(&native).await;
        first.run("x = 1").await;
        let mut second = Notebook::open(&native).await;
        for _ in 0..2 {
            let cell = second.cell("2 + 2");
            let (refused, _) = run(second.kernel.as_mut(), &cell, &Limits::default()).await;
            assert!(matches!(refused, Err(Fault::Refused { .. })), "{refused:?}");
        }
        assert_eq!(first.value_of("x").await, "1");
        drop(first);
        // The worker closes the first kernel a moment later.
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let cell = second.cell("2 + 2");
            let (ran, _) = run(second.kernel.as_mut(), &cell, &Limits::default()).await;
            let Err(refused) = ran else { break };
            assert!(matches!(refused, Fault::Refused { .. }) && Instant::now() < deadline, "{refused:?}");
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(second.value_of("2 + 2").await, "4");
        drop(second);
        native.shutdown().await;
    });
}
