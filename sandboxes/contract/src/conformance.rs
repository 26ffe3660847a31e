//! The suite that every backend passes: what a tier may rely on, promise by promise.
//!
//! A promise is a sentence; what it needs of a language is in a [`Dialect`], so a Python engine and a scripted backend
//! answer to the same promises. Run it in real time for a backend that runs programs in real time.

mod dialect;
mod promises;

use std::fmt;
use std::time::Duration;

use crate::backend::{Backend, Offer, Sandbox, Spec};
use crate::events::{Event, Events, Output};
use crate::fault::Fault;
use crate::limits::Limits;
use crate::outcome::Outcome;
use crate::program::{Language, Program};

pub use dialect::{Dialect, PYTHON, SCRIPTED};

/// What the suite found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub kept: Vec<&'static str>,
    pub broken: Vec<Broken>,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub promise: &'static str,
    /// What was seen instead.
    pub seen: String,
}

impl Report {
    /// For tests: `Err` names every promise that was not kept.
    ///
    /// # Errors
    /// The report itself, printed.
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

/// Holds a backend against every promise that applies to what it offers.
pub async fn suite(backend: &dyn Backend, dialect: &Dialect) -> Report {
    let bench = Bench { backend, dialect, offer: backend.offer() };
    let mut report = Report::default();
    promises::all(&bench, &mut report).await;
    report
}

/// A backend on trial.
struct Bench<'a> {
    backend: &'a dyn Backend,
    dialect: &'a Dialect,
    offer: Offer,
}

/// Whether a promise was kept; `Err` says what was seen instead.
type Kept = Result<(), String>;

/// A run on the bench: its end and all it said.
struct Ran {
    ended: Result<Outcome, Fault>,
    output: Output,
    events: Vec<Event>,
    took: Duration,
}

impl Bench<'_> {
    async fn open(&self) -> Result<Box<dyn Sandbox>, String> {
        let spec = Spec::new(self.dialect.language);
        self.backend.open(&spec).await.map_err(|fault| format!("opening failed: {fault}"))
    }

    async fn run(&self, program: &Program) -> Result<Ran, String> {
        self.run_within(program, &self.limits()).await
    }

    async fn run_within(&self, program: &Program, limits: &Limits) -> Result<Ran, String> {
        let mut sandbox = self.open().await?;
        Ok(run_in(sandbox.as_mut(), program, limits).await)
    }

    fn limits(&self) -> Limits {
        let usual = Limits::default();
        Limits { wall: usual.wall.min(self.offer.wall), memory: usual.memory.min(self.offer.memory), ..usual }
    }

    fn program(&self, source: &str) -> Program {
        let Language::Python = self.dialect.language;
        Program::python(source)
    }
}

/// Runs a program and reads its events while it runs, as a tier does.
async fn run_in(sandbox: &mut dyn Sandbox, program: &Program, limits: &Limits) -> Ran {
    let (events, mut from) = Events::channel();
    let started = tokio::time::Instant::now();
    let mut seen = Vec::new();
    let ended = {
        let mut run = std::pin::pin!(sandbox.run(program, limits, &events));
        loop {
            tokio::select! {
                biased;
                Some(event) = from.recv() => seen.push(event),
                ended = &mut run => break ended,
            }
        }
    };
    let took = started.elapsed();
    // Every event has been sent by now; nothing is waited for.
    while let Ok(event) = from.try_recv() {
        seen.push(event);
    }
    let mut output = Output::default();
    seen.iter().cloned().for_each(|event| output.take(event));
    Ran { ended, output, events: seen, took }
}

impl Ran {
    fn outcome(&self) -> Result<&Outcome, String> {
        self.ended.as_ref().map_err(|fault| format!("the run failed: {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{Scripted, Settings};

    #[tokio::test(start_paused = true)]
    async fn a_scripted_backend_keeps_every_promise() {
        let report = suite(&Scripted::default(), &SCRIPTED).await;
        report.verdict().unwrap();
        assert!(report.kept.len() >= 20, "{report}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_lies_is_told_which_promise_it_broke() {
        let mut settings = Settings { running: Duration::from_secs(1)..Duration::from_secs(2), ..Settings::default() };
        settings.offer.wall = Duration::from_millis(10);
        let report = suite(&Scripted::new(1, settings), &SCRIPTED).await;
        assert!(report.broken.iter().any(|broken| broken.promise == "a program says hello"), "{report}");
    }
}
