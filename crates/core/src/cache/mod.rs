//! The result cache, and single flight for equal requests.
//!
//! A result is stored only if every run of the same request must have it: see [`finding`] and [`StoredResult::new`]. A result
//! that the sandbox observed to be pure is stored at once. A result that rests on the static proof alone is a candidate until
//! a run in another interpreter has the same result, so the third equal request is the first hit. Of equal requests in flight
//! whose result will be observed, the first one (the leader) runs and the others (the followers) wait. They share its result;
//! if it leaves none that can be shared, they run themselves; if the leader is dropped, the next follower leads.

pub mod bars;
mod compare;
pub mod finding;
pub mod fingerprint;
mod flight;
mod store;
mod verification;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::{Exit, Outcome, Output};
use switchtower_contract::{byte_size, duration};
use tokio::time::timeout;

pub use fingerprint::{Digest, Fingerprint};
pub use flight::{CacheCounts, Flight};

use bars::{Status, Subject};

use crate::request::CacheMode;
use crate::route::TierName;
use crate::schema::Storable;
use flight::{FlightEnd, FlightStart, Shared};

/// The result cache of a router.
pub struct ResultCache {
    shared: Arc<Shared>,
    scope: Scope,
    recheck_one_in: u32,
}

/// How many results are stored, for how long, and who shares them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Maximum number of stored results, at most 10,000,000; the least recently used is removed first. 0: nothing is cached.
    pub max_entries: usize,
    /// How long a result is stored. 0: nothing is cached.
    #[serde(with = "duration")]
    pub ttl: Duration,
    /// Maximum size of all stored results together. 0: nothing is cached.
    #[serde(with = "byte_size")]
    pub max_bytes: usize,
    /// Who shares results: `caller`, requests of the same user with the same key; `key`, all users of the same key (all
    /// callers if no keys are set); `shared`, all callers.
    pub scope: Scope,
    /// Maximum number of result digests that are kept to compare later runs with, at most 10,000,000; about 200 bytes each. A
    /// digest is kept 24 h longer than a result.
    pub max_digests: usize,
    /// One in this many hits is also run again, in local tiers only, and compared with the stored result. A result that was
    /// not observed to be pure is run again on each hit until four such runs agreed. 0: no hit is run again.
    pub recheck_one_in: u32,
}

/// Which callers share a stored result. A hit is faster than a run, so its latency reveals that someone in the scope has run
/// the same program with the same inputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Requests of the same user with the same key.
    Caller,
    /// All users of one key; all callers if the server requires no key.
    #[default]
    Key,
    /// All callers.
    Shared,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_entries: 1000,
            ttl: Duration::from_secs(300),
            max_bytes: 64 << 20,
            scope: Scope::default(),
            max_digests: 20_000,
            recheck_one_in: 200,
        }
    }
}

/// Upper limit of `max_entries` and `max_digests`: a table of this size is allocated at the start, about 300 MB.
const MAX_TABLE_ENTRIES: usize = 10_000_000;

impl Config {
    /// Returns a message about the first invalid setting, beginning with its name; `None` if all are valid.
    pub fn problem(&self) -> Option<String> {
        let counts = [("max_entries", self.max_entries), ("max_digests", self.max_digests)];
        let (name, count) = counts.into_iter().find(|(_, count)| *count > MAX_TABLE_ENTRIES)?;
        Some(format!("{name} is {count}: it must be at most {MAX_TABLE_ENTRIES}"))
    }
}

/// A result that answers equal requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredResult {
    /// The tier that produced it.
    pub tier: TierName,
    pub outcome: Outcome,
    pub output: Output,
}

impl Storable for StoredResult {
    const NAME: &'static str = "result";
    const SCHEMA: u32 = 1;
}

impl StoredResult {
    /// Returns the result of a run if the program reached its own end, lacked nothing and its output was not truncated.
    /// Returns `None` for a run that a time or memory limit or a missing feature ended: the next one may end differently.
    pub fn new(tier: &TierName, outcome: &Outcome, output: &Output) -> Option<Self> {
        let complete = outcome.unmet_need.is_none() && !outcome.truncated;
        let ended = matches!(outcome.exit, Exit::Finished(_) | Exit::Raised);
        (complete && ended).then(|| Self { tier: tier.clone(), outcome: outcome.clone(), output: output.clone() })
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.output.size()
    }
}

/// Whether a run's result was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stored {
    /// It answers equal requests from now on.
    Kept,
    /// It will be stored once a run in another interpreter has the same result.
    Candidate,
    /// It was not stored.
    No,
}

/// How the cache was used for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheStatus {
    /// The answer is a stored result.
    Hit,
    /// The program ran.
    Miss,
    /// The answer is the result of an equal request that was running.
    Coalesced,
    /// The request bypasses the cache.
    Bypass,
}

impl CacheStatus {
    /// Returns the name that answers and metrics use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::Bypass => "bypass",
        }
    }
}

/// The result of [`ResultCache::find`].
pub enum Lookup {
    /// A result to answer with; the status is `Hit` or `Coalesced`.
    Stored(Arc<StoredResult>, CacheStatus),
    /// The program has to run. Its result goes to [`Flight::complete`].
    Run(Flight),
}

impl ResultCache {
    /// Returns an empty cache.
    pub fn new(config: &Config) -> Self {
        Self { shared: Shared::new(config), scope: config.scope, recheck_one_in: config.recheck_one_in }
    }

    /// Returns which callers share results.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Returns how many hits there are for one that is run again; zero if none is.
    pub fn recheck_one_in(&self) -> u32 {
        self.recheck_one_in
    }

    /// Returns a stored result, or waits for the result of an equal request in flight. After `wait_timeout` the request runs
    /// itself. `observed` says that the first sandbox of the route observes the program's effects; if it does not, the
    /// request does not wait, because the result would not be shared. A request does not wait for a leader of another `user`
    /// that has not started to run, because that leader is queued behind its own user's requests. Dropping the future does
    /// not affect the flight.
    pub async fn find(
        &self,
        key: &Fingerprint,
        subject: &Subject,
        user: &Arc<str>,
        mode: CacheMode,
        observed: bool,
        wait_timeout: Duration,
    ) -> Lookup {
        let alone = || Lookup::Run(Flight::alone(&self.shared, key, subject));
        let follower = match mode {
            CacheMode::Bypass => return Lookup::Run(Flight::bypass(&self.shared, key, subject)),
            CacheMode::Refresh => return alone(),
            CacheMode::Use => match self.shared.join(key, subject, user, observed) {
                FlightStart::Stored(result) => return Lookup::Stored(result, CacheStatus::Hit),
                FlightStart::Leader(flight) => return Lookup::Run(flight),
                FlightStart::Alone => return alone(),
                FlightStart::Barred => return Lookup::Run(Flight::barred(&self.shared, key, subject)),
                FlightStart::Follower(follower) => follower,
            },
        };
        match timeout(wait_timeout, follower.end()).await {
            Ok(FlightEnd::Shared(result)) => Lookup::Stored(result, CacheStatus::Coalesced),
            Ok(FlightEnd::Leader(flight)) => Lookup::Run(flight),
            Ok(FlightEnd::Alone) | Err(_) => alone(),
        }
    }

    /// Returns whether each hit of this result must be run again: the result was not observed to be pure, and fewer than four
    /// rechecks agreed with it so far.
    pub fn must_recheck(&self, key: &Fingerprint) -> bool {
        self.shared.must_recheck(key)
    }

    /// Compares a stored result with that of a recheck. A different result bars the program and removes its stored results.
    /// `None`, a recheck without a comparable result, changes nothing but the count of rechecks.
    pub fn compare(
        &self,
        key: &Fingerprint,
        subject: &Subject,
        stored: &Arc<StoredResult>,
        again: Option<&StoredResult>,
    ) {
        self.shared.recheck(key, subject, stored, again);
    }

    /// Returns the counts since the cache was created.
    pub fn counts(&self) -> CacheCounts {
        self.shared.counts()
    }

    /// Returns what is barred because two runs had different results. The status contains callers' output: for the operator
    /// only.
    pub fn bars(&self) -> Status {
        self.shared.bars()
    }

    /// Lifts all bars and returns how many programs were barred.
    pub fn lift_bars(&self) -> usize {
        self.shared.lift_bars()
    }

    /// Removes expired results, which would hold memory until newer ones displace them.
    pub fn remove_expired(&self) {
        self.shared.remove_expired();
    }

    /// Returns the number of stored results, expired ones included and candidates left out.
    pub fn len(&self) -> usize {
        self.shared.stored_results()
    }

    /// Returns whether no result is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of flights that have a leader now.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight()
    }
}

#[cfg(test)]
mod tests;
