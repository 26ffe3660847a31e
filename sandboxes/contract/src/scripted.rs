//! A backend for tests that follows a script: its delays, faults and output are drawn from one seed, so the same seed
//! gives the same run.
//!
//! It runs no language. A program's source is a script of [directives](script), one per line or separated by `;`. If
//! any line begins with `#:`, only those lines are the script, so a real program can carry its script in comments. All
//! waiting is tokio's: under a paused clock, hours take milliseconds.

mod kernel;
mod machine;
mod random;
mod run;
pub mod script;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::backend::{
    Backend, InterpreterId, Isolation, Languages, Location, Maintenance, Modules, Offer, Sandbox, Spec,
};
use crate::events::Events;
use crate::fault::Fault;
use crate::kernel::{Kernel, KernelOptions, Kernels};
use crate::language::Language;
use crate::limits::Limits;
use crate::machine::Machine;
use crate::outcome::Outcome;
use crate::program::Program;

use kernel::ScriptedKernel;
use machine::ScriptedMachine;
use random::Splitmix;
use run::{Run, Workspace, home_path};
use script::Script;

/// The scripted backend. Clones share their state, so a test can keep one for inspection.
#[derive(Clone)]
pub struct Scripted {
    settings: Arc<Settings>,
    /// Held for a few instructions at a time.
    state: Arc<Mutex<State>>,
}

/// How a scripted backend behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    pub offer: Offer,
    /// See [`Backend::runtime`].
    pub runtime: Arc<str>,
    /// The time that opening a sandbox takes, drawn for each.
    pub open_time: Range<Duration>,
    /// The time that a run takes beyond what its script sleeps, drawn for each.
    pub run_time: Range<Duration>,
    pub fault_rates: FaultRates,
    /// The kernels that the backend opens, or its machines where `offer.machine` is set. `None`: the backend opens
    /// none.
    pub kernels: Option<AfterInterrupt>,
}

/// What happens to a kernel when a cell is interrupted, see [`Kernel::survives_interrupt`](crate::Kernel).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterInterrupt {
    Lost,
    StateKept,
}

/// Contents by absolute path.
type Files = Arc<Mutex<BTreeMap<String, Bytes>>>;

/// How often faults occur, per thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultRates {
    /// Openings that fail as unavailable.
    pub unavailable: u32,
    /// Openings that are refused with a time to retry.
    pub refused: u32,
    /// Runs that are lost after all of the program ran.
    pub lost: u32,
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScriptedCounts {
    /// Sandboxes that were opened.
    pub opened: u64,
    /// Sandboxes that are open now.
    pub live: u64,
    /// The highest number of sandboxes that were open at once.
    pub most_live: u64,
    /// Runs that were started.
    pub runs: u64,
    /// Kernels that are open now.
    pub kernels: u64,
    /// Runs in progress.
    pub running: u64,
    /// Calls of [`Sandbox::maintain`].
    pub maintained: u64,
    /// Those of them with [`Maintenance::Asleep`].
    pub put_to_sleep: u64,
}

struct State {
    random: Splitmix,
    counts: ScriptedCounts,
    next_open: VecDeque<Fault>,
    next_run: VecDeque<Fault>,
    next_maintain: VecDeque<Fault>,
    touched: BTreeMap<String, u64>,
}

impl Default for Settings {
    /// No delays, no faults; observes, and reaches nothing outside the sandbox.
    fn default() -> Self {
        Self {
            offer: Offer {
                languages: Languages::only(Language::Python, Modules::named(["math"])),
                isolation: Isolation::Wasm,
                location: Location::Local,
                machine: false,
                internet: false,
                observes: true,
                replayable: true,
                effectful: false,
                price_per_second: None,
                max_memory: 512 << 20,
                max_wall: Duration::from_secs(300),
            },
            runtime: "scripted".into(),
            open_time: Duration::ZERO..Duration::ZERO,
            run_time: Duration::ZERO..Duration::ZERO,
            fault_rates: FaultRates::default(),
            kernels: None,
        }
    }
}

impl Scripted {
    pub fn new(seed: u64, settings: Settings) -> Self {
        let state = State {
            random: Splitmix::new(seed),
            counts: ScriptedCounts::default(),
            next_open: VecDeque::new(),
            next_run: VecDeque::new(),
            next_maintain: VecDeque::new(),
            touched: BTreeMap::new(),
        };
        Self { settings: Arc::new(settings), state: Arc::new(Mutex::new(state)) }
    }

    /// Returns what has happened so far.
    pub fn counts(&self) -> ScriptedCounts {
        self.state().counts
    }

    /// Returns how often each name was touched outside the sandbox.
    pub fn touched(&self) -> BTreeMap<String, u64> {
        self.state().touched.clone()
    }

    /// Makes the next opening fail with this fault. Several faults are used in order.
    pub fn fail_open(&self, fault: Fault) {
        self.state().next_open.push_back(fault);
    }

    /// Makes the next run fail with this fault before its first directive. Several faults are used in order.
    pub fn fail_run(&self, fault: Fault) {
        self.state().next_run.push_back(fault);
    }

    /// Makes the next maintenance of a sandbox fail with this fault. Several faults are used in order.
    pub fn fail_maintain(&self, fault: Fault) {
        self.state().next_maintain.push_back(fault);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn draw_between(&self, range: &Range<Duration>) -> Duration {
        if range.is_empty() { range.start } else { self.state().random.between(range) }
    }
}

impl Default for Scripted {
    fn default() -> Self {
        Self::new(0, Settings::default())
    }
}

#[async_trait]
impl Backend for Scripted {
    fn offer(&self) -> Offer {
        self.settings.offer.clone()
    }

    fn runtime(&self) -> Arc<str> {
        self.settings.runtime.clone()
    }

    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        let offer = &self.settings.offer;
        if !offer.languages.has(spec.language) {
            return Err(Fault::Unsupported(crate::fault::Need::Language(spec.language.name().to_owned())));
        }
        pause(self.draw_between(&self.settings.open_time)).await;
        let mut state = self.state();
        if let Some(fault) = state.next_open.pop_front() {
            return Err(fault);
        }
        let rates = self.settings.fault_rates;
        if state.random.happens(rates.unavailable) {
            return Err(Fault::Unavailable { reason: "unavailable, as scripted".to_owned() });
        }
        if state.random.happens(rates.refused) {
            let retry_after = Some(state.random.between(&(Duration::from_millis(1)..Duration::from_millis(50))));
            return Err(Fault::Refused { reason: "too many requests, as scripted".to_owned(), retry_after });
        }
        state.counts.opened += 1;
        state.counts.live += 1;
        state.counts.most_live = state.counts.most_live.max(state.counts.live);
        drop(state);
        let interpreter = InterpreterId::next();
        Ok(Box::new(ScriptedSandbox {
            backend: self.clone(),
            workspace: Workspace::default(),
            interpreter,
            files: Files::default(),
            is_open: Arc::new(AtomicBool::new(true)),
        }))
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        (self.settings.kernels.is_some() && !self.settings.offer.machine).then_some(self as &dyn Kernels)
    }
}

#[async_trait]
impl Kernels for Scripted {
    async fn open_kernel(&self, language: Language, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        Fault::check_language(language, |given| self.settings.offer.languages.has(given))?;
        pause(self.draw_between(&self.settings.open_time)).await;
        if let Some(fault) = self.state().next_open.pop_front() {
            return Err(fault);
        }
        let after_interrupt = self.settings.kernels.unwrap_or(AfterInterrupt::StateKept);
        Ok(Box::new(ScriptedKernel::open(self, options, Files::default(), after_interrupt)))
    }
}

/// One open sandbox.
struct ScriptedSandbox {
    backend: Scripted,
    interpreter: InterpreterId,
    /// Keeps its variables from run to run, one that is dropped in the middle included.
    workspace: Workspace,
    /// The files of a machine, shared by its kernels.
    files: Files,
    is_open: Arc<AtomicBool>,
}

#[async_trait]
impl Sandbox for ScriptedSandbox {
    async fn run(&mut self, program: &Program, limits: &Limits, events: &Events) -> Result<Outcome, Fault> {
        let _running = RunGuard::start(&self.backend);
        if let Some(fault) = self.backend.state().next_run.pop_front() {
            return Err(fault);
        }
        let delay = self.backend.draw_between(&self.backend.settings.run_time);
        let lost = self.backend.state().random.happens(self.backend.settings.fault_rates.lost);
        let script = Script::parse(&program.source);
        let given = program.files.iter().map(|file| (home_path(&file.path), Bytes::from(file.content.clone())));
        let files: Files = Arc::new(Mutex::new(given.collect()));
        (self.workspace.files, self.workspace.changes) = (files, Vec::new());
        let run = Run::new(&self.backend, &mut self.workspace, program, limits, events);
        let outcome = run.run(&script, delay).await?;
        if lost {
            return Err(Fault::Lost { reason: "connection lost, as scripted".to_owned() });
        }
        Ok(outcome)
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        self.workspace.variables.clear();
        self.interpreter = InterpreterId::next();
        Ok(())
    }

    async fn maintain(&mut self, how: Maintenance) -> Result<(), Fault> {
        let mut state = self.backend.state();
        state.counts.maintained += 1;
        state.counts.put_to_sleep += u64::from(how == Maintenance::Asleep);
        state.next_maintain.pop_front().map_or(Ok(()), Err)
    }

    fn interpreter(&self) -> Option<InterpreterId> {
        Some(self.interpreter)
    }

    fn machine(&self) -> Option<Arc<dyn Machine>> {
        let machine = || ScriptedMachine {
            backend: self.backend.clone(),
            files: self.files.clone(),
            is_open: self.is_open.clone(),
        };
        self.backend.settings.offer.machine.then(|| Arc::new(machine()) as Arc<dyn Machine>)
    }
}

impl Drop for ScriptedSandbox {
    fn drop(&mut self) {
        self.is_open.store(false, Ordering::Relaxed);
        self.backend.state().counts.live -= 1;
    }
}

/// Counts a run while it is in progress, however it ends.
struct RunGuard(Scripted);

impl RunGuard {
    fn start(backend: &Scripted) -> Self {
        let mut state = backend.state();
        state.counts.runs += 1;
        state.counts.running += 1;
        drop(state);
        Self(backend.clone())
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        self.0.state().counts.running -= 1;
    }
}

/// Sleeps, without going through the timer when the time is zero.
async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Output;
    use crate::outcome::{Effect, Exit};

    async fn run(backend: &Scripted, source: &str) -> (Result<Outcome, Fault>, Output) {
        let (events, mut from) = Events::channel();
        let mut sandbox = backend.open(&Spec::new(Language::Python)).await.unwrap();
        let ended = sandbox.run(&Program::python(source), &Limits::default(), &events).await;
        drop(events);
        let mut output = Output::default();
        while let Some(event) = from.recv().await {
            output.push(event);
        }
        (ended, output)
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_follows_its_script() {
        let backend = Scripted::default();
        let (ended, output) = run(&backend, "print a; eprint b\nsleep 20ms; random; exit 3").await;
        let outcome = ended.unwrap();
        assert_eq!(outcome.exit, Exit::Finished(3));
        assert!(outcome.observed.unwrap().has(Effect::Randomness));
        assert!(outcome.usage.wall >= Duration::from_millis(20));
        assert!(output.stdout.starts_with("a\n"));
        assert_eq!(output.stderr, "b\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_real_program_can_carry_its_script() {
        let (ended, output) = run(&Scripted::default(), "import math\n#: print hidden\nprint(1)").await;
        assert_eq!(ended.unwrap().exit, Exit::Finished(0));
        assert_eq!(output.stdout, "hidden\n");
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_gives_the_same_runs() {
        let settings = || Settings {
            run_time: Duration::ZERO..Duration::from_secs(1),
            fault_rates: FaultRates { lost: 300, ..FaultRates::default() },
            ..Settings::default()
        };
        let (one, two) = (Scripted::new(7, settings()), Scripted::new(7, settings()));
        for _ in 0..50 {
            assert_eq!(run(&one, "random; sleep 1ms").await, run(&two, "random; sleep 1ms").await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_run_leaves_no_sandbox_open() {
        let backend = Scripted::default();
        let left = tokio::time::timeout(Duration::from_millis(5), run(&backend, "sleep 1s")).await;
        assert!(left.is_err());
        assert_eq!(backend.counts(), ScriptedCounts { opened: 1, most_live: 1, runs: 1, ..ScriptedCounts::default() });
    }
}
