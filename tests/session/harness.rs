//! A harness for tests of sessions: a local toy backend whose kernels can be rebuilt, where asked for another one whose
//! kernels cannot, and one whose sandboxes are machines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use switchtower_contract::{Backend, Event};
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

use crate::kernels::Toy;

/// What a harness is built from.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) sessions: Config,
    pub(crate) cloud: Cloud,
    /// The second local tier.
    pub(crate) native: bool,
    pub(crate) quota: quota::Config,
    pub(crate) memory: memory::Config,
}

#[derive(Default)]
pub(crate) enum Cloud {
    #[default]
    There,
    /// How to enable it.
    Absent(&'static str),
    /// Failures in a row after which its breaker opens for a minute.
    Guarded(u32),
}

pub(crate) struct TestHarness {
    pub(crate) here: Toy,
    pub(crate) native: Toy,
    pub(crate) machines: Toy,
    pub(crate) router: Arc<Router>,
    pub(crate) sessions: Sessions,
}

impl TestHarness {
    pub(crate) fn new() -> Self {
        Self::of(Plan::default())
    }

    pub(crate) fn without_machines() -> Self {
        Self::of(Plan { cloud: Cloud::Absent("set E2B_API_KEY"), ..Plan::default() })
    }

    pub(crate) fn with_native() -> Self {
        Self::of(Plan { native: true, ..Plan::default() })
    }

    pub(crate) fn of(plan: Plan) -> Self {
        let (here, native, machines) = (Toy::here(), Toy::native(), Toy::machines());
        let seed = Seed::fixed(1);
        let tier = |name: &str, toy: &Toy, breaker| {
            let backend: Arc<dyn Backend> = Arc::new(toy.clone());
            let config = tier::Config { breaker, ..tier::Config::default() };
            Tier::new(name.into(), backend, config, &seed.fork("tiers"))
        };
        let near = [("wasm", &here)].into_iter().chain(plan.native.then_some(("native", &native)));
        let near = near.map(|(name, toy)| tier(name, toy, None));
        let tiers = match plan.cloud {
            Cloud::There => Tiers::new(near.chain([tier("e2b", &machines, None)])),
            Cloud::Guarded(failures) => {
                let breaker = breaker::Config { failures, open_for: Duration::from_secs(60) };
                Tiers::new(near.chain([tier("e2b", &machines, Some(breaker))]))
            }
            Cloud::Absent(remedy) => {
                let (reason, remedy) = ("no key".to_owned(), Some(remedy.to_owned()));
                Tiers::new(near).with_absent(vec![AbsentTier { tier: "e2b".into(), reason, remedy, machine: true }])
            }
        };
        let (router, sessions) = over(tiers, &plan);
        Self { here, native, machines, router, sessions }
    }

    pub(crate) async fn open(&self) -> Arc<Session> {
        self.sessions.create(&caller("ada"), asked()).await.unwrap()
    }

    pub(crate) async fn open_with(&self, asked: CreateSession) -> Arc<Session> {
        self.sessions.create(&caller("ada"), asked).await.unwrap()
    }

    /// Runs maintenance for this long.
    pub(crate) async fn run_maintenance(&self, time: Duration) {
        let _ = tokio::time::timeout(time, self.sessions.maintain()).await;
    }
}

/// Sessions over these tiers.
pub(crate) fn over(tiers: Tiers, plan: &Plan) -> (Arc<Router>, Sessions) {
    let wall = WallClock::starting_at(UNIX_EPOCH + Duration::from_millis(1_753_928_091_023));
    let router = Arc::new(Router::new(Parts {
        quota: Quota::new(&plan.quota),
        rules: SharedRules::builtin(),
        cache: ResultCache::new(&cache::Config::default()),
        tiers,
        recorder: Recorder::new(&record::Config::default(), wall),
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

/// Options of a session of an hour, with nothing special.
pub(crate) fn asked() -> CreateSession {
    CreateSession {
        template: "code-interpreter-v1".to_owned(),
        timeout: seconds(3600),
        metadata: BTreeMap::new(),
        env: BTreeMap::new(),
        at_end: AtEnd::Kill,
        auto_resume: false,
        offline: false,
        public_ports: false,
    }
}

/// A cell's output and its answer.
pub(crate) struct Heard {
    /// Its output, piece by piece: `2 | a | = 3 | KeyError: x`.
    pub(crate) said: String,
    pub(crate) done: Result<CellAnswer, Error>,
}

impl Heard {
    /// Returns where it ran, and its output.
    pub(crate) fn told(&self) -> String {
        match &self.done {
            Ok(done) => format!("{}: {}", done.tier, self.said),
            Err(error) => format!("{} / {error}", self.said),
        }
    }

    pub(crate) fn error(&self) -> String {
        self.done.as_ref().unwrap_err().to_string()
    }
}

pub(crate) async fn run(session: &Session, source: &str) -> Heard {
    execute(session, ExecuteCell { source: source.to_owned(), ..ExecuteCell::default() }).await
}

pub(crate) async fn run_in(session: &Session, context: &str, source: &str) -> Heard {
    let context = Some(context.to_owned());
    execute(session, ExecuteCell { context, source: source.to_owned(), ..ExecuteCell::default() }).await
}

/// Runs a cell, and returns where it ran and its output.
pub(crate) async fn told(session: &Session, source: &str) -> String {
    run(session, source).await.told()
}

pub(crate) async fn execute(session: &Session, cell: ExecuteCell) -> Heard {
    let (to, mut from) = mpsc::channel(64);
    let run = async {
        let done = session.execute(cell, &to).await;
        drop(to);
        done
    };
    let listens = async {
        let mut said = Vec::new();
        while let Some(one) = from.recv().await {
            said.push(match one {
                CellEvent::Started { number } => number.to_string(),
                CellEvent::Output { event, .. } => match event {
                    Event::Stdout(text) | Event::Stderr(text) => text.trim_end().replace('\n', " "),
                    Event::Result { data, .. } => format!("= {}", data["text/plain"]),
                    Event::Error(failure) => format!("{}: {}", failure.name, failure.value),
                    Event::Restart => "restart".to_owned(),
                },
            });
        }
        said.join(" | ")
    };
    let (done, said) = tokio::join!(run, listens);
    Heard { said, done: done.map_err(Error::from) }
}
