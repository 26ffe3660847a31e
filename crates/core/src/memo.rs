//! Remembers profiles and decisions. Analysis and rules are pure, so a result holds while all inputs are equal; the inputs are
//! stored with it. How busy the tiers are is an input only where a rule may read it.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use switchtower_contract::Isolation;

use crate::analyse::{Profile, analyse};
use crate::cache::Digest;
use crate::decide::{DecideError, Decision, Rules};
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

/// Equal only to the same allocation, which it keeps alive so that its address is not used again.
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

    /// Returns the request's profile and decision.
    pub(crate) fn decide(
        &self,
        digest: Digest,
        request: &Request,
        rules: Arc<Rules>,
        mut statuses: Vec<TierStatus>,
    ) -> (Arc<Profile>, Result<Decision, DecideError>) {
        if !rules.reads_load() {
            // The rules get what the question has, so a decision never rests on what the question leaves out.
            for status in &mut statuses {
                (status.running, status.queued) = (0, 0);
            }
        }
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

#[cfg(test)]
mod tests {
    use switchtower_contract::Program;
    use switchtower_contract::scripted::{Scripted, Settings};

    use super::*;
    use crate::request::RequestLimits;
    use crate::seed::Seed;
    use crate::tier::{self, Tier, Tiers};

    /// Whether the second decision, under another load, was the remembered one.
    fn is_remembered(rules: Rules) -> bool {
        let backend = Arc::new(Scripted::new(1, Settings::default()));
        let tiers = Tiers::new([Tier::new("wasm".into(), backend, tier::Config::default(), &Seed::fixed(1))]);
        let request = Request::new(Program::python("1 + 1"), &RequestLimits::default()).unwrap();
        let (memo, rules, digest) = (Memo::new(), Arc::new(rules), Digest::of(&request.program));
        let decide = |queued| {
            let mut statuses = tiers.statuses();
            statuses[0].queued = queued;
            memo.decide(digest, &request, rules.clone(), statuses).1.unwrap()
        };
        decide(0);
        memo.known().get_mut(&digest).unwrap().last.as_mut().unwrap().1.reason = "remembered".to_owned();
        decide(5).reason == "remembered"
    }

    fn with_rule(code: &str) -> Rules {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("first.rhai"), format!("fn decide(facts) {{ {code} }}")).unwrap();
        Rules::load(folder.path()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_decision_is_remembered_while_the_load_changes_unless_a_rule_may_read_it() {
        assert!(is_remembered(Rules::builtin()));
        assert!(is_remembered(with_rule("if facts.tiers[0].up { return (); } ()")));
        assert!(!is_remembered(with_rule("if facts.tiers[0].queued > 9 { return (); } ()")));
        assert!(!is_remembered(with_rule("for tier in facts.tiers { for key in tier.keys() { tier[key] } } ()")));
    }
}
