//! A harness for tests of sessions: a local backend with replayable kernels, optionally a second local one with kernels that
//! are not replayable, and one whose sandboxes are machines. All three are scripted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use switchtower_contract::{Backend, Event, Language, NetworkPolicy};
use switchtower_core::cache::{self, ResultCache};
use switchtower_core::clock::WallClock;
use switchtower_core::decide::SharedRules;
use switchtower_core::error::Error;
use switchtower_core::memory::{self, MemoryAccount};
use switchtower_core::quota::{self, Quota};
use switchtower_core::record::{self, Recorder};
use switchtower_core::request::{Caller, RequestLimits};
use switchtower_core::router::{Parts, Router};
use switchtower_core::seed::Seed;
use switchtower_core::session::{AtEnd, CellAnswer, CellEvent, Config, CreateSession, ExecuteCell, Session, Sessions};
use switchtower_core::tier::{self, AbsentTier, Tier, Tiers, breaker};
use tokio::sync::mpsc;

use crate::kernels::ScriptedKernels;

/// The options of a harness.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) sessions: Config,
    pub(crate) cloud: Cloud,
    /// Whether there is the second local tier.
    pub(crate) native: bool,
    /// Whether there are machines of this host, with Python.
    pub(crate) local_machines: bool,
    /// Whether there are some that have only bash.
    pub(crate) bash_machines: bool,
    pub(crate) quota: quota::Config,
    pub(crate) memory: memory::Config,
}

#[derive(Default)]
pub(crate) enum Cloud {
    #[default]
    Available,
    /// Not configured; how to enable it.
    Absent(&'static str),
    /// Available, with a breaker that opens for a minute after this many failures in a row.
    WithBreaker(u32),
}

pub(crate) struct TestHarness {
    pub(crate) wasm: ScriptedKernels,
    pub(crate) native: ScriptedKernels,
    pub(crate) machines: ScriptedKernels,
    pub(crate) local_machines: ScriptedKernels,
    pub(crate) router: Arc<Router>,
    pub(crate) sessions: Sessions,
}

impl TestHarness {
    pub(crate) fn new() -> Self {
        Self::with_plan(Plan::default())
    }

    pub(crate) fn without_machines() -> Self {
        Self::with_plan(Plan { cloud: Cloud::Absent("set E2B_API_KEY"), ..Plan::default() })
    }

    pub(crate) fn with_native() -> Self {
        Self::with_plan(Plan { native: true, ..Plan::default() })
    }

    pub(crate) fn with_plan(plan: Plan) -> Self {
        let wasm = ScriptedKernels::replayable();
        let (native, machines) = (ScriptedKernels::native(), ScriptedKernels::machines());
        let local_machines = match plan.bash_machines {
            true => ScriptedKernels::local_machines().with_language(Language::Bash),
            false => ScriptedKernels::local_machines(),
        };
        let seed = Seed::fixed(1);
        let tier = |name: &str, kernels: &ScriptedKernels, breaker| {
            let backend: Arc<dyn Backend> = Arc::new(kernels.clone());
            let config = tier::Config { breaker, ..tier::Config::default() };
            Tier::new(name.into(), backend, config, &seed.fork("tiers"))
        };
        let local = [("wasm", &wasm)].into_iter().chain(plan.native.then_some(("native", &native)));
        let local = local.chain((plan.local_machines || plan.bash_machines).then_some(("machine", &local_machines)));
        let local = local.map(|(name, kernels)| tier(name, kernels, None));
        let tiers = match plan.cloud {
            Cloud::Available => Tiers::new(local.chain([tier("e2b", &machines, None)])),
            Cloud::WithBreaker(failure_threshold) => {
                let breaker = breaker::Config { failure_threshold, open_for: Duration::from_secs(60) };
                Tiers::new(local.chain([tier("e2b", &machines, Some(breaker))]))
            }
            Cloud::Absent(remedy) => {
                let (reason, remedy) = ("no key".to_owned(), Some(remedy.to_owned()));
                Tiers::new(local).with_absent(vec![AbsentTier { tier: "e2b".into(), reason, remedy, machine: true }])
            }
        };
        let (router, sessions) = assemble(tiers, &plan);
        Self { wasm, native, machines, local_machines, router, sessions }
    }

    pub(crate) async fn open(&self) -> Arc<Session> {
        self.sessions.create(&caller("ada"), options()).await.unwrap()
    }

    pub(crate) async fn open_with(&self, options: CreateSession) -> Arc<Session> {
        self.sessions.create(&caller("ada"), options).await.unwrap()
    }

    /// Runs maintenance for this long.
    pub(crate) async fn run_maintenance(&self, time: Duration) {
        let _ = tokio::time::timeout(time, self.sessions.maintain()).await;
    }
}

/// Returns a router and sessions over these tiers.
pub(crate) fn assemble(tiers: Tiers, plan: &Plan) -> (Arc<Router>, Sessions) {
    let wall = WallClock::starting_at(UNIX_EPOCH + Duration::from_millis(1_753_928_091_023));
    let router = Arc::new(Router::new(Parts {
        quota: Quota::new(&plan.quota),
        rules: SharedRules::builtin(),
        cache: ResultCache::new(&cache::Config::default()),
        tiers,
        recorder: Recorder::new(&record::Config::default(), wall).unwrap(),
        wall,
        seed: Seed::fixed(1),
    }));
    let memory = MemoryAccount::new(&plan.memory);
    let sessions = Sessions::with_memory(Arc::clone(&router), &plan.sessions, &RequestLimits::default(), memory);
    (router, sessions)
}

pub(crate) fn caller(user: &str) -> Caller {
    Caller::named(user)
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Returns the options of a session with a timeout of an hour and no others.
pub(crate) fn options() -> CreateSession {
    CreateSession {
        template: "code-interpreter-v1".to_owned(),
        timeout: seconds(3600),
        metadata: BTreeMap::new(),
        env: BTreeMap::new(),
        at_end: AtEnd::Kill,
        auto_resume: false,
        network: NetworkPolicy::OPEN,
        public_ports: false,
        open_interpreter: false,
    }
}

/// The output of a cell and its result.
pub(crate) struct CellRun {
    /// The number of the cell and its events: `2 | a | = 3 | KeyError: x`.
    pub(crate) output: String,
    pub(crate) result: Result<CellAnswer, Error>,
}

impl CellRun {
    /// Returns the tier and the output: `wasm: 2 | a`. Of a cell that failed, the output and the error: `2 | a / unavailable`.
    pub(crate) fn transcript(&self) -> String {
        match &self.result {
            Ok(answer) => format!("{}: {}", answer.tier, self.output),
            Err(error) => format!("{} / {error}", self.output),
        }
    }

    pub(crate) fn error(&self) -> String {
        self.result.as_ref().unwrap_err().to_string()
    }
}

pub(crate) async fn run(session: &Session, source: &str) -> CellRun {
    execute(session, ExecuteCell { source: source.to_owned(), ..ExecuteCell::default() }).await
}

pub(crate) async fn run_in(session: &Session, context: &str, source: &str) -> CellRun {
    let context = Some(context.to_owned());
    execute(session, ExecuteCell { context, source: source.to_owned(), ..ExecuteCell::default() }).await
}

/// Runs a cell and returns its transcript.
pub(crate) async fn transcript(session: &Session, source: &str) -> String {
    run(session, source).await.transcript()
}

pub(crate) async fn execute(session: &Session, cell: ExecuteCell) -> CellRun {
    let (sender, mut receiver) = mpsc::channel(64);
    let run = async {
        let result = session.execute(cell, &sender).await;
        drop(sender);
        result
    };
    let collect = async {
        let mut output = Vec::new();
        while let Some(event) = receiver.recv().await {
            output.push(match event {
                CellEvent::Started { number } => number.to_string(),
                CellEvent::Output { event, .. } => match event {
                    Event::Stdout(text) | Event::Stderr(text) => text.trim_end().replace('\n', " "),
                    Event::Result { data, .. } => format!("= {}", data["text/plain"]),
                    Event::Error(failure) => format!("{}: {}", failure.name, failure.value),
                    Event::Restart => "restart".to_owned(),
                },
            });
        }
        output.join(" | ")
    };
    let (result, output) = tokio::join!(run, collect);
    CellRun { output, result: result.map_err(Error::from) }
}
