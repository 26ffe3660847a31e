//! Tiers. A tier is a backend with a fair queue, a circuit breaker, a pool of warm sandboxes and retries. [`Tiers`]
//! walks a request along its route.

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
use switchtower_contract::{
    Backend, Fault, Kernel, KernelOptions, Kernels, Need, Offer, Spec, byte_size, duration, rounded,
};
use tokio::time::timeout;

pub use attempt::Attempt;
pub use machine_lease::MachineLease;
pub use relay::Relay;
pub(crate) use walk::{DEADLINE_GRACE, overloaded, requested_delay};
pub use walk::{WalkError, WalkOptions, WalkOutcome};

use crate::request::SideEffects;
use crate::route::{Route, TierName, TierStatus};
use crate::seed::Seed;
use account::{AccountReader, AccountSnapshot};
use breaker::{Breaker, Open, Permit};
use pool::Pool;
use queue::{FairQueue, Queues};
use sandbox_guard::SandboxGuard;

/// A backend with its queue, retries, circuit breaker and pool.
pub struct Tier {
    name: TierName,
    backend: Arc<dyn Backend>,
    offer: Offer,
    config: Config,
    queue: FairQueue,
    breaker: Option<Breaker>,
    pool: Option<Pool>,
    account: Option<AccountReader>,
    /// Draws the jitter of pauses.
    rng: Mutex<ChaCha8Rng>,
}

/// The settings of a tier: its queue, retries, circuit breaker, pool and limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many programs run at once, and how requests are queued.
    pub queue: queue::Config,
    /// Retries on this tier.
    pub backoff: backoff::Config,
    /// The circuit breaker. Not set: no breaker, as in local tiers.
    pub breaker: Option<breaker::Config>,
    /// The pool of warm sandboxes. Not set: each run opens its own sandbox, as in local tiers.
    pub pool: Option<pool::Config>,
    /// How long the output of an attempt is held back, so that the caller does not see the output of an attempt that
    /// soon moves to another tier; 0: not at all.
    #[serde(with = "duration")]
    pub output_delay: Duration,
    /// Longest time to open a sandbox.
    #[serde(with = "duration")]
    pub open_timeout: Duration,
    /// Time after the deadline of a run within which the backend must return; otherwise the run counts as lost.
    /// Backends end programs at the deadline themselves; this bounds the wait for a backend that hangs.
    #[serde(with = "duration")]
    pub grace_period: Duration,
    /// Most output that is kept of one run, stdout and stderr together; 0: none.
    #[serde(with = "byte_size")]
    pub max_output: u64,
    /// Memory limit of a program whose request sets none, at least 1MiB.
    #[serde(with = "byte_size")]
    pub default_memory: u64,
}

impl Config {
    /// Returns the first invalid setting: a message that starts with its name. `None` if all are valid.
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
            output_delay: Duration::from_millis(250),
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
        let rng = Mutex::new(seed.fork(name.as_str()).rng());
        let queue = FairQueue::new(name.clone(), config.queue.clone());
        let breaker = config.breaker.clone().map(|config| Breaker::new(name.clone(), config));
        let language = offer.languages.first().copied();
        let pool = config.pool.clone().zip(language).map(|(pool, language)| {
            Pool::new(name.clone(), backend.clone(), Spec::new(language), pool, config.open_timeout)
        });
        Self { name, backend, offer, config, queue, breaker, pool, account: None, rng }
    }

    /// Puts the tier's queue under limits that it shares with other tiers. Call this before any request is queued.
    #[must_use]
    pub fn with_shared_limits(mut self, queues: &Queues) -> Self {
        self.queue = queues.queue(self.name.clone(), self.config.queue.clone());
        self
    }

    /// Sets the source of the account's figures, for a backend that is paid for.
    #[must_use]
    pub fn with_account(mut self, account: AccountReader) -> Self {
        self.account = Some(account);
        self
    }

    /// Starts the pool: opens its first sandboxes and its maintenance. Call this once, inside a tokio runtime.
    pub fn start(&self) {
        if let Some(pool) = &self.pool {
            pool.start();
        }
    }

    /// Closes the pool: ends its idle sandboxes and opens no more.
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

    /// Returns the current [runtime id](Backend::runtime) of the backend.
    pub fn runtime(&self) -> Arc<str> {
        self.backend.runtime()
    }

    /// Returns the packages that programs find in this tier, and their versions.
    pub fn packages(&self) -> Vec<(String, String)> {
        self.backend.packages()
    }

    pub fn status(&self) -> TierStatus {
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

    /// Returns a snapshot of the backend's account, if it has one.
    pub fn account(&self) -> Option<AccountSnapshot> {
        self.account.as_ref().map(|read| read())
    }

    /// Checks whether the breaker allows an attempt. An attempt whose permit is the probe is always allowed.
    fn check_breaker(&self, permit: Option<&Permit>) -> Result<(), Open> {
        match &self.breaker {
            Some(breaker) if !permit.is_some_and(Permit::is_probe) => breaker.check(),
            Some(_) | None => Ok(()),
        }
    }

    /// Returns the permit of an attempt: the given one if the breaker still allows the attempt, otherwise a new one.
    /// `None` if the tier has no breaker.
    fn permit(&self, permit: Option<Permit>) -> Result<Option<Permit>, Open> {
        self.check_breaker(permit.as_ref())?;
        match (permit, &self.breaker) {
            (Some(permit), _) => Ok(Some(permit)),
            (None, Some(breaker)) => breaker.permit().map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Returns whether the pool has reached its `min_ready`; true without a pool.
    pub fn is_ready(&self) -> bool {
        self.pool.as_ref().is_none_or(Pool::is_ready)
    }

    /// Opens a sandbox, or leases one from the pool, for one run of at most `wall`. `attempt`: the number of the
    /// request's attempt on this tier, from 1.
    ///
    /// # Errors
    /// The backend's fault; `Unavailable` after `open_timeout`.
    async fn sandbox(&self, spec: &Spec, wall: Duration, attempt: u32) -> Result<SandboxGuard, Fault> {
        let limit = self.config.open_timeout;
        let sandbox = async {
            // A machine of the pool has no policy, and one with a policy never enters it.
            let is_pooled = self.offer.languages.contains(&spec.language) && spec.network.is_open();
            match self.pool.as_ref().filter(|_| is_pooled) {
                // Its sandboxes are opened before their runs are known, so that only the language is kept of the spec.
                Some(pool) => {
                    pool.take_attempt(&Spec::new(spec.language), wall, attempt).await.map(SandboxGuard::Leased)
                }
                None => self.backend.open_attempt(spec, attempt).await.map(SandboxGuard::Owned),
            }
        };
        let timed_out = |_| Err(Fault::Unavailable { reason: format!("no sandbox opened within {}", rounded(limit)) });
        timeout(limit, sandbox).await.unwrap_or_else(timed_out)
    }

    /// Returns the backend's capability to open kernels, if it has one.
    pub fn kernels(&self) -> Option<&dyn Kernels> {
        self.backend.kernels()
    }

    /// Opens a kernel in its own sandbox.
    ///
    /// # Errors
    /// The backend's fault; `Unsupported` if the backend has no kernels.
    pub async fn open_kernel(&self, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        let unsupported = || Fault::Unsupported(Need::Language("a kernel that keeps its state".to_owned()));
        self.kernels().ok_or_else(unsupported)?.open_kernel(options).await
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the memory limit of a program in this tier, in bytes. `requested`: the limit that its request sets.
    pub(crate) fn memory(&self, requested: Option<u64>) -> u64 {
        requested.unwrap_or(self.config.default_memory).min(self.offer.max_memory)
    }

    /// Returns whether this tier may provide what a program needs; true for needs that only a run can check.
    /// `requested_memory`: the memory limit that its request sets, in bytes.
    pub(crate) fn may_provide(&self, need: &Need, requested_memory: Option<u64>) -> bool {
        match need {
            Need::Module(module) => self.offer.modules.has(module),
            Need::Files(_) | Need::Network(_) | Need::Process(_) => self.offer.effectful,
            Need::Memory(bytes) => self.memory(requested_memory) > *bytes,
            Need::Library(_) | Need::Threads | Need::Time(_) | Need::Language(_) => true,
        }
    }

    /// Returns whether a program with these side effects must not run twice in this tier.
    fn is_effectful(&self, side_effects: SideEffects) -> bool {
        self.offer.effectful && side_effects == SideEffects::World
    }

    /// Returns the pause before repeat number `repeat`, from 0; see [`backoff::Config::pause`].
    pub(crate) fn pause(&self, repeat: u32, retry_after: Option<Duration>) -> Option<Duration> {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        self.config.backoff.pause(repeat, retry_after, &mut *rng)
    }
}

/// The configured tiers.
pub struct Tiers {
    present: BTreeMap<TierName, Tier>,
    absent: Vec<AbsentTier>,
}

/// A configured tier that could not be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbsentTier {
    pub tier: TierName,
    /// Why it could not be created.
    pub reason: String,
    /// How to enable it, if one step is enough.
    pub remedy: Option<String>,
    /// Whether it would provide machines, with commands and the network.
    pub machine: bool,
}

impl Tiers {
    pub fn new(tiers: impl IntoIterator<Item = Tier>) -> Self {
        Self { present: tiers.into_iter().map(|tier| (tier.name.clone(), tier)).collect(), absent: Vec::new() }
    }

    /// Sets the tiers that could not be created.
    #[must_use]
    pub fn with_absent(mut self, absent: Vec<AbsentTier>) -> Self {
        self.absent = absent;
        self
    }

    pub fn get(&self, name: &TierName) -> Option<&Tier> {
        self.present.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Tier> {
        self.present.values()
    }

    pub fn absent(&self) -> &[AbsentTier] {
        &self.absent
    }

    /// Returns how to enable the absent tiers, as alternatives joined by "or"; `None` if no remedy is known. `machine`:
    /// only tiers that would provide machines.
    pub fn remedies(&self, machine: bool) -> Option<String> {
        let absent = self.absent.iter().filter(|absent| absent.machine || !machine);
        let remedies: Vec<&str> = absent.filter_map(|absent| absent.remedy.as_deref()).collect();
        (!remedies.is_empty()).then(|| remedies.join(", or "))
    }

    /// Closes the pools of all tiers.
    pub async fn close(&self) {
        for tier in self.iter() {
            tier.close().await;
        }
    }

    /// Returns the tiers of a route, each with its runtime id.
    pub fn runtimes<'a>(&'a self, route: &'a Route) -> impl Iterator<Item = (&'a TierName, Arc<str>)> {
        route.tiers().filter_map(|name| self.get(name)).map(|tier| (&tier.name, tier.runtime()))
    }

    /// Returns whether the first present tier of a route observes what a program does.
    pub fn first_tier_observes(&self, route: &Route) -> bool {
        route.tiers().find_map(|name| self.get(name)).is_some_and(|tier| tier.offer.observes)
    }

    pub fn statuses(&self) -> Vec<TierStatus> {
        self.iter().map(Tier::status).collect()
    }
}
