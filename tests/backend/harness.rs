//! The WebAssembly engines under test, created once for all tests, and runs with their output.

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

/// Both forms of the tier. They differ in the number of prewarmed instances, so that equal results do not depend on it.
pub(crate) struct TestHarness {
    runtime: Runtime,
    compiled: Compiled,
    pub(crate) in_process: InProcess,
    pub(crate) workers: Arc<WasmWorkers>,
}

/// The worker processes of the harness.
const SIZE: Config =
    Config { workers: 2, kernel_workers: 2, concurrent_cells: 16, kernels_per_worker: 16, prewarmed: 2 };
/// The argument that makes the executable a worker, as in `assemble`.
const WORKER: &str = "worker";

pub(crate) fn harness() -> &'static TestHarness {
    static HARNESS: LazyLock<TestHarness> = LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let folder = std::env::var_os("SWITCHTOWER_WASM_CACHE_FOLDER").map(PathBuf::from);
        let report = |stage| eprintln!("first use of the guest: {stage:?}");
        let compiled = Compiled::locate(folder.as_deref(), &report).unwrap();
        let in_process = InProcess::new(&compiled, 4, 0).unwrap();
        let command = PathBuf::from(env!("CARGO_BIN_EXE_switchtower"));
        let workers = runtime.block_on(WasmWorkers::start(&compiled, command, &[WORKER], SIZE)).unwrap();
        TestHarness { runtime, compiled, in_process, workers: Arc::new(workers) }
    });
    &HARNESS
}

impl TestHarness {
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Starts workers apart from those of the harness.
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

/// A program with its limits.
pub(crate) struct TestProgram {
    pub(crate) program: Program,
    pub(crate) limits: Limits,
}

pub(crate) fn test_program(source: &str) -> TestProgram {
    TestProgram { program: Program::python(source), limits: Limits::default() }
}

impl TestProgram {
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

    /// Lets a need escalate, as if there were another tier.
    pub(crate) fn on_need(mut self) -> Self {
        self.limits.escalation = Escalation::OnNeed;
        self
    }

    pub(crate) fn in_process(&self) -> TestRun {
        let harness = harness();
        harness.block_on(self.run(&harness.in_process))
    }

    pub(crate) fn in_worker(&self) -> TestRun {
        let harness = harness();
        harness.block_on(self.run(&*harness.workers))
    }

    pub(crate) async fn run(&self, backend: &dyn Backend) -> TestRun {
        let mut sandbox = backend.open(&Spec::new(self.program.language)).await.unwrap();
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
        TestRun { ended, output, took }
    }
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct TestRun {
    pub(crate) ended: Result<Outcome, Fault>,
    pub(crate) output: Output,
    pub(crate) took: Duration,
}

impl TestRun {
    pub(crate) fn outcome(&self) -> &Outcome {
        self.ended.as_ref().unwrap_or_else(|fault| panic!("{fault}: {self:?}"))
    }

    pub(crate) fn exit(&self) -> Exit {
        self.outcome().exit
    }

    pub(crate) fn observed(&self) -> Effects {
        self.outcome().observed.expect("this tier observes")
    }

    /// Returns its output; asserts that it finished without an unmet need.
    pub(crate) fn stdout(&self) -> &str {
        let outcome = self.outcome();
        assert_eq!((outcome.exit, &outcome.unmet_need), (Exit::Finished(0), &None), "{self:#?}");
        &self.output.stdout
    }

    /// Returns the name of the exception that ended it.
    pub(crate) fn raised(&self) -> &str {
        self.output.error.as_ref().map_or("", |error| &error.name)
    }
}

/// Returns the output of a program that finishes in a worker.
pub(crate) fn stdout_of(source: &str) -> String {
    test_program(source).in_worker().stdout().to_owned()
}

/// Asserts that the next program of both engines runs.
pub(crate) fn next_program_runs() {
    let next = test_program("print(1 + 1)");
    assert_eq!((next.in_worker().stdout(), next.in_process().stdout()), ("2\n", "2\n"));
}

/// Returns the first event of a run, before it ends.
pub(crate) async fn first_event(
    run: std::pin::Pin<&mut impl Future<Output = Result<Outcome, Fault>>>,
    from: &mut mpsc::Receiver<Event>,
) -> Event {
    tokio::select! {
        biased;
        event = from.recv() => event.expect("the run holds the other end"),
        ended = run => panic!("it ended before its first event: {ended:?}"),
    }
}

/// Another path to the executable, by which the processes of one test can be identified.
pub(crate) struct Alias(PathBuf);

impl Alias {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("switchtower-{name}-{}", std::process::id()));
        let _none = fs::remove_file(&path);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_switchtower"), &path).unwrap();
        Self(path)
    }

    /// Returns the numbers of the running processes that were started by this path.
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
