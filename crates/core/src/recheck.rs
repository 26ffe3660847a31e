//! Rechecks: the programs of some cache hits run again, and their results are compared with the stored ones. The hits are a
//! sample drawn from the router's seed.
//!
//! A recheck runs at low priority in the tier that produced the result, and only if that tier is local, so it costs nothing.
//! While one is waiting, further hits offer none, so rechecks cannot pile up.

use std::sync::{Arc, Mutex, PoisonError};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;

use crate::cache::bars::Subject;
use crate::cache::{Fingerprint, ResultCache, StoredResult};
use crate::request::{Caller, Priority, Request, SideEffects};
use crate::route::{Leg, Route};
use crate::tier::{Relay, Tiers, WalkOptions, WalkOutcome};

/// The user of rechecks in a tier's fair queue.
const USER: &str = "switchtower recheck";

/// Draws which hits are rechecked, and queues them.
pub(crate) struct Rechecks {
    one_in: u32,
    /// Held for one draw.
    random: Mutex<ChaCha8Rng>,
    /// A queue of one.
    sender: mpsc::Sender<Recheck>,
    receiver: tokio::sync::Mutex<mpsc::Receiver<Recheck>>,
}

/// Which hits are rechecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Those that the draw selects.
    Sample,
    /// All, without a random draw.
    Always,
}

/// A stored result whose program runs again.
pub(crate) struct Recheck {
    request: Request,
    key: Fingerprint,
    subject: Subject,
    stored: Arc<StoredResult>,
}

impl Rechecks {
    /// `one_in`: one in this many hits is rechecked, on average; zero: none is.
    pub(crate) fn new(one_in: u32, random: ChaCha8Rng) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Self { one_in, random: Mutex::new(random), sender, receiver: tokio::sync::Mutex::new(receiver) }
    }

    /// Queues a recheck of this hit if it is selected and none is waiting.
    pub(crate) fn offer(&self, selection: Selection, recheck: impl FnOnce() -> Recheck) {
        if self.one_in == 0 {
            return;
        }
        let drawn = self.random.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..self.one_in);
        if (drawn == 0 || selection == Selection::Always)
            && let Ok(permit) = self.sender.try_reserve()
        {
            permit.send(recheck());
        }
    }

    /// Waits for the next recheck.
    pub(crate) async fn next(&self) -> Option<Recheck> {
        self.receiver.lock().await.recv().await
    }
}

impl Recheck {
    pub(crate) fn new(request: &Request, key: Fingerprint, subject: Subject, stored: &Arc<StoredResult>) -> Self {
        let caller = Caller::named(USER);
        let request = Request { caller, priority: Priority::Low, ..request.clone() };
        Self { request, key, subject, stored: stored.clone() }
    }

    /// Runs the program in the tier that produced the stored result, and compares the two results.
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
    use crate::cache::{Config, Digest, Lookup, Scope};
    use crate::request::{CacheMode, RequestLimits};
    use crate::seed::Seed;
    use crate::tier::{self, Tier};

    /// Returns a cache with a result of this program, and a recheck of it.
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
        let result = StoredResult::new(&walked.tier, &walked.outcome, &walked.output).unwrap();
        let find =
            async || cache.find(&key, &subject, &request.caller.user, CacheMode::Use, true, request.timeout).await;
        let Lookup::Run(flight) = find().await else { panic!("nothing is stored yet") };
        flight.complete(Finding::Observed(result));
        let Lookup::Stored(result, _) = find().await else { panic!("it is stored") };
        let recheck = Recheck::new(&request, key, subject, &result);
        (tiers, cache, recheck)
    }

    #[tokio::test(start_paused = true)]
    async fn a_recheck_removes_a_stored_result_that_differs() {
        for (script, differences) in [("print 1", 0), ("random", 1)] {
            let (tiers, cache, recheck) = stored(script, false).await;
            recheck.run(&tiers, &cache).await;
            assert_eq!((cache.counts().rechecked, cache.counts().differences), (1, differences), "{script}");
            assert_eq!(cache.len(), 1 - usize::try_from(differences).unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn results_of_effectful_tiers_are_not_rechecked() {
        let (tiers, cache, recheck) = stored("print 1", true).await;
        recheck.run(&tiers, &cache).await;
        assert_eq!(cache.counts().rechecked, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_in_so_many_hits_is_rechecked_and_one_at_a_time() {
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
            rechecks.offer(Selection::Sample, again);
            offered += usize::from(rechecks.receiver.lock().await.try_recv().is_ok());
        }
        assert!((900..1100).contains(&offered), "{offered}");
        // While one is waiting, further hits offer none.
        (0..1000).for_each(|_| rechecks.offer(Selection::Sample, again));
        assert!(rechecks.receiver.lock().await.try_recv().is_ok());
        assert!(rechecks.receiver.lock().await.try_recv().is_err());
        let none = Rechecks::new(0, ChaCha8Rng::seed_from_u64(1));
        (0..1000).for_each(|_| none.offer(Selection::Always, again));
        assert!(none.receiver.lock().await.try_recv().is_err());
    }
}
