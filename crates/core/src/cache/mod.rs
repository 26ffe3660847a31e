//! Answers that may be given again, and equal requests in flight that run once.
//!
//! Only a result that the same request must have again is stored: see [`finding`] and [`StoredResult::new`]. What a sandbox
//! observed is stored at once. What rests on a proof alone is a candidate until a run in another interpreter has the same
//! result: the third equal request is then the first hit. Of equal requests whose result is observed the first leads and the
//! others follow; whichever way the leader ends, the next one leads, or all have its answer.

pub mod bars;
mod compare;
pub mod finding;
pub mod fingerprint;
mod flight;
mod memory;
mod verification;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::byte_size;
use switchtower_contract::{Exit, Outcome, Output};
use tokio::time::timeout;

pub use fingerprint::{Digest, Fingerprint};
pub use flight::{Counts, Flight};

use bars::{Status, Subject};

use crate::request::CacheMode;
use crate::route::TierName;
use crate::schema::Storable;
use flight::{FlightEnd, FlightStart, Shared};

/// The cache.
pub struct ResultCache {
    shared: Arc<Shared>,
    scope: Scope,
    recheck: u32,
}

/// How many results are kept, how long, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Results that are kept at once, the least recently used removed first; 0: nothing is cached.
    pub max_entries: usize,
    /// How long a result is kept; 0: nothing is cached.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
    /// Bytes of all results that are kept; 0: nothing is cached.
    #[serde(with = "byte_size")]
    pub max_bytes: usize,
    /// Who may be given a result: `caller`, the same user with the same key; `key`, all users of the same key (everybody
    /// where no keys are set); `shared`, everybody.
    pub scope: Scope,
    /// Results whose digest is remembered, for 24 h longer than a result is kept, to compare later runs with; about 200 bytes
    /// each.
    pub max_digests: usize,
    /// One in this many hits is run again beside its answer, in local tiers only, and compared; of a result that was not
    /// observed to be pure, each of the first hits until four runs agreed; 0: none is run again.
    pub recheck_one_in: u32,
}

/// Who may be given a result that a request of somebody else has made. A hit is faster than a run, so it tells that
/// somebody in the scope has run the same program with the same inputs before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The same user with the same key.
    Caller,
    /// All users of one key. Where no key is asked for, everybody.
    #[default]
    Key,
    /// Everybody.
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

/// A result that may be given again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredResult {
    /// The tier that made it.
    pub tier: TierName,
    pub outcome: Outcome,
    pub output: Output,
}

impl Storable for StoredResult {
    const NAME: &'static str = "result";
    const SCHEMA: u32 = 1;
}

impl StoredResult {
    /// A pure result, where it may be kept: the program came to its own end, with all it needed and all it said. What
    /// was cut by time, memory or a missing part may end otherwise next time.
    pub fn new(tier: &TierName, outcome: &Outcome, output: &Output) -> Option<Self> {
        let whole = outcome.unmet_need.is_none() && !outcome.truncated;
        let ended = matches!(outcome.exit, Exit::Finished(_) | Exit::Raised);
        (whole && ended).then(|| Self { tier: tier.clone(), outcome: outcome.clone(), output: output.clone() })
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.output.size()
    }
}

/// What became of a result in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stored {
    /// It may be given to equal requests.
    Kept,
    /// It waits for a run in another interpreter that has the same result.
    Candidate,
    No,
}

/// What the cache did for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheStatus {
    /// It was kept.
    Hit,
    /// The program ran for it.
    Miss,
    /// An equal request was running: this is its result.
    Coalesced,
    /// The request did not want the cache.
    Bypass,
}

impl CacheStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::Bypass => "bypass",
        }
    }
}

/// What [`ResultCache::find`] comes back with.
pub enum Found {
    Kept(Arc<StoredResult>, CacheStatus),
    /// The program has to run. Land the flight with its result.
    Nothing(Flight),
}

impl ResultCache {
    pub fn new(config: &Config) -> Self {
        Self { shared: Shared::new(config), scope: config.scope, recheck: config.recheck_one_in }
    }

    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Of so many hits one is to be run again; zero: none.
    pub fn recheck_one_in(&self) -> u32 {
        self.recheck
    }

    /// Looks for an answer, or waits for that of an equal request in flight; at most for `wait_timeout`, then this request
    /// runs by itself. `observed`: the first sandbox of its route sees what the program asks for; else nobody waits, since
    /// the result would not be shared. `user`: no request waits for one of another user that has not begun to run, since
    /// that waits for its turn among its own user's. Dropping the future leaves the flight as it is.
    pub async fn find(
        &self,
        key: &Fingerprint,
        subject: &Subject,
        user: &Arc<str>,
        mode: CacheMode,
        observed: bool,
        wait_timeout: Duration,
    ) -> Found {
        let alone = || Found::Nothing(Flight::alone(&self.shared, key, subject));
        let follower = match mode {
            CacheMode::Bypass => return Found::Nothing(Flight::bypass(&self.shared, key, subject)),
            CacheMode::Refresh => return alone(),
            CacheMode::Use => match self.shared.join(key, subject, user, observed) {
                FlightStart::Kept(kept) => return Found::Kept(kept, CacheStatus::Hit),
                FlightStart::Leader(flight) => return Found::Nothing(flight),
                FlightStart::Alone => return alone(),
                FlightStart::Barred => return Found::Nothing(Flight::barred(&self.shared, key, subject)),
                FlightStart::Follower(follower) => follower,
            },
        };
        match timeout(wait_timeout, follower.landing()).await {
            Ok(FlightEnd::Shared(kept)) => Found::Kept(kept, CacheStatus::Coalesced),
            Ok(FlightEnd::Leader(flight)) => Found::Nothing(flight),
            Ok(FlightEnd::Alone) | Err(_) => alone(),
        }
    }

    /// True where a hit of this result is to be run again in any case: it was not observed, and few runs agreed so far.
    pub fn is_to_be_rechecked(&self, key: &Fingerprint) -> bool {
        self.shared.is_to_be_rechecked(key)
    }

    /// A stored result was run again beside a hit. What came out different bars it; a run without a comparable result
    /// (`None`) says nothing.
    pub fn compare(
        &self,
        key: &Fingerprint,
        subject: &Subject,
        stored: &Arc<StoredResult>,
        again: Option<&StoredResult>,
    ) {
        self.shared.recheck(key, subject, stored, again);
    }

    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// What is barred because it gave different results. Holds outputs of callers: for the operator only.
    pub fn bars(&self) -> Status {
        self.shared.bars()
    }

    /// Lifts all bars; how many programs were barred.
    pub fn lift_bars(&self) -> usize {
        self.shared.lift_bars()
    }

    /// Removes the answers that are past their time: nobody gets them, and they hold memory until others push them out.
    pub fn remove_expired(&self) {
        self.shared.remove_expired();
    }

    /// Answers that are kept now, those past their time included.
    pub fn len(&self) -> usize {
        self.shared.kept()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Requests that lead a flight now.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight()
    }
}

#[cfg(test)]
mod tests;
