//! A tier is a backend made dependable: a fair queue before it, a breaker, a pool of warm sandboxes, retries around it.
//! [`Tiers`] walks a route.

pub mod account;
pub mod attempt;
pub mod backoff;
pub mod breaker;
mod event_buffer;
mod machine_lease;
pub mod pool;
pub mod queue;
mod relay;
mod sandbox_guard;
mod unmet_need;
mod walk;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use switchtower_contract::{Backend, Fault, Kernel, KernelOptions, Kernels, Need, Offer, Spec, byte_size, rounded};
use tokio::time::timeout;

pub use attempt::Attempt;
pub use machine_lease::MachineLease;
pub use relay::Relay;
pub(crate) use walk::{OVERTIME, asked, overloaded};
pub use walk::{Terms, WalkError, Walked};

use crate::request::SideEffects;
use crate::route::{Route, TierName, TierStatus};
use crate::seed::Seed;
use breaker::{Breaker, Open, Permit};
use pool::Pool;
use queue::{FairQueue, Queues};
use sandbox_guard::SandboxGuard;

/// A backend with all that makes it dependable.
pub struct Tier {
    name: TierName,
    backend: Arc<dyn Backend>,
    offer: Offer,
    config: Config,
    queue: FairQueue,
    breaker: Option<Breaker>,
    pool: Option<Pool>,
    account: Option<account::Ask>,
    /// Protects the jitter's draws.
    chance: Mutex<ChaCha8Rng>,
}

/// What makes a backend dependable: its queue, retries, breaker, pool and limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many programs run at once, and how requests wait.
    pub queue: queue::Config,
    /// Retries on this tier.
    pub backoff: backoff::Config,
    /// The circuit breaker. Not set: there is none, as in local tiers.
    pub breaker: Option<breaker::Config>,
    /// The pool of sandboxes that are kept ready. Not set: each run opens its own, as in local tiers.
    pub pool: Option<pool::Config>,
    /// How long an attempt's output is held back, so that a quick change of tier is not seen; 0: not at all.
    #[serde(with = "humantime_serde")]
    pub hold_back: Duration,
    /// Longest time that opening a sandbox may take.
    #[serde(with = "humantime_serde")]
    pub open_timeout: Duration,
    /// Time after its deadline in which a run must have returned, or its backend counts as hung. Backends end programs at
    /// the deadline themselves; this is for a backend that does not.
    #[serde(with = "humantime_serde")]
    pub grace_period: Duration,
    /// Bytes of stdout and stderr that are kept of one run; 0: none.
    #[serde(with = "byte_size")]
    pub max_output: u64,
    /// Memory of a program whose request asks for none, at least 1MiB.
    #[serde(with = "byte_size")]
    pub default_memory: u64,
}

impl Config {
    /// Returns the first setting that cannot be used and why, in words that begin with its name; `None` when all can.
    pub fn problem(&self) -> Option<String> {
        if self.open_timeout.is_zero() {
            return Some("open_timeout must be longer than 0s".to_owned());
        }
        if self.default_memory < (1 << 20) {
            return Some("default_memory must be at least 1MiB".to_owned());
        }
        let within = |table: &str, problem: Option<String>| problem.map(|problem| format!("{table}.{problem}"));
        within("queue", self.queue.problem())
            .or_else(|| within("breaker", self.breaker.as_ref().and_then(breaker::Config::problem)))
            .or_else(|| within("pool", self.pool.as_ref().and_then(pool::Config::problem)))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue: queue::Config::default(),
            backoff: backoff::Config::default(),
            breaker: None,
            pool: None,
            hold_back: Duration::from_millis(250),
            open_timeout: Duration::from_secs(30),
            grace_period: Duration::from_secs(5),
            max_output: 1 << 20,
            default_memory: 256 << 20,
        }
    }
}

impl Tier {
    pub fn new(name: TierName, backend: Arc<dyn Backend>, config: Config, seed: &Seed) -> Self {
        let offer = backend.offer();
        let chance = Mutex::new(seed.fork(name.as_str()).rng());
        let queue = FairQueue::new(name.clone(), config.queue.clone());
        let breaker = config.breaker.clone().map(|config| Breaker::new(name.clone(), config));
        let language = offer.languages.first().copied();
        let pool = config.pool.clone().zip(language).map(|(pool, language)| {
            Pool::new(name.clone(), backend.clone(), Spec::new(language), pool, config.open_timeout)
        });
        Self { name, backend, offer, config, queue, breaker, pool, account: None, chance }
    }

    /// Its queue under limits that it has in common with others. Call it before anybody waits there.
    #[must_use]
    pub fn within(mut self, queues: &Queues) -> Self {
        self.queue = queues.queue(self.name.clone(), self.config.queue.clone());
        self
    }

    /// With figures of the account that it runs on.
    #[must_use]
    pub fn with_account(mut self, ask: account::Ask) -> Self {
        self.account = Some(ask);
        self
    }

    /// Warms what is kept warm. Call it inside a runtime, once.
    pub fn start(&self) {
        if let Some(pool) = &self.pool {
            pool.start();
        }
    }

    /// Gives up what is kept warm, and opens no more of it.
    pub async fn close(&self) {
        if let Some(pool) = &self.pool {
            pool.close().await;
        }
    }

    pub fn name(&self) -> &TierName {
        &self.name
    }

    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// As [`Backend::runtime`] has it at this moment.
    pub fn runtime(&self) -> Arc<str> {
        self.backend.runtime()
    }

    pub fn standing(&self) -> TierStatus {
        let load = self.queue.load();
        TierStatus {
            tier: self.name.clone(),
            languages: self.offer.languages.clone(),
            modules: self.offer.modules.clone(),
            isolation: self.offer.isolation,
            location: self.offer.location,
            machine: self.offer.machine,
            price_per_second: self.offer.price_per_second,
            memory: self.offer.max_memory,
            wall: self.offer.max_wall,
            up: self.breaker.as_ref().is_none_or(|breaker| breaker.check().is_ok()),
            running: load.running,
            queued: load.queued,
            slots: load.slots,
        }
    }

    pub fn breaker(&self) -> Option<&Breaker> {
        self.breaker.as_ref()
    }

    pub fn pool(&self) -> Option<&Pool> {
        self.pool.as_ref()
    }

    /// How its account stands, where it has one.
    pub fn account(&self) -> Option<account::Account> {
        self.account.as_ref().map(|ask| ask())
    }

    /// Whether its breaker lets an attempt go on. A probe that is out goes on.
    fn lets_through(&self, permit: Option<&Permit>) -> Result<(), Open> {
        match &self.breaker {
            Some(breaker) if !permit.is_some_and(Permit::is_probe) => breaker.check(),
            Some(_) | None => Ok(()),
        }
    }

    /// The permit of an attempt: the one that there is, where its breaker still lets it go on, or a new one. None without a
    /// breaker.
    fn permit(&self, permit: Option<Permit>) -> Result<Option<Permit>, Open> {
        self.lets_through(permit.as_ref())?;
        match (permit, &self.breaker) {
            (Some(permit), _) => Ok(Some(permit)),
            (None, Some(breaker)) => breaker.permit().map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Whether as much is warm as it was told to wait for.
    pub fn is_ready(&self) -> bool {
        self.pool.as_ref().is_none_or(Pool::is_ready)
    }

    /// A sandbox for one run of this length. `attempt`: which try of its request this is, from 1.
    async fn sandbox(&self, spec: &Spec, wall: Duration, attempt: u32) -> Result<SandboxGuard, Fault> {
        let most = self.config.open_timeout;
        let held = async {
            match self.pool.as_ref().filter(|pool| pool.serves(spec)) {
                Some(pool) => pool.take_attempt(wall, attempt).await.map(SandboxGuard::Lent),
                None => self.backend.open_attempt(spec, attempt).await.map(SandboxGuard::Own),
            }
        };
        let late = |_| Err(Fault::Unavailable { reason: format!("no sandbox within {}", rounded(most)) });
        timeout(most, held).await.unwrap_or_else(late)
    }

    /// Returns what opens kernels in this tier, where its backend keeps them.
    pub fn kernels(&self) -> Option<&dyn Kernels> {
        self.backend.kernels()
    }

    /// Opens a kernel in a sandbox of its own.
    ///
    /// # Errors
    /// The backend's fault; `Unsupported` where it keeps no kernels.
    pub async fn open_kernel(&self, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        let none = || Fault::Unsupported(Need::Language("a kernel that keeps its state".to_owned()));
        self.kernels().ok_or_else(none)?.open_kernel(options).await
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Bytes of memory that a program gets here which asked for so much.
    pub(crate) fn memory(&self, asked: Option<u64>) -> u64 {
        asked.unwrap_or(self.config.default_memory).min(self.offer.max_memory)
    }

    /// Whether a program with this need may fare better here. What only a run can show counts as yes. `asked`: the memory
    /// that its request allows.
    pub(crate) fn may_have(&self, need: &Need, asked: Option<u64>) -> bool {
        match need {
            Need::Module(module) => self.offer.modules.has(module),
            Need::Files(_) | Need::Network(_) | Need::Process(_) => self.offer.effectful,
            Need::Memory(bytes) => self.memory(asked) > *bytes,
            Need::Library(_) | Need::Threads | Need::Time(_) | Need::Language(_) => true,
        }
    }

    /// Whether a run here that leaves this behind must not take place twice.
    fn is_effectful(&self, side_effects: SideEffects) -> bool {
        self.offer.effectful && side_effects == SideEffects::World
    }

    pub(crate) fn pause(&self, repeat: u32, asked: Option<Duration>) -> Option<Duration> {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        self.config.backoff.pause(repeat, asked, &mut *chance)
    }
}

/// The tiers that are configured.
pub struct Tiers {
    standing: BTreeMap<TierName, Tier>,
    absent: Vec<Absent>,
}

/// A tier that is configured and could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    pub tier: TierName,
    pub reason: String,
    /// What would bring it, where that is one thing to do.
    pub remedy: Option<String>,
    /// It would be a machine, with commands and the network.
    pub machine: bool,
}

impl Tiers {
    pub fn new(tiers: impl IntoIterator<Item = Tier>) -> Self {
        Self { standing: tiers.into_iter().map(|tier| (tier.name.clone(), tier)).collect(), absent: Vec::new() }
    }

    /// With those that are not there.
    #[must_use]
    pub fn with_absent(mut self, absent: Vec<Absent>) -> Self {
        self.absent = absent;
        self
    }

    pub fn get(&self, name: &TierName) -> Option<&Tier> {
        self.standing.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Tier> {
        self.standing.values()
    }

    pub fn absent(&self) -> &[Absent] {
        &self.absent
    }

    /// What would bring the tiers that are not there; `machine`: only those that are machines.
    pub fn remedies(&self, machine: bool) -> Option<String> {
        let absent = self.absent.iter().filter(|absent| absent.machine || !machine);
        let remedies: Vec<&str> = absent.filter_map(|absent| absent.remedy.as_deref()).collect();
        (!remedies.is_empty()).then(|| remedies.join(", or "))
    }

    /// Gives up what is kept warm.
    pub async fn close(&self) {
        for tier in self.iter() {
            tier.close().await;
        }
    }

    /// The tiers of a route, each with its runtime's id.
    pub fn runtimes<'a>(&'a self, route: &'a Route) -> impl Iterator<Item = (&'a TierName, Arc<str>)> {
        route.tiers().filter_map(|name| self.get(name)).map(|tier| (&tier.name, tier.runtime()))
    }

    /// True where the first tier of a route sees what a program asks for.
    pub fn observe_first(&self, route: &Route) -> bool {
        route.tiers().find_map(|name| self.get(name)).is_some_and(|tier| tier.offer.observes)
    }

    pub fn statuses(&self) -> Vec<TierStatus> {
        self.iter().map(Tier::standing).collect()
    }
}
