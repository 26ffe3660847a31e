use switchtower_contract::{Effects, Event, Program, Usage};
use tokio::task::yield_now;
use tokio::time::advance;

use super::*;
use crate::request::{Ceilings, Request};

fn key(source: &str) -> Fingerprint {
    let request = Request::new(Program::python(source), &Ceilings::default()).unwrap();
    Fingerprint::new(&Digest::of(&request.program), &request, [])
}

fn outcome(exit: Exit) -> Outcome {
    Outcome { exit, observed: Some(Effects::NONE), truncated: false, usage: Usage::default(), lacked: None }
}

fn kept(stdout: &str) -> Option<Kept> {
    let mut output = Output::default();
    output.take(Event::Stdout(stdout.to_owned()));
    Kept::new(&"wasm".into(), &outcome(Exit::Finished(0)), &output)
}

const PATIENCE: Duration = Duration::from_secs(30);

async fn find(cache: &ResultCache, source: &str) -> Found {
    cache.find(&key(source), CacheMode::Use, PATIENCE).await
}

async fn flight(cache: &ResultCache, source: &str) -> Flight {
    match find(cache, source).await {
        Found::Nothing(flight) => flight,
        Found::Kept(..) => panic!("{source} is kept"),
    }
}

async fn hit(cache: &ResultCache, source: &str) -> bool {
    matches!(find(cache, source).await, Found::Kept(_, CacheStatus::Hit))
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_goes_first_and_all_go_in_time() {
    let cache = ResultCache::new(&Config { entries: 2, ..Config::default() });
    for source in ["a", "b"] {
        flight(&cache, source).await.land(kept(source));
    }
    assert!(hit(&cache, "a").await);
    flight(&cache, "c").await.land(kept("c"));
    assert!(hit(&cache, "a").await && hit(&cache, "c").await && !hit(&cache, "b").await);
    advance(Duration::from_secs(299)).await;
    assert!(hit(&cache, "a").await);
    advance(Duration::from_secs(1)).await;
    assert!(!hit(&cache, "a").await);
}

#[tokio::test(start_paused = true)]
async fn all_answers_together_stay_within_their_bytes() {
    let cache = ResultCache::new(&Config { bytes: 10_000, ..Config::default() });
    for number in 0..100 {
        flight(&cache, &number.to_string()).await.land(kept(&"x".repeat(1000)));
    }
    assert!((1..10).contains(&cache.len()));
    flight(&cache, "big").await.land(kept(&"x".repeat(10_000)));
    assert!(!hit(&cache, "big").await);
}

#[tokio::test(start_paused = true)]
async fn followers_share_what_their_leader_lands() {
    let cache = ResultCache::new(&Config::default());
    let leader = flight(&cache, "a").await;
    let land = async {
        yield_now().await;
        leader.land(kept("a"));
    };
    let (one, two, ()) = tokio::join!(find(&cache, "a"), find(&cache, "a"), land);
    for found in [one, two] {
        assert!(matches!(found, Found::Kept(kept, CacheStatus::Coalesced) if kept.output.stdout == "a"));
    }
    assert_eq!(cache.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_gone_lets_the_next_one_lead() {
    let cache = ResultCache::new(&Config::default());
    let leader = flight(&cache, "a").await;
    let second = async {
        let flight = flight(&cache, "a").await;
        flight.land(kept("second"));
    };
    let gives_up = timeout(Duration::from_secs(1), find(&cache, "a"));
    let leave = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        drop(leader);
    };
    // The follower that gave up is skipped, the one behind it leads, the last one shares.
    let (gone, (), last, ()) = tokio::join!(gives_up, second, find(&cache, "a"), leave);
    assert!(gone.is_err());
    assert!(matches!(last, Found::Kept(kept, CacheStatus::Coalesced) if kept.output.stdout == "second"));
    assert_eq!(cache.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_cannot_be_shared_is_not_waited_for_again() {
    let cache = ResultCache::new(&Config::default());
    let leader = flight(&cache, "a").await;
    let land = async {
        yield_now().await;
        leader.land(None);
    };
    let (found, ()) = tokio::join!(find(&cache, "a"), land);
    assert!(matches!(found, Found::Nothing(_)));
    let _one = flight(&cache, "a").await;
    let _two = flight(&cache, "a").await;
    assert_eq!(cache.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_follower_waits_for_its_own_patience_only() {
    let cache = ResultCache::new(&Config::default());
    let _leader = flight(&cache, "a").await;
    let found = cache.find(&key("a"), CacheMode::Use, Duration::from_secs(1)).await;
    assert!(matches!(found, Found::Nothing(_)));
}

#[tokio::test(start_paused = true)]
async fn bypass_leaves_the_cache_alone_and_refresh_replaces() {
    let cache = ResultCache::new(&Config::default());
    flight(&cache, "a").await.land(kept("old"));
    for (mode, says) in [(CacheMode::Bypass, "old"), (CacheMode::Refresh, "new")] {
        let Found::Nothing(flight) = cache.find(&key("a"), mode, PATIENCE).await else { panic!("{mode} runs") };
        flight.land(kept("new"));
        assert!(matches!(find(&cache, "a").await, Found::Kept(kept, _) if kept.output.stdout == says), "{mode}");
    }
}

#[test]
fn only_a_whole_result_may_be_kept() {
    let tier = TierName::from("wasm");
    let may = |outcome: &Outcome| Kept::new(&tier, outcome, &Output::default()).is_some();
    assert!(may(&outcome(Exit::Finished(3))) && may(&outcome(Exit::Raised)));
    assert!(![Exit::TimedOut, Exit::OutOfMemory, Exit::Killed].into_iter().any(|exit| may(&outcome(exit))));
    assert!(!may(&Outcome { truncated: true, ..outcome(Exit::Raised) }));
    let lacked = Some(switchtower_contract::Need::Threads);
    assert!(!may(&Outcome { lacked, ..outcome(Exit::Raised) }));
}

#[test]
fn what_was_observed_counts_more_than_what_was_foreseen() {
    let seen = |effects: &[Effect]| {
        let observed = Some(effects.iter().copied().collect());
        Outcome { observed, ..outcome(Exit::Finished(0)) }
    };
    let unseen = Outcome { observed: None, ..outcome(Exit::Finished(0)) };
    let (fresh, seeded) = (Chance::Fresh, Chance::Seeded(1));
    assert!(is_pure(&seen(&[]), fresh, false));
    assert!(!is_pure(&seen(&[Effect::Chance]), fresh, true));
    assert!(is_pure(&seen(&[Effect::Chance, Effect::Clock]), seeded, false));
    assert!(!is_pure(&seen(&[Effect::Environment]), seeded, true));
    assert!(is_pure(&unseen, fresh, true) && !is_pure(&unseen, seeded, false));
}
