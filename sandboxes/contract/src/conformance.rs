//! The suite that every backend passes: the promises on which a tier relies.
//!
//! A promise is a sentence and a check. The programs that a check runs come from [`TestPrograms`], so backends of any
//! language, and the scripted one, are held to the same promises. A backend that runs programs in real time is tested
//! in real time, the scripted one under a paused clock.

mod kernels;
mod machines;
mod programs;
mod promises;

use std::fmt;
use std::time::Duration;

use crate::backend::{Backend, Offer, Sandbox, Spec};
use crate::events::{Event, Events, Output};
use crate::fault::Fault;
use crate::limits::Limits;
use crate::outcome::Outcome;
use crate::program::Program;

pub use programs::{JAVASCRIPT, PYTHON, SCRIPTED, TestPrograms, TestService};

/// The result of the suite.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub kept: Vec<&'static str>,
    pub broken: Vec<BrokenPromise>,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenPromise {
    pub promise: &'static str,
    /// What happened instead.
    pub seen: String,
}

impl Report {
    fn add(&mut self, promise: &'static str, checked: Checked) {
        match checked {
            Ok(()) => self.kept.push(promise),
            Err(seen) => self.broken.push(BrokenPromise { promise, seen }),
        }
    }

    /// Returns `Ok` when every promise was kept.
    ///
    /// # Errors
    /// The report as text, with every promise that was not kept.
    pub fn verdict(&self) -> Result<(), String> {
        if self.broken.is_empty() { Ok(()) } else { Err(self.to_string()) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} promises kept, {} not", self.kept.len(), self.broken.len())?;
        self.broken.iter().try_for_each(|broken| writeln!(f, "- {}: {}", broken.promise, broken.seen))
    }
}

/// Checks the runs of a backend against every promise that applies to its offer.
pub async fn run_suite(backend: &dyn Backend, programs: &TestPrograms) -> Report {
    let suite = Suite { backend, programs, offer: backend.offer() };
    let mut report = Report::default();
    promises::all(&suite, &mut report).await;
    report
}

/// Checks the kernels of a backend or of its machines, and the machines, where its offer has them.
pub async fn run_kernel_suite(backend: &dyn Backend, programs: &TestPrograms) -> Report {
    let suite = Suite { backend, programs, offer: backend.offer() };
    let mut report = Report::default();
    kernels::all(&suite, &mut report).await;
    if suite.offer.machine {
        machines::all(&suite, &mut report).await;
    }
    report
}

/// A backend under test.
struct Suite<'a> {
    backend: &'a dyn Backend,
    programs: &'a TestPrograms,
    offer: Offer,
}

/// Whether a promise was kept; `Err` says what happened instead.
type Checked = Result<(), String>;

/// A run with its end and its output.
struct RunReport {
    ended: Result<Outcome, Fault>,
    output: Output,
    events: Vec<Event>,
    took: Duration,
}

impl Suite<'_> {
    async fn open(&self) -> Result<Box<dyn Sandbox>, String> {
        let spec = Spec::new(self.programs.language);
        self.backend.open(&spec).await.map_err(|fault| format!("opening failed: {fault}"))
    }

    async fn run(&self, program: &Program) -> Result<RunReport, String> {
        self.run_within(program, &self.limits()).await
    }

    async fn run_within(&self, program: &Program, limits: &Limits) -> Result<RunReport, String> {
        let mut sandbox = self.open().await?;
        Ok(run_in(sandbox.as_mut(), program, limits).await)
    }

    fn limits(&self) -> Limits {
        let usual = Limits::default();
        Limits { wall: usual.wall.min(self.offer.max_wall), memory: usual.memory.min(self.offer.max_memory), ..usual }
    }

    fn program(&self, source: &str) -> Program {
        Program::new(self.programs.language, source)
    }
}

/// Runs a program while reading its events, as a tier does.
async fn run_in(sandbox: &mut dyn Sandbox, program: &Program, limits: &Limits) -> RunReport {
    let (ended, events, took) = collect(async |events| sandbox.run(program, limits, &events).await).await;
    let mut output = Output::default();
    events.iter().cloned().for_each(|event| output.push(event));
    RunReport { ended, output, events, took }
}

/// Runs something that sends events and reads them meanwhile. Returns its result, the events and the time it took.
async fn collect<T>(run: impl AsyncFnOnce(Events) -> T) -> (T, Vec<Event>, Duration) {
    let (events, mut from) = Events::channel();
    let started = tokio::time::Instant::now();
    let mut seen = Vec::new();
    let ended = {
        let mut run = std::pin::pin!(run(events));
        loop {
            tokio::select! {
                biased;
                Some(event) = from.recv() => seen.push(event),
                ended = &mut run => break ended,
            }
        }
    };
    let took = started.elapsed();
    // All events have been sent by now, so this does not wait.
    while let Ok(event) = from.try_recv() {
        seen.push(event);
    }
    (ended, seen, took)
}

impl RunReport {
    fn outcome(&self) -> Result<&Outcome, String> {
        self.ended.as_ref().map_err(|fault| format!("the run failed: {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{AfterInterrupt, Scripted, Settings};

    #[tokio::test(start_paused = true)]
    async fn a_scripted_backend_keeps_every_promise() {
        let report = run_suite(&Scripted::default(), &SCRIPTED).await;
        report.verdict().unwrap();
        assert!(report.kept.len() >= 20, "{report}");
    }

    #[tokio::test(start_paused = true)]
    async fn scripted_kernels_and_machines_keep_every_promise() {
        for after_interrupt in [AfterInterrupt::Lost, AfterInterrupt::StateKept] {
            for machine in [false, true] {
                let mut settings = Settings { kernels: Some(after_interrupt), ..Settings::default() };
                settings.offer.machine = machine;
                settings.offer.replayable = !machine;
                let backend = Scripted::new(1, settings);
                let report = run_kernel_suite(&backend, &SCRIPTED).await;
                report.verdict().unwrap();
                assert!(report.kept.len() >= if machine { 17 } else { 15 }, "{report}");
                assert_eq!((backend.counts().kernels, backend.counts().live), (0, 0));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_report_names_the_promise_that_a_backend_breaks() {
        let mut settings = Settings { run_time: Duration::from_secs(1)..Duration::from_secs(2), ..Settings::default() };
        settings.offer.max_wall = Duration::from_millis(10);
        let report = run_suite(&Scripted::new(1, settings), &SCRIPTED).await;
        assert!(report.broken.iter().any(|broken| broken.promise == "a program prints a line"), "{report}");
    }
}
