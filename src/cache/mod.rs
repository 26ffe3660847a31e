//! Answers that may be given again, and equal requests in flight that run once.
//!
//! Only a result that the same request must have again is kept: see [`is_pure`] and [`Kept::new`]. Of equal requests the
//! first leads and the others follow; whichever way the leader ends, the next one leads, or all have its answer.

pub mod fingerprint;
mod flight;
mod memory;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::{Chance, Effect, Exit, Outcome, Output};
use tokio::time::timeout;

pub use fingerprint::{Digest, Fingerprint};
pub use flight::Flight;

use crate::request::CacheMode;
use crate::route::TierName;
use flight::{Boarding, Landing, Shared};

/// The cache.
pub struct ResultCache {
    shared: Arc<Shared>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Most answers that are kept; the least recently used goes first.
    pub entries: usize,
    /// How long an answer is kept.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
    /// Most bytes that all kept answers hold.
    pub bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { entries: 1000, ttl: Duration::from_secs(300), bytes: 64 << 20 }
    }
}

/// A result that may be given again.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The tier that made it.
    pub tier: TierName,
    pub outcome: Outcome,
    pub output: Output,
}

impl Kept {
    /// A pure result, where it may be kept: the program came to its own end, with all it needed and all it said. What
    /// was cut by time, memory or a missing part may end otherwise next time.
    pub fn new(tier: &TierName, outcome: &Outcome, output: &Output) -> Option<Self> {
        let whole = outcome.lacked.is_none() && !outcome.truncated;
        let ended = matches!(outcome.exit, Exit::Finished(_) | Exit::Raised);
        (whole && ended).then(|| Self { tier: tier.clone(), outcome: outcome.clone(), output: output.clone() })
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.output.size()
    }
}

/// Whether the same request must give the same result. Where the backend saw what the program asked for, that counts:
/// nothing, or only a clock and a chance that were made of the request's own seed. Where it did not see, the static
/// verdict counts.
pub fn is_pure(outcome: &Outcome, chance: Chance, deterministic: bool) -> bool {
    if !matches!(outcome.exit, Exit::Finished(_) | Exit::Raised) {
        // How far it came in its time, or in its memory, is another matter every time.
        return false;
    }
    let seeded = matches!(chance, Chance::Seeded(_));
    match outcome.observed {
        Some(effects) => effects.iter().all(|effect| seeded && matches!(effect, Effect::Clock | Effect::Chance)),
        // An exception's message is written by whatever raised it, which the proof does not look into.
        None => deterministic && matches!(outcome.exit, Exit::Finished(_)),
    }
}

/// What the cache did for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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
    Kept(Arc<Kept>, CacheStatus),
    /// The program has to run. Land the flight with its result.
    Nothing(Flight),
}

impl ResultCache {
    pub fn new(config: &Config) -> Self {
        Self { shared: Shared::new(config) }
    }

    /// Looks for an answer, or waits for that of an equal request in flight; at most for `patience`, then this request
    /// runs by itself. Dropping the future leaves the flight as it is.
    pub async fn find(&self, key: &Fingerprint, mode: CacheMode, patience: Duration) -> Found {
        let alone = || Found::Nothing(Flight::alone(&self.shared, key));
        let seat = match mode {
            CacheMode::Bypass => return Found::Nothing(Flight::bypass(&self.shared, key)),
            CacheMode::Refresh => return alone(),
            CacheMode::Use => match self.shared.board(key) {
                Boarding::Kept(kept) => return Found::Kept(kept, CacheStatus::Hit),
                Boarding::Leads(flight) => return Found::Nothing(flight),
                Boarding::Alone => return alone(),
                Boarding::Follows(seat) => seat,
            },
        };
        match timeout(patience, seat.landing()).await {
            Ok(Landing::Shared(kept)) => Found::Kept(kept, CacheStatus::Coalesced),
            Ok(Landing::Leads(flight)) => Found::Nothing(flight),
            Ok(Landing::Alone) | Err(_) => alone(),
        }
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
