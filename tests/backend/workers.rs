//! Worker processes that are killed, and runs whose callers disconnect.

use std::process::Command;
use std::time::Duration;

use switchtower_contract::{Event, Events, Exit, Fault};
use switchtower_wasm::WasmWorkers;
use tokio::time::Instant;

use super::harness::{Alias, TestProgram, first_event, harness, open, test_program};

const ENDLESS: &str = "print('begun')\nwhile True: pass";

async fn assert_answers(workers: &WasmWorkers) {
    assert_eq!(test_program("print(1 + 1)").run(workers).await.stdout(), "2\n");
}

#[test]
fn a_killed_worker_costs_one_program() {
    let alias = Alias::new("killed");
    let harness = harness();
    harness.block_on(async {
        let workers = harness.own_workers(&alias, 1).await;
        assert_answers(&workers).await;
        let [process] = &alias.processes()[..] else { panic!("one worker") };

        let TestProgram { program, limits } = test_program(ENDLESS);
        let (events, mut from) = Events::channel();
        let mut sandbox = open(&workers).await;
        let lost = {
            let mut run = std::pin::pin!(sandbox.run(&program, &limits, &events));
            assert_eq!(first_event(run.as_mut(), &mut from).await, Event::Stdout("begun\n".into()));
            assert!(Command::new("kill").args(["-KILL", process]).status().unwrap().success());
            run.await
        };
        assert!(matches!(lost, Err(Fault::Lost { .. })), "{lost:?}");
        drop(sandbox);
        assert_answers(&workers).await;
        assert!(!alias.processes().contains(process), "another one took its place");

        workers.shutdown().await;
        assert!(alias.processes().is_empty(), "no process is left behind");
    });
}

#[test]
fn an_idle_worker_that_is_killed_is_replaced() {
    let alias = Alias::new("resting");
    let harness = harness();
    harness.block_on(async {
        let workers = harness.own_workers(&alias, 1).await;
        let [process] = &alias.processes()[..] else { panic!("one worker") };
        assert!(Command::new("kill").args(["-KILL", process]).status().unwrap().success());
        // The program may be the one that finds the worker dead. Then it did not run, and a tier would retry it.
        let ran = test_program("print(1)").run(&workers).await;
        assert!(matches!(ran.ended, Ok(_) | Err(Fault::Unavailable { .. } | Fault::Lost { .. })), "{ran:?}");
        assert_answers(&workers).await;
        workers.shutdown().await;
    });
}

#[test]
fn a_worker_outlives_the_thread_that_it_was_started_from() {
    let alias = Alias::new("thread");
    let harness = harness();
    let starts = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let workers = runtime.block_on(harness.own_workers(&alias, 1));
        (runtime, workers)
    };
    let (runtime, workers) = std::thread::scope(|scope| scope.spawn(starts).join().unwrap());
    let processes = alias.processes();
    assert_eq!(processes.len(), 1);
    runtime.block_on(async {
        assert_answers(&workers).await;
        // A worker that ended with the thread would have been replaced by now.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_answers(&workers).await;
        assert_eq!(alias.processes(), processes, "it is the same one");
        workers.shutdown().await;
    });
}

#[test]
fn a_run_that_is_dropped_frees_its_worker_within_200_ms() {
    let alias = Alias::new("dropped");
    let harness = harness();
    harness.block_on(async {
        let workers = harness.own_workers(&alias, 1).await;
        let processes = alias.processes();
        let mut best = Duration::MAX;
        // The best of three: a busy machine may be late once.
        for _ in 0..3 {
            let TestProgram { program, limits } = test_program(ENDLESS);
            let (events, mut from) = Events::channel();
            let mut sandbox = open(&workers).await;
            {
                let mut run = std::pin::pin!(sandbox.run(&program, &limits, &events));
                first_event(run.as_mut(), &mut from).await;
            }
            drop(sandbox);
            let left = Instant::now();
            assert_answers(&workers).await;
            best = best.min(left.elapsed());
        }
        assert!(best <= Duration::from_millis(200), "{best:?}");
        assert_eq!(alias.processes(), processes, "the engine stops the program without a kill");
        workers.shutdown().await;
    });
}

#[test]
fn programs_wait_for_a_worker_and_all_get_an_answer() {
    let harness = harness();
    harness.block_on(async {
        let programs: Vec<TestProgram> = (0..20).map(|n| test_program(&format!("print({n} ** 2)"))).collect();
        let ran = futures_util::future::join_all(programs.iter().map(|program| program.run(&*harness.workers))).await;
        for (n, ran) in ran.iter().enumerate() {
            assert_eq!((ran.exit(), ran.stdout()), (Exit::Finished(0), format!("{}\n", n * n).as_str()));
        }
    });
}

#[test]
fn every_layer_of_the_jail_is_reported() {
    let layers = harness().workers.layers();
    assert!(layers.iter().any(|layer| layer.status.is_ok()), "{layers:?}");
}
