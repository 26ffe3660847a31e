//! A tier is a backend made dependable: a fair queue before it, retries around it. [`Tiers`] walks a route.

pub mod attempt;
pub mod backoff;
mod outbox;
pub mod queue;
mod relay;
mod walk;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use switchtower_contract::{Backend, Need, Offer};

pub use attempt::Attempt;
pub use relay::Relay;
pub use walk::{Setback, Walked};

use crate::route::{Route, Standing, TierName};
use crate::seed::Seed;
use queue::FairQueue;

/// A backend with its queue.
pub struct Tier {
    name: TierName,
    backend: Arc<dyn Backend>,
    offer: Offer,
    config: Config,
    queue: FairQueue,
    /// Protects the jitter's draws.
    chance: Mutex<ChaCha8Rng>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub queue: queue::Config,
    pub backoff: backoff::Config,
    /// How long an attempt's events are held back, so that a quick change of tier is not seen.
    #[serde(with = "humantime_serde")]
    pub hold_back: Duration,
    /// Longest that a sandbox may take to open.
    #[serde(with = "humantime_serde")]
    pub opening: Duration,
    /// Bytes of stdout and stderr that are kept.
    pub output: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue: queue::Config::default(),
            backoff: backoff::Config::default(),
            hold_back: Duration::from_millis(250),
            opening: Duration::from_secs(30),
            output: 1 << 20,
        }
    }
}

impl Tier {
    pub fn new(name: TierName, backend: Arc<dyn Backend>, config: Config, seed: &Seed) -> Self {
        let offer = backend.offer();
        let chance = Mutex::new(seed.fork(name.as_str()).rng());
        Self { queue: FairQueue::new(config.queue.clone()), name, backend, offer, config, chance }
    }

    pub fn name(&self) -> &TierName {
        &self.name
    }

    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    pub fn standing(&self) -> Standing {
        let load = self.queue.load();
        Standing {
            tier: self.name.clone(),
            languages: self.offer.languages.clone(),
            modules: self.offer.modules.clone(),
            isolation: self.offer.isolation,
            memory: self.offer.memory,
            wall: self.offer.wall,
            up: true,
            running: load.running,
            queued: load.queued,
            slots: load.slots,
        }
    }

    /// Whether a program with this need may fare better here. What only a run can show counts as yes.
    fn may_have(&self, need: &Need) -> bool {
        match need {
            Need::Module(module) => self.offer.modules.has(module),
            Need::Files(_) | Need::Network(_) | Need::Process(_) => self.offer.effectful,
            Need::Memory(bytes) => self.offer.memory > *bytes,
            Need::Threads | Need::Time(_) | Need::Language(_) => true,
        }
    }

    fn pause(&self, repeat: u32, asked: Option<Duration>) -> Option<Duration> {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        self.config.backoff.pause(repeat, asked, &mut *chance)
    }
}

/// The tiers that are configured.
pub struct Tiers(BTreeMap<TierName, Tier>);

impl Tiers {
    pub fn new(tiers: impl IntoIterator<Item = Tier>) -> Self {
        Self(tiers.into_iter().map(|tier| (tier.name.clone(), tier)).collect())
    }

    pub fn get(&self, name: &TierName) -> Option<&Tier> {
        self.0.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Tier> {
        self.0.values()
    }

    /// The tiers of a route, each with its runtime's id.
    pub fn runtimes<'a>(&'a self, route: &'a Route) -> impl Iterator<Item = (&'a TierName, &'a str)> {
        route.tiers().filter_map(|name| self.get(name)).map(|tier| (&tier.name, &*tier.offer.runtime))
    }

    pub fn standings(&self) -> Vec<Standing> {
        self.iter().map(Tier::standing).collect()
    }
}
