//! A backend made of one seed: it takes time, fails and answers as it is told, and the same seed gives the same story.
//!
//! It runs no language. A program's source is a script of [directives](script), one a line or parted by `;`. Where any
//! line begins with `#:`, those lines are the script and the rest is ignored, so a real program can carry its script.
//! All waiting is tokio's: under a paused clock a story of hours takes milliseconds.

mod chance;
mod run;
pub mod script;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use crate::backend::{Backend, InterpreterId, Isolation, Modules, Offer, Sandbox, Spec, Upkeep};
use crate::events::Events;
use crate::fault::Fault;
use crate::limits::Limits;
use crate::outcome::Outcome;
use crate::program::{Language, Program};

use chance::Splitmix;
use run::Run;
use script::Script;

/// The backend. Clones are the same backend, so a test keeps one to look at.
#[derive(Clone)]
pub struct Scripted {
    settings: Arc<Settings>,
    /// Protects the draws and the counts; held for a few instructions.
    state: Arc<Mutex<State>>,
}

/// How a scripted backend behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    pub offer: Offer,
    /// See [`Backend::runtime`].
    pub runtime: Arc<str>,
    /// How long a sandbox takes to open, drawn anew each time.
    pub opening: Range<Duration>,
    /// How long a run takes beyond what its script sleeps, drawn anew each time.
    pub running: Range<Duration>,
    pub odds: Odds,
}

/// How often things go wrong, in one thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Odds {
    /// An opening finds nobody there.
    pub unavailable: u32,
    /// An opening is told to come back in a moment.
    pub refused: u32,
    /// A run is lost after all of it took place.
    pub lost: u32,
}

/// What happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub opened: u64,
    /// Sandboxes that are open now.
    pub live: u64,
    /// Most that were open at once.
    pub most_live: u64,
    pub runs: u64,
    /// Runs that go on now.
    pub running: u64,
    /// Times that a sandbox was looked at while nobody used it.
    pub kept: u64,
    /// Times that one was put to sleep.
    pub asleep: u64,
}

struct State {
    chance: Splitmix,
    counts: Counts,
    next_open: VecDeque<Fault>,
    next_run: VecDeque<Fault>,
    next_keep: VecDeque<Fault>,
    touched: BTreeMap<String, u64>,
}

impl Default for Settings {
    /// At once, without faults: everything that the contract knows, observed, nothing outside.
    fn default() -> Self {
        Self {
            offer: Offer {
                languages: vec![Language::Python],
                modules: Modules::named(["math"]),
                isolation: Isolation::Wasm,
                memory: 512 << 20,
                wall: Duration::from_secs(300),
                observes: true,
                effectful: false,
                kernels: false,
                machines: false,
            },
            runtime: "scripted".into(),
            opening: Duration::ZERO..Duration::ZERO,
            running: Duration::ZERO..Duration::ZERO,
            odds: Odds::default(),
        }
    }
}

impl Scripted {
    pub fn new(seed: u64, settings: Settings) -> Self {
        let state = State {
            chance: Splitmix::new(seed),
            counts: Counts::default(),
            next_open: VecDeque::new(),
            next_run: VecDeque::new(),
            next_keep: VecDeque::new(),
            touched: BTreeMap::new(),
        };
        Self { settings: Arc::new(settings), state: Arc::new(Mutex::new(state)) }
    }

    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// How often each name was touched in the world outside.
    pub fn touched(&self) -> BTreeMap<String, u64> {
        self.state().touched.clone()
    }

    /// The next opening fails like this. Several are taken in order.
    pub fn fail_open(&self, fault: Fault) {
        self.state().next_open.push_back(fault);
    }

    /// The next run ends like this, before its first directive. Several are taken in order.
    pub fn fail_run(&self, fault: Fault) {
        self.state().next_run.push_back(fault);
    }

    /// The next look at a sandbox that nobody uses finds this. Several are taken in order.
    pub fn fail_keep(&self, fault: Fault) {
        self.state().next_keep.push_back(fault);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn draw_between(&self, range: &Range<Duration>) -> Duration {
        if range.is_empty() { range.start } else { self.state().chance.between(range) }
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
        if !offer.languages.contains(&spec.language) {
            return Err(Fault::Unsupported(crate::fault::Need::Language(spec.language.name().to_owned())));
        }
        pause(self.draw_between(&self.settings.opening)).await;
        let mut state = self.state();
        if let Some(fault) = state.next_open.pop_front() {
            return Err(fault);
        }
        let odds = self.settings.odds;
        if state.chance.happens(odds.unavailable) {
            return Err(Fault::Unavailable { reason: "nobody there, as scripted".to_owned() });
        }
        if state.chance.happens(odds.refused) {
            let retry_after = Some(state.chance.between(&(Duration::from_millis(1)..Duration::from_millis(50))));
            return Err(Fault::Refused { reason: "too many, as scripted".to_owned(), retry_after });
        }
        state.counts.opened += 1;
        state.counts.live += 1;
        state.counts.most_live = state.counts.most_live.max(state.counts.live);
        drop(state);
        let interpreter = InterpreterId::next();
        Ok(Box::new(Room { backend: self.clone(), variables: BTreeMap::new(), interpreter }))
    }
}

/// One open sandbox.
struct Room {
    backend: Scripted,
    interpreter: InterpreterId,
    variables: BTreeMap<String, String>,
}

#[async_trait]
impl Sandbox for Room {
    async fn run(&mut self, program: &Program, limits: &Limits, events: &Events) -> Result<Outcome, Fault> {
        let _running = Running::start(&self.backend);
        if let Some(fault) = self.backend.state().next_run.pop_front() {
            return Err(fault);
        }
        let takes = self.backend.draw_between(&self.backend.settings.running);
        let lost = self.backend.state().chance.happens(self.backend.settings.odds.lost);
        let script = Script::read(&program.source);
        let run = Run::new(&self.backend, &mut self.variables, program, limits, events);
        let outcome = run.play(&script, takes).await?;
        if lost {
            return Err(Fault::Lost { reason: "the line went dead, as scripted".to_owned() });
        }
        Ok(outcome)
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        self.variables.clear();
        self.interpreter = InterpreterId::next();
        Ok(())
    }

    async fn keep(&mut self, how: Upkeep) -> Result<(), Fault> {
        let mut state = self.backend.state();
        state.counts.kept += 1;
        state.counts.asleep += u64::from(how == Upkeep::Asleep);
        state.next_keep.pop_front().map_or(Ok(()), Err)
    }

    fn interpreter(&self) -> Option<InterpreterId> {
        Some(self.interpreter)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.backend.state().counts.live -= 1;
    }
}

/// Counts a run for as long as it goes on, however it ends.
struct Running(Scripted);

impl Running {
    fn start(backend: &Scripted) -> Self {
        let mut state = backend.state();
        state.counts.runs += 1;
        state.counts.running += 1;
        drop(state);
        Self(backend.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state().counts.running -= 1;
    }
}

/// No time means no trip through the timer.
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

    async fn story(backend: &Scripted, source: &str) -> (Result<Outcome, Fault>, Output) {
        let (events, mut from) = Events::channel();
        let mut sandbox = backend.open(&Spec::new(Language::Python)).await.unwrap();
        let ended = sandbox.run(&Program::python(source), &Limits::default(), &events).await;
        drop(events);
        let mut output = Output::default();
        while let Some(event) = from.recv().await {
            output.take(event);
        }
        (ended, output)
    }

    #[tokio::test(start_paused = true)]
    async fn a_script_says_what_happens() {
        let backend = Scripted::default();
        let (ended, output) = story(&backend, "print a; eprint b\nsleep 20ms; chance; exit 3").await;
        let outcome = ended.unwrap();
        assert_eq!(outcome.exit, Exit::Finished(3));
        assert!(outcome.observed.unwrap().has(Effect::Chance));
        assert!(outcome.usage.wall >= Duration::from_millis(20));
        assert!(output.stdout.starts_with("a\n"));
        assert_eq!(output.stderr, "b\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_real_program_can_carry_its_script() {
        let (ended, output) = story(&Scripted::default(), "import math\n#: print hidden\nprint(1)").await;
        assert_eq!(ended.unwrap().exit, Exit::Finished(0));
        assert_eq!(output.stdout, "hidden\n");
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_gives_the_same_story() {
        let settings = || Settings {
            running: Duration::ZERO..Duration::from_secs(1),
            odds: Odds { lost: 300, ..Odds::default() },
            ..Settings::default()
        };
        let (one, two) = (Scripted::new(7, settings()), Scripted::new(7, settings()));
        for _ in 0..50 {
            assert_eq!(story(&one, "chance; sleep 1ms").await, story(&two, "chance; sleep 1ms").await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_run_leaves_nothing_behind() {
        let backend = Scripted::default();
        let left = tokio::time::timeout(Duration::from_millis(5), story(&backend, "sleep 1s")).await;
        assert!(left.is_err());
        assert_eq!(backend.counts(), Counts { opened: 1, most_live: 1, runs: 1, ..Counts::default() });
    }
}
