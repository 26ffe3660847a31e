//! A cache of profiles and decisions. Analysis and rules are pure, so a decision is valid while all of its inputs are equal;
//! they are stored with it. The load of the tiers is an input only if a rule may read it.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use switchtower_contract::Isolation;

use crate::analyse::summary::ProfileSummary;
use crate::analyse::{Profile, analyse};
use crate::cache::Digest;
use crate::decide::{DecideError, Decision, Rules};
use crate::request::{CacheMode, Caller, Priority, Request, RequestKind};
use crate::route::{TierName, TierStatus};

/// The profiles of the latest programs, each with its last decision.
pub(crate) struct Memo {
    /// Held for one look-up.
    entries: Mutex<LruCache<Digest, MemoEntry>>,
}

/// The analysis of a program, and the part of it that records have.
#[derive(Clone)]
pub(crate) struct Analysis {
    pub(crate) profile: Arc<Profile>,
    pub(crate) summary: Arc<ProfileSummary>,
}

struct MemoEntry {
    analysis: Analysis,
    last: Option<(DecisionInputs, Arc<Decision>)>,
}

/// All inputs of a decision except the program.
#[derive(PartialEq)]
struct DecisionInputs {
    rules: ByAddress<Rules>,
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

/// Compares by address. The `Arc` keeps the allocation alive, so its address is not reused.
struct ByAddress<T>(Arc<T>);

impl<T> PartialEq for ByAddress<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

const MAX_ENTRIES: NonZeroUsize = NonZeroUsize::new(1000).unwrap();
/// Longest source in bytes that is kept: longer ones rarely repeat, and their profiles are large.
const MAX_SOURCE_BYTES: usize = 64 << 10;

impl Memo {
    pub(crate) fn new() -> Self {
        Self { entries: Mutex::new(LruCache::new(MAX_ENTRIES)) }
    }

    /// Returns the request's analysis and decision.
    pub(crate) fn decide(
        &self,
        digest: Digest,
        request: &Request,
        rules: Arc<Rules>,
        mut statuses: Vec<TierStatus>,
    ) -> (Analysis, Result<Arc<Decision>, DecideError>) {
        if !rules.reads_load() {
            // The rules get the same statuses that are compared, so a decision cannot depend on the load.
            for status in &mut statuses {
                (status.running, status.queued) = (0, 0);
            }
        }
        let inputs = DecisionInputs {
            rules: ByAddress(rules),
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
        let analysis = match self.find(&digest, &inputs) {
            Some((analysis, Some(decision))) => return (analysis, Ok(decision)),
            Some((analysis, None)) => analysis,
            None => {
                let profile = analyse(&request.program);
                Analysis { summary: Arc::new((&profile).into()), profile: Arc::new(profile) }
            }
        };
        let decision = inputs.rules.0.decide(request, &analysis.profile, &inputs.statuses).map(Arc::new);
        if request.program.source.len() <= MAX_SOURCE_BYTES {
            let last = decision.as_ref().ok().map(|decision| (inputs, decision.clone()));
            self.entries().put(digest, MemoEntry { analysis: analysis.clone(), last });
        }
        (analysis, decision)
    }

    /// Returns the analysis of a known program, and its decision if that was made from the same inputs.
    fn find(&self, digest: &Digest, inputs: &DecisionInputs) -> Option<(Analysis, Option<Arc<Decision>>)> {
        let mut entries = self.entries();
        let entry = entries.get(digest)?;
        let decision = entry.last.as_ref().filter(|(last, _)| last == inputs).map(|(_, decision)| decision.clone());
        Some((entry.analysis.clone(), decision))
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, LruCache<Digest, MemoEntry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Returns whether the second decision, with another load, was the stored one.
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
        let mut entries = memo.entries();
        let stored = &mut entries.get_mut(&digest).unwrap().last.as_mut().unwrap().1;
        Arc::get_mut(stored).unwrap().reason = "remembered".to_owned();
        drop(entries);
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
