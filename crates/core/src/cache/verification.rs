//! Two runs for every result that nobody observed: the first makes a candidate, and only an independent run with the same
//! result makes it one that may be stored.
//!
//! What is remembered is a digest, for [`BEYOND`] longer than a stored result lives: a later run that agrees is then stored
//! at once. What two equal runs do not show (a date, a property of this host) is the proof's to exclude.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use switchtower_contract::InterpreterId;
use tokio::time::Instant;

use super::StoredResult;
use super::compare::ResultDigest;
use super::fingerprint::Fingerprint;
use crate::route::TierName;

/// How much longer than a stored result its digest is remembered.
const BEYOND: Duration = Duration::from_secs(24 * 3600);

/// The digests. Which of them are dropped first where there are too many costs runs and never the truth.
pub(super) struct Verification {
    known: LruCache<Fingerprint, Known>,
    lasts: Duration,
}

struct Known {
    digest: ResultDigest,
    tier: TierName,
    /// The interpreter of the only run; none once two agreed.
    candidate: Option<InterpreterId>,
    until: Instant,
}

/// What one more run says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is the first, or no other than the first one's interpreter has run it.
    Candidate,
    /// An independent run had the same result.
    Agrees,
    /// Another run had this other result.
    Differs(ResultDigest),
}

impl Verification {
    /// `ttl`: how long a stored result lives.
    pub(super) fn new(digests: usize, ttl: Duration) -> Self {
        let most = NonZeroUsize::new(digests).unwrap_or(NonZeroUsize::MIN);
        Self { known: LruCache::new(most), lasts: ttl + BEYOND }
    }

    /// Takes in the result of a run in this interpreter.
    pub(super) fn judge(
        &mut self,
        key: Fingerprint,
        kept: &StoredResult,
        interpreter: InterpreterId,
        now: Instant,
    ) -> Judgement {
        let digest = ResultDigest::of(kept);
        let until = now + self.lasts;
        // Of another tier it is no witness.
        let known = self.known.get_mut(&key).filter(|known| now < known.until && known.tier == kept.tier);
        let judgement = match known {
            Some(known) if known.digest != digest => Judgement::Differs(known.digest),
            Some(known) if known.candidate.is_none_or(|candidate| candidate != interpreter) => {
                (known.candidate, known.until) = (None, until);
                return Judgement::Agrees;
            }
            _ => Judgement::Candidate,
        };
        let known = Known { digest, tier: kept.tier.clone(), candidate: Some(interpreter), until };
        self.known.put(key, known);
        judgement
    }

    /// The interpreter of the only run so far: the next one is to take place in another.
    pub(super) fn candidate(&self, key: &Fingerprint, now: Instant) -> Option<InterpreterId> {
        self.known.peek(key).filter(|known| now < known.until)?.candidate
    }

    /// True where two runs agreed.
    pub(super) fn is_verified(&self, key: &Fingerprint, now: Instant) -> bool {
        self.known.peek(key).is_some_and(|known| now < known.until && known.candidate.is_none())
    }

    pub(super) fn forget(&mut self, key: &Fingerprint) {
        self.known.pop(key);
    }
}
