//! Verification of results that were not observed to be pure: the first run makes a candidate, and a run in another
//! interpreter with the same result makes it storable.
//!
//! Digests are kept [`EXTRA_TIME`] longer than results: the result of a later run that agrees is then stored at once. What two
//! runs on one host have in common (the date, a property of the host) must be excluded by the static proof.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use switchtower_contract::InterpreterId;
use tokio::time::Instant;

use super::StoredResult;
use super::compare::ResultDigest;
use super::fingerprint::Fingerprint;
use crate::route::TierName;

/// How much longer than a stored result its digest is kept.
const EXTRA_TIME: Duration = Duration::from_secs(24 * 3600);

/// The digests of unobserved results. Losing one costs another run, never correctness.
pub(super) struct Verification {
    digests: LruCache<Fingerprint, KnownDigest>,
    lifetime: Duration,
}

struct KnownDigest {
    digest: ResultDigest,
    tier: TierName,
    /// The interpreter of the only run; `None` once two runs agreed.
    candidate: Option<InterpreterId>,
    until: Instant,
}

/// A run's result compared with that of earlier runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// There is no result of another interpreter to compare it with.
    Candidate,
    /// An independent run had the same result.
    Agrees,
    /// An earlier run had this other result.
    Differs(ResultDigest),
}

impl Verification {
    /// `max_digests`: number of digests that are kept; `ttl`: how long a result is stored.
    pub(super) fn new(max_digests: usize, ttl: Duration) -> Self {
        let max_digests = NonZeroUsize::new(max_digests).unwrap_or(NonZeroUsize::MIN);
        Self { digests: LruCache::new(max_digests), lifetime: ttl + EXTRA_TIME }
    }

    /// Compares the result of a run in this interpreter with the known digest, and records it.
    pub(super) fn compare(
        &mut self,
        key: Fingerprint,
        result: &StoredResult,
        interpreter: InterpreterId,
        now: Instant,
    ) -> Comparison {
        let digest = ResultDigest::of(result);
        let until = now + self.lifetime;
        // Results of different tiers are not compared.
        let known = self.digests.get_mut(&key).filter(|known| now < known.until && known.tier == result.tier);
        let comparison = match known {
            Some(known) if known.digest != digest => Comparison::Differs(known.digest),
            Some(known) if known.candidate.is_none_or(|candidate| candidate != interpreter) => {
                (known.candidate, known.until) = (None, until);
                return Comparison::Agrees;
            }
            _ => Comparison::Candidate,
        };
        let known = KnownDigest { digest, tier: result.tier.clone(), candidate: Some(interpreter), until };
        self.digests.put(key, known);
        comparison
    }

    /// Returns the interpreter of the only run so far: the next run must use another one.
    pub(super) fn candidate(&self, key: &Fingerprint, now: Instant) -> Option<InterpreterId> {
        self.digests.peek(key).filter(|known| now < known.until)?.candidate
    }

    /// Returns whether two runs agreed.
    pub(super) fn is_verified(&self, key: &Fingerprint, now: Instant) -> bool {
        self.digests.peek(key).is_some_and(|known| now < known.until && known.candidate.is_none())
    }

    pub(super) fn forget(&mut self, key: &Fingerprint) {
        self.digests.pop(key);
    }
}
