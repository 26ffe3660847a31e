//! What was analysed and decided before. Both are pure, so their answers may be remembered; what makes them is kept with
//! them whole, and asked for again where any of it differs.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use switchtower_contract::Isolation;

use crate::analyse::{Profile, analyse};
use crate::cache::Digest;
use crate::decide::{Decision, Rules, Undecided};
use crate::request::{CacheMode, Caller, Priority, Request, RequestKind};
use crate::route::{TierName, TierStatus};

pub(crate) struct Memo {
    /// Protects what is remembered; held for a look-up.
    known: Mutex<LruCache<Digest, Known>>,
}

struct Known {
    profile: Arc<Profile>,
    last: Option<(Question, Decision)>,
}

/// Everything that a decision is made of, but the program.
#[derive(PartialEq)]
struct Question {
    rules: Same<Rules>,
    statuses: Vec<TierStatus>,
    kind: RequestKind,
    caller: Caller,
    priority: Priority,
    tier: Option<TierName>,
    isolation: Option<Isolation>,
    cache: CacheMode,
    timeout: Duration,
    memory: Option<u64>,
}

/// The very same, and held on to, so that no other can come to lie in its place.
struct Same<T>(Arc<T>);

impl<T> PartialEq for Same<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

const MOST: NonZeroUsize = NonZeroUsize::new(1000).unwrap();
/// Bytes of a source beyond which it is not remembered: few ask for such twice, and their profiles are large.
const LARGE: usize = 64 << 10;

impl Memo {
    pub(crate) fn new() -> Self {
        Self { known: Mutex::new(LruCache::new(MOST)) }
    }

    /// The request's profile and decision.
    pub(crate) fn decide(
        &self,
        digest: Digest,
        request: &Request,
        rules: Arc<Rules>,
        statuses: Vec<TierStatus>,
    ) -> (Arc<Profile>, Result<Decision, Undecided>) {
        let question = Question {
            rules: Same(rules),
            statuses,
            kind: request.kind,
            caller: request.caller.clone(),
            priority: request.priority,
            tier: request.tier.clone(),
            isolation: request.isolation,
            cache: request.cache,
            timeout: request.timeout,
            memory: request.memory,
        };
        let profile = match self.recall(&digest, &question) {
            Some((profile, Some(decision))) => return (profile, Ok(decision)),
            Some((profile, None)) => profile,
            None => Arc::new(analyse(&request.program)),
        };
        let decision = question.rules.0.decide(request, &profile, &question.statuses);
        if request.program.source.len() <= LARGE {
            let last = decision.as_ref().ok().map(|decision| (question, decision.clone()));
            self.known().put(digest, Known { profile: profile.clone(), last });
        }
        (profile, decision)
    }

    fn recall(&self, digest: &Digest, question: &Question) -> Option<(Arc<Profile>, Option<Decision>)> {
        let mut known = self.known();
        let known = known.get(digest)?;
        let decision = known.last.as_ref().filter(|(last, _)| last == question).map(|(_, decision)| decision.clone());
        Some((known.profile.clone(), decision))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, LruCache<Digest, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
