//! Kernels that are kept: children that live on, cell after cell.

use std::time::Duration;

use switchtower_contract::{Backend as _, Cell, Change, Content, Escalation, Exit, Fault, KernelOptions, Limits, Need};
use switchtower_native::{Config, Native};
use tokio::time::timeout;

use super::bench::{bench, kill, size, until};
use crate::backend::kernels::{Notebook, as_expected, run};

/// A cell has this long; after that it is interrupted.
const SHORT: Limits =
    Limits { wall: Duration::from_millis(300), memory: 256 << 20, output: 1 << 20, escalation: Escalation::Never };

#[test]
fn cells_are_what_a_notebook_makes_of_them() {
    let Some(bench) = bench() else { return };
    let profile = bench.profiles()[0];
    bench.block_on(as_expected(bench.of(profile)));
}

#[test]
fn names_last_from_cell_to_cell_and_two_kernels_know_nothing_of_each_other() {
    let Some(bench) = bench() else { return };
    for profile in bench.profiles() {
        let native = bench.of(*profile);
        bench.block_on(async {
            let (mut one, mut other) = (Notebook::open(native).await, Notebook::open(native).await);
            one.run("import pandas as pd\ndf = pd.DataFrame({'a': [1, 2]})\nopen('/tmp/mine', 'w').write('1')").await;
            other.run("df = 'another'").await;
            assert_eq!(one.shows("int(df.a.sum())").await, "3");
            assert_eq!(other.shows("import os\ndf, os.path.exists('/tmp/mine')").await, "('another', False)");
            assert_ne!(
                one.shows("import random\nrandom.random()").await,
                other.shows("import random\nrandom.random()").await
            );
            one.kernel.restart().await.unwrap();
            assert_eq!(one.shows("'df' in globals()").await, "False");
            assert_eq!(other.shows("df").await, "'another'");
        });
    }
}

#[test]
fn what_happens_to_files_outside_is_seen_by_the_next_cell_and_what_it_does_is_told() {
    let Some(bench) = bench() else { return };
    for profile in bench.profiles() {
        bench.block_on(async {
            let mut notebook = Notebook::open(bench.of(*profile)).await;
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
            let told = [
                change("/home/user/old", Content::Removed),
                change("/tmp/made/b", Content::File(b"abab".to_vec().into())),
            ];
            assert_eq!(changes, told, "{profile:?} {output:?}");
            let (ran, _) = notebook.run("open('/tmp/made/b').read()").await;
            assert_eq!(ran.changes, []);
        });
    }
}

#[test]
fn what_a_cell_writes_to_files_counts_for_that_cell_and_not_for_the_next() {
    let Some(bench) = bench() else { return };
    for profile in bench.profiles() {
        bench.block_on(async {
            let mut notebook = Notebook::open(bench.of(*profile)).await;
            let source = "chunk = b'x' * (1 << 20)\nwith open('/tmp/forty', 'wb') as file:\n    \
                          for n in range(40): file.write(chunk)";
            let writes = notebook.run(source).await.0.outcome.usage.memory;
            assert!(writes >= 40 << 20, "{profile:?} {writes}");
            // A process knows the most memory of its whole life alone, so that counts again; files do not.
            let computes = notebook.run("1 + 1").await.0.outcome.usage.memory;
            assert!(computes + (36 << 20) <= writes, "{profile:?} {computes} {writes}");
        });
    }
}

#[test]
fn processes_that_keep_kernels_end_when_there_are_none_and_start_again_with_the_next() {
    let Some(bench) = bench() else { return };
    let alias = bench.alias("idle");
    let size = Config { workers: 1, kernel_worker_idle: Some(Duration::from_millis(300)), ..size(bench.profiles()[0]) };
    let native = Native::new(alias.installation(), size);
    bench.block_on(async {
        native.ensure_started().await.unwrap();
        let mut notebook = Notebook::open(&native).await;
        assert_eq!(notebook.shows("x = 1\nx").await, "1");
        assert_eq!(alias.workers().len(), 2);
        // Much longer than they may be idle: there is a kernel.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(notebook.shows("x").await, "1");
        drop(notebook);
        until("the one that runs programs is left", || alias.workers().len() == 1).await;
        let mut another = Notebook::open(&native).await;
        assert_eq!(another.shows("'x' in globals()").await, "False");
        assert_eq!(alias.workers().len(), 2);
        native.shutdown().await;
        until("no process at all", || alias.processes().is_empty()).await;
    });
}

#[test]
fn a_cell_whose_time_is_over_is_interrupted_and_the_names_stay() {
    let Some(bench) = bench() else { return };
    for profile in bench.profiles() {
        bench.block_on(async {
            let mut notebook = Notebook::open(bench.of(*profile)).await;
            notebook.run("x = 41").await;
            for source in ["x += 1\nwhile True: pass", "import time; time.sleep(60)"] {
                let cell = notebook.cell(source);
                let (ran, output) = run(notebook.kernel.as_mut(), &cell, &SHORT).await;
                let ran = ran.unwrap();
                assert_eq!((ran.outcome.exit, ran.alive), (Exit::TimedOut, true), "{source}: {output:?}");
            }
            assert_eq!(notebook.shows("x").await, "42");
        });
    }
}

#[test]
fn a_cell_that_is_broken_off_leaves_its_names_and_the_next_one_tells_its_files() {
    let Some(bench) = bench() else { return };
    for profile in bench.profiles() {
        bench.block_on(async {
            let mut notebook = Notebook::open(bench.of(*profile)).await;
            notebook.run("x = 1").await;
            let cell = notebook.cell("x = 2\nopen('/tmp/left', 'w').write('yes')\nwhile True: pass");
            let limits = Limits::default();
            let running = run(notebook.kernel.as_mut(), &cell, &limits);
            assert!(timeout(SHORT.wall, running).await.is_err(), "whoever asked leaves");
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
fn a_cell_that_heeds_nothing_or_ends_its_interpreter_is_the_last_of_its_kernel() {
    let Some(bench) = bench() else { return };
    for profile in bench.profiles() {
        let native = bench.of(*profile);
        bench.block_on(async {
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
                // What ends by itself has all the time that it needs on a busy machine.
                let limits = if exit == Exit::TimedOut { SHORT } else { Limits::default() };
                let (ran, _) = run(notebook.kernel.as_mut(), &cell, &limits).await;
                let ran = ran.unwrap();
                assert_eq!((ran.outcome.exit, ran.alive), (exit, false), "{source}");
                let cell = notebook.cell("x");
                let (after, _) = run(notebook.kernel.as_mut(), &cell, &Limits::default()).await;
                assert!(matches!(after, Err(Fault::Lost { .. })), "{after:?}");
                notebook.kernel.restart().await.unwrap();
                assert_eq!(notebook.shows("'x' in globals()").await, "False");
            }
            assert_eq!(beside.shows("y").await, "1");
        });
    }
}

#[test]
fn a_cell_that_needs_more_is_handed_on_before_it_sees_an_error() {
    let Some(bench) = bench() else { return };
    let limits = Limits { escalation: Escalation::OnNeed, ..Limits::default() };
    for profile in bench.profiles() {
        bench.block_on(async {
            for (source, need) in [
                ("print(1)\nimport tensorflow", Need::Module("tensorflow".into())),
                ("import subprocess\nsubprocess.run(['ls'])", Need::Process("ls".into())),
            ] {
                let mut notebook = Notebook::open(bench.of(*profile)).await;
                let cell = notebook.cell(source);
                let (ran, output) = run(notebook.kernel.as_mut(), &cell, &limits).await;
                assert_eq!(ran.unwrap_err(), Fault::Unsupported(need));
                assert_eq!(output.error, None);
            }
        });
    }
}

#[test]
fn code_of_our_own_sees_the_kernel_and_leaves_no_trace() {
    let Some(bench) = bench() else { return };
    bench.block_on(async {
        let mut notebook = Notebook::open(bench.of(bench.profiles()[0])).await;
        notebook.run("x = 41").await;
        let code = "import sys\ny = sys.modules['__main__'].x + 1\nprint(y)";
        assert_eq!(notebook.kernel.run_internal(code, Duration::from_secs(5)).await.unwrap(), "42\n");
        assert_eq!(notebook.shows("'y' in globals(), len(In)").await, "(False, 3)");
    });
}

#[test]
fn a_kernel_is_opened_in_its_folder_with_its_variables() {
    let Some(bench) = bench() else { return };
    bench.block_on(async {
        let opening =
            KernelOptions { env: [("TOKEN".into(), "t".into())].into(), folder: Some("/home/user/project".into()) };
        let mut kernel = bench.of(bench.profiles()[0]).kernels().unwrap().open_kernel(&opening).await.unwrap();
        let source = "import os\nprint(os.getcwd(), os.environ['TOKEN'])".to_owned();
        let cell = Cell { source, number: 1, ..Cell::default() };
        let (_, output) = run(kernel.as_mut(), &cell, &Limits::default()).await;
        assert_eq!(output.stdout, "/home/user/project t\n");
    });
}

#[test]
fn the_kernels_of_a_worker_that_was_killed_are_lost_and_new_ones_come() {
    let Some(bench) = bench() else { return };
    let profile = *bench.profiles().last().unwrap();
    let alias = bench.alias("kernels");
    let native = Native::new(alias.installation(), Config { workers: 0, ..size(profile) });
    bench.block_on(async {
        let mut notebook = Notebook::open(&native).await;
        notebook.run("x = 1").await;
        let [worker] = alias.workers()[..] else { panic!("one worker: {:?}", alias.workers()) };
        kill(worker);
        let cell = notebook.cell("x");
        let (after, _) = run(notebook.kernel.as_mut(), &cell, &Limits::default()).await;
        assert!(matches!(after, Err(Fault::Lost { .. } | Fault::Unavailable { .. })), "{after:?}");
        let mut next = Notebook::open(&native).await;
        assert_eq!(next.shows("1 + 1").await, "2");
        drop((notebook, next));
        native.shutdown().await;
        until("no process at all", || alias.processes().is_empty()).await;
    });
}

#[test]
fn a_kernel_that_there_was_no_room_for_is_opened_when_there_is() {
    let Some(bench) = bench() else { return };
    let profile = *bench.profiles().last().unwrap();
    let alias = bench.alias("room");
    let native = Native::new(
        alias.installation(),
        Config { workers: 0, kernel_workers: 1, kernels_per_worker: 1, ..size(profile) },
    );
    bench.block_on(async {
        let mut first = Notebook::open(&native).await;
        first.run("x = 1").await;
        let mut second = Notebook::open(&native).await;
        for _ in 0..2 {
            let cell = second.cell("2 + 2");
            let (refused, _) = run(second.kernel.as_mut(), &cell, &Limits::default()).await;
            assert!(matches!(refused, Err(Fault::Refused { .. })), "{refused:?}");
        }
        assert_eq!(first.shows("x").await, "1");
        drop(first);
        assert_eq!(second.shows("2 + 2").await, "4");
        drop(second);
        native.shutdown().await;
    });
}
