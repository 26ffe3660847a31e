//! A router over three scripted tiers, each with its own ways to fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use switchtower_contract::scripted::{FaultRates, Scripted, Settings};
use switchtower_contract::{
    Backend, Events, Fault, InterpreterId, Isolation, Kernels, Language, Languages, Limits, Location, Machine,
    Maintenance, Modules, Offer, Outcome, Program, Sandbox, Spec,
};
use switchtower_core::cache::{self, ResultCache};
use switchtower_core::clock::WallClock;
use switchtower_core::decide::SharedRules;
use switchtower_core::quota::{self, Quota};
use switchtower_core::record::{self, Recorder};
use switchtower_core::router::{Parts, Router};
use switchtower_core::seed::Seed;
use switchtower_core::tier::{self, Tier, Tiers, queue};

pub(crate) const PER_USER: usize = 2;

pub(crate) struct World {
    pub(crate) router: Arc<Router>,
    pub(crate) backends: BTreeMap<&'static str, Scripted>,
    pub(crate) user_counts: BTreeMap<&'static str, UserCounts>,
}

/// The settings of one scripted tier.
pub(crate) struct TierPlan {
    pub(crate) name: &'static str,
    pub(crate) slots: usize,
    settings: Settings,
}

pub(crate) fn tiers() -> [TierPlan; 3] {
    let millis = |from, to| Duration::from_millis(from)..Duration::from_millis(to);
    let offer = |modules, isolation, observes, effectful| Offer {
        languages: Languages::only(Language::Python, modules),
        isolation,
        location: if isolation == Isolation::MicroVm { Location::Remote } else { Location::Local },
        machine: false,
        internet: isolation == Isolation::MicroVm,
        observes,
        replayable: observes,
        effectful,
        price_per_second: None,
        max_memory: 512 << 20,
        max_wall: Duration::from_secs(300),
    };
    let rates = |unavailable, refused, lost| FaultRates { unavailable, refused, lost };
    let local = ["math", "random", "time"];
    [
        TierPlan {
            name: "wasm",
            slots: 4,
            settings: Settings {
                runtime: "scripted".into(),
                offer: offer(Modules::named(local), Isolation::Wasm, true, false),
                open_time: millis(0, 2),
                run_time: millis(1, 30),
                fault_rates: rates(10, 0, 20),
                kernels: None,
            },
        },
        TierPlan {
            name: "native",
            slots: 2,
            settings: Settings {
                runtime: "scripted".into(),
                offer: offer(
                    Modules::named(local.into_iter().chain(["numpy", "pandas"])),
                    Isolation::Process,
                    false,
                    false,
                ),
                open_time: millis(0, 5),
                run_time: millis(1, 60),
                fault_rates: rates(20, 0, 30),
                kernels: None,
            },
        },
        TierPlan {
            name: "e2b",
            slots: 5,
            settings: Settings {
                runtime: "scripted".into(),
                offer: offer(Modules::Any, Isolation::MicroVm, false, true),
                open_time: millis(100, 1000),
                run_time: millis(20, 200),
                fault_rates: rates(50, 50, 30),
                kernels: None,
            },
        },
    ]
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let (mut backends, mut user_counts, mut built) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for (TierPlan { name, slots, settings }, number) in tiers().into_iter().zip(1..) {
            let backend = Scripted::new(seed * 10 + number, settings);
            let counts = UserCounts::default();
            let config = tier::Config {
                queue: queue::Config {
                    slots,
                    per_user: PER_USER,
                    wait_timeout: Duration::from_secs(55),
                    ..queue::Config::default()
                },
                ..tier::Config::default()
            };
            let watched = CountingBackend { backend: backend.clone(), counts: counts.clone() };
            built.push(Tier::new(name.into(), Arc::new(watched), config, &Seed::fixed(seed)));
            backends.insert(name, backend);
            user_counts.insert(name, counts);
        }
        let wall = WallClock::starting_at(UNIX_EPOCH);
        let router = Router::new(Parts {
            quota: Quota::new(&quota::Config::default()),
            rules: SharedRules::builtin(),
            cache: ResultCache::new(&cache::Config::default()),
            tiers: Tiers::new(built),
            recorder: Recorder::new(&record::Config::default(), wall).unwrap(),
            wall,
            seed: Seed::fixed(seed),
        });
        Self { router: Arc::new(router), backends, user_counts }
    }
}

/// Counts the programs of each user that run concurrently. A program names its user in a comment.
#[derive(Clone, Default)]
pub(crate) struct UserCounts(Arc<Mutex<BTreeMap<String, (usize, usize)>>>);

impl UserCounts {
    pub(crate) fn max_of_one_user(&self) -> usize {
        self.0.lock().unwrap().values().map(|(_, most)| *most).max().unwrap_or(0)
    }
}

struct CountingBackend {
    backend: Scripted,
    counts: UserCounts,
}

#[async_trait]
impl Backend for CountingBackend {
    fn offer(&self) -> Offer {
        self.backend.offer()
    }

    fn runtime(&self) -> Arc<str> {
        self.backend.runtime()
    }

    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        let sandbox = self.backend.open(spec).await?;
        Ok(Box::new(CountingSandbox { sandbox, counts: self.counts.clone() }))
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        self.backend.kernels()
    }
}

struct CountingSandbox {
    sandbox: Box<dyn Sandbox>,
    counts: UserCounts,
}

#[async_trait]
impl Sandbox for CountingSandbox {
    async fn run(&mut self, program: &Program, limits: &Limits, events: &Events) -> Result<Outcome, Fault> {
        let user = program.source.lines().find_map(|line| line.strip_prefix("# user "));
        let _running = user.map(|user| RunningProgram::start(&self.counts, user));
        self.sandbox.run(program, limits, events).await
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        self.sandbox.reset().await
    }

    async fn maintain(&mut self, how: Maintenance) -> Result<(), Fault> {
        self.sandbox.maintain(how).await
    }

    fn interpreter(&self) -> Option<InterpreterId> {
        self.sandbox.interpreter()
    }

    fn machine(&self) -> Option<Arc<dyn Machine>> {
        self.sandbox.machine()
    }
}

struct RunningProgram(UserCounts, String);

impl RunningProgram {
    fn start(counts: &UserCounts, user: &str) -> Self {
        let mut users = counts.0.lock().unwrap();
        let (now, most) = users.entry(user.to_owned()).or_default();
        *now += 1;
        *most = (*most).max(*now);
        Self(counts.clone(), user.to_owned())
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().get_mut(&self.1).unwrap().0 -= 1;
    }
}
