//! The engines on trial, made once for all tests, and one run with all that it said.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use switchtower_contract::{
    Backend, Effects, Escalation, Event, Events, Exit, Fault, Language, Limits, Outcome, Output, Program, Randomness,
    Sandbox, Spec,
};
use switchtower_wasm::workers::Config;
use switchtower_wasm::{Compiled, InProcess, WasmWorkers};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// Both forms of the tier. They differ in their reserve, so that what is equal in both does not depend on it.
pub(crate) struct Bench {
    runtime: Runtime,
    compiled: Compiled,
    pub(crate) in_process: InProcess,
    pub(crate) workers: Arc<WasmWorkers>,
}

/// Worker processes of the bench.
const SIZE: Config =
    Config { workers: 2, kernel_workers: 2, concurrent_cells: 16, kernels_per_worker: 16, prewarmed: 2 };
/// The argument of the command that leads to a worker's life, as `assemble` has it.
const WORKER: &str = "worker";

pub(crate) fn bench() -> &'static Bench {
    static BENCH: LazyLock<Bench> = LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let folder = std::env::var_os("SWITCHTOWER_WASM_CACHE").map(PathBuf::from);
        let told = |stage| eprintln!("first use of the guest: {stage:?}");
        let compiled = Compiled::locate(folder.as_deref(), &told).unwrap();
        let in_process = InProcess::new(&compiled, 4, 0).unwrap();
        let command = PathBuf::from(env!("CARGO_BIN_EXE_switchtower"));
        let workers = runtime.block_on(WasmWorkers::start(&compiled, command, &[WORKER], SIZE)).unwrap();
        Bench { runtime, compiled, in_process, workers: Arc::new(workers) }
    });
    &BENCH
}

impl Bench {
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Workers apart from those of the bench.
    pub(crate) async fn own_workers(&self, alias: &Alias, count: usize) -> WasmWorkers {
        WasmWorkers::start(
            &self.compiled,
            alias.0.clone(),
            &[WORKER],
            Config { workers: count, kernel_workers: 0, concurrent_cells: 0, kernels_per_worker: 0, prewarmed: 1 },
        )
        .await
        .unwrap()
    }
}

pub(crate) async fn open(backend: &dyn Backend) -> Box<dyn Sandbox> {
    backend.open(&Spec::new(Language::Python)).await.unwrap()
}

/// A program with its limits, about to be tried.
pub(crate) struct Trial {
    pub(crate) program: Program,
    pub(crate) limits: Limits,
}

pub(crate) fn trial(source: &str) -> Trial {
    Trial { program: Program::python(source), limits: Limits::default() }
}

impl Trial {
    pub(crate) fn seeded(mut self, seed: u64) -> Self {
        self.program.randomness = Randomness::Seeded(seed);
        self
    }

    pub(crate) fn with_stdin(mut self, stdin: &str) -> Self {
        self.program.stdin = Some(stdin.to_owned());
        self
    }

    pub(crate) fn within(mut self, wall: Duration) -> Self {
        self.limits.wall = wall;
        self
    }

    /// Another tier stands ready.
    pub(crate) fn on_need(mut self) -> Self {
        self.limits.escalation = Escalation::OnNeed;
        self
    }

    pub(crate) fn in_process(&self) -> Ran {
        let bench = bench();
        bench.block_on(self.run(&bench.in_process))
    }

    pub(crate) fn in_worker(&self) -> Ran {
        let bench = bench();
        bench.block_on(self.run(&*bench.workers))
    }

    pub(crate) async fn run(&self, backend: &dyn Backend) -> Ran {
        let mut sandbox = open(backend).await;
        let (events, mut from) = Events::channel();
        let started = tokio::time::Instant::now();
        let mut output = Output::default();
        let ended = {
            let mut run = std::pin::pin!(sandbox.run(&self.program, &self.limits, &events));
            loop {
                tokio::select! {
                    biased;
                    Some(event) = from.recv() => output.push(event),
                    ended = &mut run => break ended,
                }
            }
        };
        let took = started.elapsed();
        while let Ok(event) = from.try_recv() {
            output.push(event);
        }
        Ran { ended, output, took }
    }
}

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) ended: Result<Outcome, Fault>,
    pub(crate) output: Output,
    pub(crate) took: Duration,
}

impl Ran {
    pub(crate) fn outcome(&self) -> &Outcome {
        self.ended.as_ref().unwrap_or_else(|fault| panic!("{fault}: {self:?}"))
    }

    pub(crate) fn exit(&self) -> Exit {
        self.outcome().exit
    }

    pub(crate) fn observed(&self) -> Effects {
        self.outcome().observed.expect("this tier observes")
    }

    /// What it printed; it ran to its end, in want of nothing.
    pub(crate) fn stdout(&self) -> &str {
        let outcome = self.outcome();
        assert_eq!((outcome.exit, &outcome.unmet_need), (Exit::Finished(0), &None), "{self:#?}");
        &self.output.stdout
    }

    /// The name of the exception that went through.
    pub(crate) fn raised(&self) -> &str {
        self.output.error.as_ref().map_or("", |error| &error.name)
    }
}

/// What a program prints that runs to its end in a worker.
pub(crate) fn says(source: &str) -> String {
    trial(source).in_worker().stdout().to_owned()
}

/// The next program of both engines is answered.
pub(crate) fn next_is_fine() {
    let next = trial("print(1 + 1)");
    assert_eq!((next.in_worker().stdout(), next.in_process().stdout()), ("2\n", "2\n"));
}

/// The first thing that is said, while the run goes on.
pub(crate) async fn first_event(
    run: std::pin::Pin<&mut impl Future<Output = Result<Outcome, Fault>>>,
    from: &mut mpsc::Receiver<Event>,
) -> Event {
    tokio::select! {
        biased;
        event = from.recv() => event.expect("the run holds the other end"),
        ended = run => panic!("it ended before it was heard: {ended:?}"),
    }
}

/// A path of its own to the command, so that the processes that it starts can be told from all others.
pub(crate) struct Alias(PathBuf);

impl Alias {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("switchtower-{name}-{}", std::process::id()));
        let _none = fs::remove_file(&path);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_switchtower"), &path).unwrap();
        Self(path)
    }

    /// The numbers of the processes that were started by this path and live.
    pub(crate) fn processes(&self) -> Vec<String> {
        let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        numbers.filter(|number| command_of(number).is_some_and(|command| command == self.0)).collect()
    }
}

fn command_of(number: &str) -> Option<PathBuf> {
    let line = fs::read(Path::new("/proc").join(number).join("cmdline")).ok()?;
    Some(PathBuf::from(std::str::from_utf8(line.split(|byte| *byte == 0).next()?).ok()?))
}

impl Drop for Alias {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}
