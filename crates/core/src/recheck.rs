//! Stored results that are run again beside a hit, to compare: a sample, drawn from the router's seed.
//!
//! A recheck takes the least urgent place in the queue of the tier that made the result, and only of a local one: nothing
//! is bought for it. Where one is under way already, a hit offers none, so that rechecks never fall behind.

use std::sync::{Arc, Mutex, PoisonError};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;

use crate::cache::bars::Subject;
use crate::cache::{Fingerprint, ResultCache, StoredResult};
use crate::request::{Caller, Priority, Request, SideEffects};
use crate::route::{Leg, Route};
use crate::tier::{Relay, Tiers, WalkOptions, WalkOutcome};

/// Under which name rechecks take their turns in a queue.
const USER: &str = "switchtower recheck";

/// Draws which hits are run again, and hands them on.
pub(crate) struct Rechecks {
    one_in: u32,
    /// Protects the draws.
    chance: Mutex<ChaCha8Rng>,
    /// Room for one: whoever finds it taken offers nothing.
    offered: mpsc::Sender<Recheck>,
    taken: tokio::sync::Mutex<mpsc::Receiver<Recheck>>,
}

/// A result to run again.
pub(crate) struct Recheck {
    request: Request,
    key: Fingerprint,
    subject: Subject,
    stored: Arc<StoredResult>,
}

impl Rechecks {
    /// `one_in`: of so many hits one, on average; zero: none.
    pub(crate) fn new(one_in: u32, chance: ChaCha8Rng) -> Self {
        let (offered, taken) = mpsc::channel(1);
        Self { one_in, chance: Mutex::new(chance), offered, taken: tokio::sync::Mutex::new(taken) }
    }

    /// Takes this hit, where the draw falls on it or it is to be taken `in_any_case`, and none is under way.
    pub(crate) fn offer(&self, in_any_case: bool, recheck: impl FnOnce() -> Recheck) {
        if self.one_in == 0 {
            return;
        }
        let drawn = self.chance.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..self.one_in);
        if (drawn == 0 || in_any_case)
            && let Ok(room) = self.offered.try_reserve()
        {
            room.send(recheck());
        }
    }

    pub(crate) async fn next(&self) -> Option<Recheck> {
        self.taken.lock().await.recv().await
    }
}

impl Recheck {
    pub(crate) fn new(request: &Request, key: Fingerprint, subject: Subject, stored: &Arc<StoredResult>) -> Self {
        let caller = Caller::named(USER);
        let request = Request { caller, priority: Priority::Low, ..request.clone() };
        Self { request, key, subject, stored: stored.clone() }
    }

    /// Runs it in the tier that made the stored result, and compares the two. A run that does not come to an end of its own
    /// says nothing.
    pub(crate) async fn run(self, tiers: &Tiers, cache: &ResultCache) {
        let Self { request, key, subject, stored } = self;
        let local = tiers.get(&stored.tier).is_some_and(|tier| !tier.offer().effectful && !tier.offer().machine);
        if !local {
            return;
        }
        let route = Route(vec![Leg { tier: stored.tier.clone(), budget: None }]);
        let (mut relay, mut attempts) = (Relay::new(None), Vec::new());
        let walked = tiers
            .walk(&request, &WalkOptions::new(&request, SideEffects::None), &route, &mut relay, &mut attempts)
            .await;
        let again = walked
            .ok()
            .and_then(|WalkOutcome { tier, outcome, output, .. }| StoredResult::new(&tier, &outcome, &output));
        cache.compare(&key, &subject, &stored, again.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use switchtower_contract::Program;
    use switchtower_contract::scripted::{Scripted, Settings};

    use super::*;
    use crate::analyse::Class;
    use crate::cache::finding::Finding;
    use crate::cache::{Config, Digest, Found, Scope};
    use crate::request::{CacheMode, RequestLimits};
    use crate::seed::Seed;
    use crate::tier::{self, Tier};

    /// A cache that holds a result of this program in a tier, and what is needed to run it again.
    async fn stored(script: &str, effectful: bool) -> (Tiers, ResultCache, Recheck) {
        let mut settings = Settings::default();
        settings.offer.effectful = effectful;
        let backend = Arc::new(Scripted::new(1, settings));
        let tiers = Tiers::new([Tier::new("wasm".into(), backend, tier::Config::default(), &Seed::fixed(1))]);
        let cache = ResultCache::new(&Config::default());
        let request = Request::new(Program::python(script), &RequestLimits::default()).unwrap();
        let program = Digest::of(&request.program);
        let key = Fingerprint::new(&program, &request, Scope::Key, []);
        let subject = Subject { program, class: Class::SimpleMath, rule: "default.local".into() };
        let route = Route(vec![Leg { tier: "wasm".into(), budget: None }]);
        let (mut relay, mut attempts) = (Relay::new(None), Vec::new());
        let walked = tiers
            .walk(&request, &WalkOptions::new(&request, SideEffects::None), &route, &mut relay, &mut attempts)
            .await
            .unwrap();
        let kept = StoredResult::new(&walked.tier, &walked.outcome, &walked.output).unwrap();
        let find =
            async || cache.find(&key, &subject, &request.caller.user, CacheMode::Use, true, request.timeout).await;
        let Found::Nothing(flight) = find().await else { panic!("nothing is stored yet") };
        flight.land(Finding::Observed(kept));
        let Found::Kept(kept, _) = find().await else { panic!("it is stored") };
        let recheck = Recheck::new(&request, key, subject, &kept);
        (tiers, cache, recheck)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stored_result_is_run_again_and_dropped_where_it_differs() {
        for (script, differences) in [("print 1", 0), ("random", 1)] {
            let (tiers, cache, recheck) = stored(script, false).await;
            recheck.run(&tiers, &cache).await;
            assert_eq!((cache.counts().rechecked, cache.counts().differences), (1, differences), "{script}");
            assert_eq!(cache.len(), 1 - usize::try_from(differences).unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_bought_to_run_a_stored_result_again() {
        let (tiers, cache, recheck) = stored("print 1", true).await;
        recheck.run(&tiers, &cache).await;
        assert_eq!(cache.counts().rechecked, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_hit_in_so_many_is_run_again_and_one_at_a_time() {
        let (.., recheck) = stored("print 1", false).await;
        let again = || Recheck {
            request: recheck.request.clone(),
            key: recheck.key,
            subject: recheck.subject.clone(),
            stored: recheck.stored.clone(),
        };
        let rechecks = Rechecks::new(10, ChaCha8Rng::seed_from_u64(1));
        let mut offered = 0;
        for _ in 0..10_000 {
            rechecks.offer(false, again);
            offered += usize::from(rechecks.taken.lock().await.try_recv().is_ok());
        }
        assert!((900..1100).contains(&offered), "{offered}");
        // Where nobody takes them, the next hits offer none.
        (0..1000).for_each(|_| rechecks.offer(false, again));
        assert!(rechecks.taken.lock().await.try_recv().is_ok());
        assert!(rechecks.taken.lock().await.try_recv().is_err());
        let none = Rechecks::new(0, ChaCha8Rng::seed_from_u64(1));
        (0..1000).for_each(|_| none.offer(true, again));
        assert!(none.taken.lock().await.try_recv().is_err());
    }
}
