//! Tiers. A tier is a backend with a fair queue, a circuit breaker, a pool of warm sandboxes and retries. [`Tiers`]
//! walks a request along its route.

pub mod account;
pub mod attempt;
pub mod backoff;
pub mod breaker;
mod event_buffer;
pub mod late;
mod machine_lease;
pub mod pool;
pub mod queue;
mod readiness;
mod relay;
mod sandbox_guard;
mod unmet_need;
mod walk;

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use switchtower_contract::{
    Backend, Fault, Isolation, Kernel, KernelOptions, Kernels, Language, Location, Need, Offer, Spec, byte_size,
    duration, rounded,
};
use tokio::time::{Instant, timeout, timeout_at};

pub use attempt::Attempt;
pub use machine_lease::MachineLease;
pub use relay::Relay;
pub(crate) use walk::{DEADLINE_GRACE, overloaded, requested_delay};
pub use walk::{WalkError, WalkOptions, WalkOutcome};

use crate::request::{Request, SideEffects};
use crate::route::{Route, TierName, TierStatus};
use crate::seed::Seed;
use account::{AccountReader, AccountSnapshot};
use breaker::{Breaker, Open, Permit};
use late::LateBackend;
use pool::Pool;
use queue::{FairQueue, Queues, SlotRefusal};
use sandbox_guard::SandboxGuard;

/// A backend with its queue, retries, circuit breaker and pool.
pub struct Tier {
    name: TierName,
    backend: Arc<dyn Backend>,
    /// That backend, if it starts while the server answers.
    late: Option<Arc<LateBackend>>,
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
        let language = offer.languages.first();
        let pool = config.pool.clone().zip(language).map(|(pool, language)| {
            Pool::new(name.clone(), backend.clone(), Spec::new(language), pool, config.open_timeout)
        });
        Self { name, backend, late: None, offer, config, queue, breaker, pool, account: None, rng }
    }

    /// Returns the tier of a backend that starts while the server answers. It has a pool if its offer is known already; what
    /// that opens waits until the backend has started.
    pub fn late(name: TierName, backend: Arc<LateBackend>, config: Config, seed: &Seed) -> Self {
        Self { late: Some(Arc::clone(&backend)), ..Self::new(name, backend, config, seed) }
    }

    /// Returns whether its offer is known and its start has not failed.
    fn is_present(&self) -> bool {
        self.late.as_ref().is_none_or(|late| late.usable_offer().is_some())
    }

    /// Returns what the start of its backend waits for; `None` once that has ended.
    pub fn starting(&self) -> Option<String> {
        self.late.as_ref().and_then(|late| late.starting())
    }

    /// Waits until the start of its backend has ended, before a slot is asked for: a request that waits here takes none from
    /// others.
    ///
    /// # Errors
    /// The deadline has passed, or the server shuts down.
    pub(crate) async fn wait_until_started(&self, deadline: Instant) -> Result<(), StartWaitError> {
        let Some(late) = &self.late else { return Ok(()) };
        timeout_at(deadline, late.wait_for_end()).await.map_err(|_| StartWaitError::DeadlinePassed)?;
        if late.is_shutting_down() { Err(StartWaitError::Refused(SlotRefusal::shutting_down())) } else { Ok(()) }
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

    /// Starts the pool: opens its first sandboxes and its maintenance. Call this once, inside a tokio runtime, after the start
    /// of its backend.
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
        self.late.as_ref().and_then(|late| late.usable_offer()).unwrap_or(&self.offer)
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
        let (offer, starting) = (self.offer(), self.starting().is_some());
        TierStatus {
            tier: self.name.clone(),
            languages: offer.languages.clone(),
            isolation: offer.isolation,
            location: offer.location,
            machine: offer.machine,
            internet: offer.internet,
            price_per_second: offer.price_per_second,
            memory: offer.max_memory,
            wall: offer.max_wall,
            starting,
            up: !starting && self.breaker.as_ref().is_none_or(|breaker| breaker.check().is_ok()),
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
            let is_pooled = self.offer().languages.has(spec.language) && spec.network.is_open();
            match self.pool.as_ref().filter(|_| is_pooled) {
                // Its sandboxes are opened before their runs are known, so that only the language is kept of the spec.
                Some(pool) => {
                    let spec = Spec::new(self.pooled_language(spec.language));
                    pool.take_attempt(&spec, wall, attempt).await.map(SandboxGuard::Leased)
                }
                None => self.backend.open_attempt(spec, attempt).await.map(SandboxGuard::Owned),
            }
        };
        let timed_out = |_| Err(Fault::Unavailable { reason: format!("no sandbox opened within {}", rounded(limit)) });
        timeout(limit, sandbox).await.unwrap_or_else(timed_out)
    }

    /// Returns the language under which a sandbox is kept in the pool. A machine runs every language, and one that runs a
    /// single program has none of another one's state.
    fn pooled_language(&self, language: Language) -> Language {
        let runs_once = self.pool.as_ref().is_some_and(|pool| pool.config().reuse == pool::Reuse::Never);
        let first = self.offer().languages.first().filter(|_| runs_once && self.offer().machine);
        first.unwrap_or(language)
    }

    /// Returns the backend's capability to open kernels, if it has one.
    pub fn kernels(&self) -> Option<&dyn Kernels> {
        self.backend.kernels()
    }

    /// Opens a kernel in its own sandbox.
    ///
    /// # Errors
    /// The backend's fault; `Unsupported` if the backend has no kernels.
    pub async fn open_kernel(&self, language: Language, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        let unsupported = || Fault::Unsupported(Need::Language("a kernel that keeps its state".to_owned()));
        self.kernels().ok_or_else(unsupported)?.open_kernel(language, options).await
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the memory limit of a program in this tier, in bytes. `requested`: the limit that its request sets.
    pub(crate) fn memory(&self, requested: Option<u64>) -> u64 {
        requested.unwrap_or(self.config.default_memory).min(self.offer().max_memory)
    }

    /// Returns whether this tier may provide what a program needs; true for needs that only a run can check.
    /// `language`: the program's; `requested_memory`: the memory limit that its request sets, in bytes.
    pub(crate) fn may_provide(&self, need: &Need, language: Language, requested_memory: Option<u64>) -> bool {
        match need {
            Need::Module(module) => self.offer().languages.has_module(language, module),
            Need::Files(_) | Need::Process(_) | Need::Disk => self.offer().machine || self.offer().effectful,
            Need::Network(_) => self.offer().internet || self.offer().effectful,
            Need::Memory(bytes) => self.memory(requested_memory) > *bytes,
            // What notebooks have is on machines.
            Need::Language(_) => self.offer().machine || self.offer().effectful,
            Need::Library(_) | Need::Threads | Need::Time(_) => true,
        }
    }

    /// Returns whether its operator can add packages to it: it runs native Python of this machine.
    pub(crate) fn is_extensible(&self) -> bool {
        let offer = self.offer();
        !offer.machine && !offer.effectful && offer.isolation == Isolation::Process
    }

    /// Returns whether a program with these side effects must not run twice in this tier.
    fn is_effectful(&self, side_effects: SideEffects) -> bool {
        self.offer().effectful && side_effects == SideEffects::World
    }

    /// Returns the pause before repeat number `repeat`, from 0; see [`backoff::Config::pause`].
    pub(crate) fn pause(&self, repeat: u32, retry_after: Option<Duration>) -> Option<Duration> {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        self.config.backoff.pause(repeat, retry_after, &mut *rng)
    }
}

/// Why a request no longer waits for the start of a tier.
pub(crate) enum StartWaitError {
    DeadlinePassed,
    Refused(SlotRefusal),
}

/// The configured tiers.
pub struct Tiers {
    /// Those included whose backends are starting or have failed to start.
    configured: BTreeMap<TierName, Tier>,
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

impl fmt::Display for AbsentTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tier, reason, remedy, .. } = self;
        let remedy = remedy.as_ref().map_or_else(String::new, |remedy| format!("; {remedy}"));
        write!(f, "the tier {tier} is absent: {reason}{remedy}")
    }
}

impl Tiers {
    pub fn new(tiers: impl IntoIterator<Item = Tier>) -> Self {
        Self { configured: tiers.into_iter().map(|tier| (tier.name.clone(), tier)).collect(), absent: Vec::new() }
    }

    /// Sets the tiers that could not be created.
    #[must_use]
    pub fn with_absent(mut self, mut absent: Vec<AbsentTier>) -> Self {
        // What costs nothing is advised first.
        absent.sort_by_key(|absent| absent.machine);
        self.absent = absent;
        self
    }

    pub fn get(&self, name: &TierName) -> Option<&Tier> {
        self.configured.get(name).filter(|tier| tier.is_present())
    }

    /// Returns the tiers that requests can be routed to.
    pub fn iter(&self) -> impl Iterator<Item = &Tier> {
        self.configured.values().filter(|tier| tier.is_present())
    }

    /// Returns the tiers that could not be created, those included whose start has failed.
    pub fn absent(&self) -> impl Iterator<Item = &AbsentTier> {
        let failed = self.configured.values().filter_map(|tier| tier.late.as_ref()?.absent());
        self.not_created().chain(failed)
    }

    /// Returns the tiers that could not be created, without those whose start has failed.
    pub fn not_created(&self) -> impl Iterator<Item = &AbsentTier> {
        self.absent.iter()
    }

    /// Returns the tiers whose backends have not started yet, each with what it waits for.
    pub fn starting(&self) -> impl Iterator<Item = (&TierName, String)> {
        self.configured.values().filter_map(|tier| Some((&tier.name, tier.starting()?)))
    }

    /// Waits while a request cannot be routed well only because a tier starts whose offer is not known: the tier that it
    /// names, or any where no local tier is present. For half of the request's time where another tier is present.
    ///
    /// # Errors
    /// `TimedOut`: the request's deadline has passed. `Overloaded`: the server shuts down.
    pub(crate) async fn wait_for_offers(&self, request: &Request, deadline: Instant) -> Result<(), WalkError> {
        let named = request.tier.as_ref();
        let has_another = named.is_none() && self.iter().next().is_some();
        let until = if has_another { deadline - request.timeout / 2 } else { deadline };
        match timeout_at(until, self.offers_known(named)).await {
            Ok(known) => known,
            Err(_) if has_another => Ok(()),
            Err(_) => {
                let names: Vec<&str> = self.starting().map(|(tier, _)| tier.as_str()).collect();
                let (after, names) = (rounded(request.timeout), names.join(", "));
                let reason = format!("after {after} while waiting for tier {names}: it is still starting");
                Err(WalkError::TimedOut { reason })
            }
        }
    }

    async fn offers_known(&self, named: Option<&TierName>) -> Result<(), WalkError> {
        loop {
            if named.is_none() && self.iter().any(|tier| tier.offer().location == Location::Local) {
                return Ok(());
            }
            let wanted = self.configured.values().filter(|tier| named.is_none_or(|name| tier.name == *name));
            let unknown = wanted.filter(|tier| !tier.is_present());
            let unknown: Vec<(&TierName, &LateBackend)> =
                unknown.filter_map(|tier| Some((&tier.name, tier.late.as_deref()?))).collect();
            if let Some((tier, _)) = unknown.iter().find(|(_, late)| late.is_shutting_down()) {
                return Err(overloaded(tier, SlotRefusal::shutting_down()));
            }
            let awaited: Vec<_> = unknown.iter().filter(|(_, late)| late.starting().is_some()).collect();
            if awaited.is_empty() {
                return Ok(());
            }
            let mut known: Vec<_> = awaited.iter().map(|(_, late)| Box::pin(late.wait_for_offer())).collect();
            poll_fn(|cx| {
                let is_any_known = known.iter_mut().any(|known| known.as_mut().poll(cx).is_ready());
                if is_any_known { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    /// Waits until no tier is starting.
    pub async fn wait_until_started(&self) {
        for late in self.configured.values().filter_map(|tier| tier.late.as_ref()) {
            late.wait_for_end().await;
        }
    }

    /// Returns how to enable the absent tiers, as alternatives joined by "or"; `None` if no remedy is known. `machine`:
    /// only tiers that would provide machines.
    pub fn remedies(&self, machine: bool) -> Option<String> {
        self.remedies_of(|absent| absent.machine || !machine)
    }

    /// Returns how to enable some of the absent tiers.
    fn remedies_of(&self, helps: impl Fn(&AbsentTier) -> bool) -> Option<String> {
        let absent = self.absent().filter(|absent| helps(absent));
        let remedies: Vec<&str> = absent.filter_map(|absent| absent.remedy.as_deref()).collect();
        (!remedies.is_empty()).then(|| remedies.join(", or "))
    }

    /// Refuses every request that waits for a slot or for the start of a tier, now and from now on; what runs goes on.
    pub fn refuse_waiting(&self) {
        for tier in self.configured.values() {
            tier.queue.refuse_waiting();
            if let Some(late) = &tier.late {
                late.shut_down();
            }
        }
    }

    /// Closes the pools of all tiers.
    pub async fn close(&self) {
        for tier in self.configured.values() {
            tier.close().await;
        }
    }

    /// Returns the tiers of a route, each with its runtime id.
    pub fn runtimes<'a>(&'a self, route: &'a Route) -> impl Iterator<Item = (&'a TierName, Arc<str>)> {
        route.tiers().filter_map(|name| self.get(name)).map(|tier| (&tier.name, tier.runtime()))
    }

    /// Returns whether the first present tier of a route observes what a program does.
    pub fn first_tier_observes(&self, route: &Route) -> bool {
        route.tiers().find_map(|name| self.get(name)).is_some_and(|tier| tier.offer().observes)
    }

    pub fn statuses(&self) -> Vec<TierStatus> {
        self.iter().map(Tier::status).collect()
    }
}
