use switchtower_contract::{Effect, Effects, Event, InterpreterId, Limits, Program, Randomness, Usage};
use tokio::task::yield_now;
use tokio::time::advance;

use super::finding::{Finding, Run};
use super::*;
use crate::analyse::{Class, Verdict};
use crate::request::{Request, RequestLimits};

fn key(source: &str) -> Fingerprint {
    let request = Request::new(Program::python(source), &RequestLimits::default()).unwrap();
    Fingerprint::new(&Digest::of(&request.program), &request, Scope::Key, [])
}

fn user(name: &str) -> Arc<str> {
    name.into()
}

fn subject(source: &str) -> Subject {
    Subject { program: Digest::of(&Program::python(source)), class: Class::DataScience, rule: "default.science".into() }
}

fn outcome(exit: Exit) -> Outcome {
    Outcome { exit, observed: Some(Effects::NONE), truncated: false, usage: Usage::default(), unmet_need: None }
}

fn result(stdout: &str) -> StoredResult {
    let mut output = Output::default();
    output.push(Event::Stdout(stdout.to_owned()));
    StoredResult::new(&"wasm".into(), &outcome(Exit::Finished(0)), &output).unwrap()
}

/// Returns the finding of a run that the sandbox observed to be pure.
fn observed(stdout: &str) -> Finding {
    Finding::Observed(result(stdout))
}

const WAIT: Duration = Duration::from_secs(30);

async fn find(cache: &ResultCache, source: &str) -> Lookup {
    cache.find(&key(source), &subject(source), &user("ada"), CacheMode::Use, true, WAIT).await
}

async fn flight(cache: &ResultCache, source: &str) -> Flight {
    match find(cache, source).await {
        Lookup::Run(flight) => flight,
        Lookup::Stored(..) => panic!("{source} is stored"),
    }
}

async fn hit(cache: &ResultCache, source: &str) -> bool {
    matches!(find(cache, source).await, Lookup::Stored(_, CacheStatus::Hit))
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_result_is_evicted_first_and_every_result_expires() {
    let cache = ResultCache::new(&Config { max_entries: 2, ..Config::default() });
    for source in ["a", "b"] {
        flight(&cache, source).await.complete(observed(source));
    }
    assert!(hit(&cache, "a").await);
    flight(&cache, "c").await.complete(observed("c"));
    assert!(hit(&cache, "a").await && hit(&cache, "c").await && !hit(&cache, "b").await);
    advance(Duration::from_secs(299)).await;
    assert!(hit(&cache, "a").await);
    advance(Duration::from_secs(1)).await;
    assert!(!hit(&cache, "a").await);
}

#[tokio::test(start_paused = true)]
async fn expired_results_are_removed_without_a_lookup() {
    let cache = ResultCache::new(&Config::default());
    flight(&cache, "a").await.complete(observed("a"));
    advance(Duration::from_secs(200)).await;
    flight(&cache, "b").await.complete(observed("b"));
    cache.remove_expired();
    assert_eq!(cache.len(), 2);
    advance(Duration::from_secs(100)).await;
    cache.remove_expired();
    assert_eq!(cache.len(), 1);
    assert!(hit(&cache, "b").await);
}

#[tokio::test(start_paused = true)]
async fn all_results_together_stay_within_the_byte_limit() {
    let cache = ResultCache::new(&Config { max_bytes: 10_000, ..Config::default() });
    for number in 0..100 {
        flight(&cache, &number.to_string()).await.complete(observed(&"x".repeat(1000)));
    }
    assert!((1..10).contains(&cache.len()));
    assert_eq!(flight(&cache, "big").await.complete(observed(&"x".repeat(10_000))), Stored::No);
    assert!(!hit(&cache, "big").await);
}

#[tokio::test(start_paused = true)]
async fn followers_share_the_result_of_their_leader() {
    let cache = ResultCache::new(&Config::default());
    let leader = flight(&cache, "a").await;
    let complete = async {
        yield_now().await;
        leader.complete(observed("a"));
    };
    let (one, two, ()) = tokio::join!(find(&cache, "a"), find(&cache, "a"), complete);
    for found in [one, two] {
        assert!(matches!(found, Lookup::Stored(result, CacheStatus::Coalesced) if result.output.stdout == "a"));
    }
    assert_eq!(cache.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_next_follower_leads_when_the_leader_is_dropped() {
    let cache = ResultCache::new(&Config::default());
    let leader = flight(&cache, "a").await;
    let second = async {
        let flight = flight(&cache, "a").await;
        flight.complete(observed("second"));
    };
    let times_out = timeout(Duration::from_secs(1), find(&cache, "a"));
    let leave = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        drop(leader);
    };
    // The follower that timed out is skipped, the next one leads, the last one shares its result.
    let (timed_out, (), last, ()) = tokio::join!(times_out, second, find(&cache, "a"), leave);
    assert!(timed_out.is_err());
    assert!(matches!(last, Lookup::Stored(result, CacheStatus::Coalesced) if result.output.stdout == "second"));
    assert_eq!(cache.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_does_not_wait_for_a_leader_of_another_user_that_has_not_started() {
    let cache = ResultCache::new(&Config::default());
    let find = async |name| cache.find(&key("a"), &subject("a"), &user(name), CacheMode::Use, true, WAIT).await;
    let Lookup::Run(leader) = find("ada").await else { panic!("nothing is stored") };
    // The leader is queued behind other requests of its user.
    assert!(matches!(timeout(Duration::ZERO, find("bob")).await, Ok(Lookup::Run(_))));
    assert!(timeout(Duration::ZERO, find("ada")).await.is_err());
    leader.start();
    let leave = async {
        yield_now().await;
        drop(leader);
    };
    // The next request of the same user leads, and has not started either.
    let (own, other, ()) = tokio::join!(find("ada"), find("bob"), leave);
    assert!(matches!((own, other), (Lookup::Run(_), Lookup::Run(_))));
    let Lookup::Run(leader) = find("ada").await else { panic!("nothing is stored") };
    leader.start();
    let complete = async {
        yield_now().await;
        leader.complete(observed("a"));
    };
    let (other, ()) = tokio::join!(find("bob"), complete);
    assert!(matches!(other, Lookup::Stored(_, CacheStatus::Coalesced)));
}

#[tokio::test(start_paused = true)]
async fn requests_do_not_wait_again_for_a_result_that_could_not_be_shared() {
    let cache = ResultCache::new(&Config::default());
    let leader = flight(&cache, "a").await;
    let complete = async {
        yield_now().await;
        leader.complete(Finding::Unique);
    };
    let (found, ()) = tokio::join!(find(&cache, "a"), complete);
    assert!(matches!(found, Lookup::Run(_)));
    let _one = flight(&cache, "a").await;
    let _two = flight(&cache, "a").await;
    assert_eq!(cache.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_follower_waits_no_longer_than_its_own_timeout() {
    let cache = ResultCache::new(&Config::default());
    let _leader = flight(&cache, "a").await;
    let found = cache.find(&key("a"), &subject("a"), &user("ada"), CacheMode::Use, true, Duration::from_secs(1)).await;
    assert!(matches!(found, Lookup::Run(_)));
}

#[tokio::test(start_paused = true)]
async fn bypass_does_not_change_the_cache_and_refresh_replaces_the_result() {
    let cache = ResultCache::new(&Config::default());
    flight(&cache, "a").await.complete(observed("old"));
    for (mode, expected) in [(CacheMode::Bypass, "old"), (CacheMode::Refresh, "new")] {
        let Lookup::Run(flight) = cache.find(&key("a"), &subject("a"), &user("ada"), mode, true, WAIT).await else {
            panic!("{mode} runs")
        };
        flight.complete(observed("new"));
        assert!(
            matches!(find(&cache, "a").await, Lookup::Stored(result, _) if result.output.stdout == expected),
            "{mode}"
        );
    }
}

#[test]
fn only_a_complete_result_can_be_stored() {
    let tier = TierName::from("wasm");
    let can_be_stored = |outcome: &Outcome| StoredResult::new(&tier, outcome, &Output::default()).is_some();
    assert!(can_be_stored(&outcome(Exit::Finished(3))) && can_be_stored(&outcome(Exit::Raised)));
    assert!(![Exit::TimedOut, Exit::OutOfMemory, Exit::Killed].into_iter().any(|exit| can_be_stored(&outcome(exit))));
    assert!(!can_be_stored(&Outcome { truncated: true, ..outcome(Exit::Raised) }));
    let unmet_need = Some(switchtower_contract::Need::Threads);
    assert!(!can_be_stored(&Outcome { unmet_need, ..outcome(Exit::Raised) }));
}

fn verdict(deterministic: bool) -> Verdict {
    Verdict { deterministic, reasons: Vec::new(), doubt: None }
}

/// Classifies a run with this outcome in an interpreter of its own.
fn finding(outcome: &Outcome, stdout: &str, randomness: Randomness, deterministic: bool) -> Finding {
    let output = Output { stdout: stdout.to_owned(), ..Output::default() };
    let (verdict, limits, interpreter) = (verdict(deterministic), Limits::default(), Some(InterpreterId::next()));
    let tier = TierName::from("native");
    Finding::of(&Run {
        tier: &tier,
        observes: outcome.observed.is_some(),
        outcome,
        output: &output,
        verdict: &verdict,
        randomness,
        limits: &limits,
        interpreter,
    })
}

#[test]
fn observation_overrides_the_static_verdict() {
    let of = |effects: Option<&[Effect]>, randomness, deterministic| {
        let observed = effects.map(|effects| effects.iter().copied().collect());
        finding(&Outcome { observed, ..outcome(Exit::Finished(0)) }, "1", randomness, deterministic)
    };
    let observed = |finding| matches!(finding, Finding::Observed(_));
    let proven = |finding| matches!(finding, Finding::Proven(..));
    let (fresh, seeded) = (Randomness::Fresh, Randomness::Seeded(1));
    assert!(observed(of(Some(&[]), fresh, false)));
    assert_eq!(of(Some(&[Effect::Randomness]), fresh, true), Finding::Unique);
    assert!(observed(of(Some(&[Effect::Randomness, Effect::Clock]), seeded, false)));
    assert_eq!(of(Some(&[Effect::Environment]), seeded, true), Finding::Unique);
    assert!(proven(of(None, fresh, true)));
    assert_eq!(of(None, seeded, false), Finding::Unique);
}

#[test]
fn an_unobserved_run_that_may_have_been_cut_short_is_not_a_candidate() {
    let is_candidate = |change: &dyn Fn(&mut Outcome), stdout: &str| {
        let mut outcome = Outcome { observed: None, ..outcome(Exit::Finished(0)) };
        change(&mut outcome);
        finding(&outcome, stdout, Randomness::Fresh, true) != Finding::Unique
    };
    let limits = Limits::default();
    assert!(is_candidate(&|_| (), "1"));
    assert!(!is_candidate(&|outcome| outcome.exit = Exit::Raised, "1"));
    assert!(!is_candidate(&|outcome| outcome.truncated = true, "1"));
    assert!(!is_candidate(&|outcome| outcome.unmet_need = Some(switchtower_contract::Need::Threads), "1"));
    assert!(!is_candidate(&|outcome| outcome.usage.memory = limits.memory - 1, "1"));
    assert!(!is_candidate(&|outcome| outcome.usage.wall = limits.wall - Duration::from_millis(1), "1"));
    assert!(!is_candidate(&|_| (), "<object at 0x7f3a5c0b1d90>"));
}

/// Runs a program unobserved. Returns the stored stdout, or whether the result was stored.
async fn unobserved(
    cache: &ResultCache,
    source: &str,
    stdout: &str,
    interpreter: InterpreterId,
) -> Result<String, Stored> {
    match cache.find(&key(source), &subject(source), &user("ada"), CacheMode::Use, false, WAIT).await {
        Lookup::Stored(stored, _) => Ok(stored.output.stdout.clone()),
        Lookup::Run(flight) => Err(flight.complete(Finding::Proven(result(stdout), interpreter))),
    }
}

#[tokio::test(start_paused = true)]
async fn an_unobserved_result_is_a_hit_for_the_third_equal_request() {
    let cache = ResultCache::new(&Config::default());
    let (one, two) = (InterpreterId::next(), InterpreterId::next());
    assert_eq!(unobserved(&cache, "a", "1", one).await, Err(Stored::Candidate));
    // A second run in the same interpreter is not independent.
    assert_eq!(unobserved(&cache, "a", "1", one).await, Err(Stored::Candidate));
    let found = cache.find(&key("a"), &subject("a"), &user("ada"), CacheMode::Use, false, WAIT).await;
    let Lookup::Run(flight) = found else { panic!("a candidate answers no request") };
    assert_eq!(flight.avoid_interpreter(), Some(one));
    drop(flight);
    assert_eq!(unobserved(&cache, "a", "1", two).await, Err(Stored::Kept));
    assert_eq!(unobserved(&cache, "a", "", two).await, Ok("1".to_owned()));
    assert_eq!(cache.counts(), CacheCounts { candidates: 2, verified: 1, ..CacheCounts::default() });
}

#[tokio::test(start_paused = true)]
async fn an_unverified_result_is_not_shared_with_requests_in_flight() {
    let cache = ResultCache::new(&Config::default());
    let find = async || cache.find(&key("a"), &subject("a"), &user("ada"), CacheMode::Use, false, WAIT).await;
    let (Lookup::Run(first), Lookup::Run(second)) = (find().await, find().await) else { panic!("both run") };
    assert_eq!(cache.in_flight(), 0);
    assert_eq!(first.complete(Finding::Proven(result("1"), InterpreterId::next())), Stored::Candidate);
    assert_eq!(second.complete(Finding::Proven(result("1"), InterpreterId::next())), Stored::Kept);
}

#[tokio::test(start_paused = true)]
async fn a_verified_digest_outlives_its_result_by_a_day() {
    let cache = ResultCache::new(&Config::default());
    let next = InterpreterId::next;
    for stored in [Stored::Candidate, Stored::Kept] {
        assert_eq!(unobserved(&cache, "a", "1", next()).await, Err(stored));
    }
    advance(Duration::from_secs(24 * 3600)).await;
    let again = next();
    assert_eq!(unobserved(&cache, "a", "1", again).await, Err(Stored::Kept));
    assert_eq!(unobserved(&cache, "a", "", again).await, Ok("1".to_owned()));
    advance(Duration::from_secs(24 * 3600 + 300)).await;
    assert_eq!(unobserved(&cache, "a", "1", next()).await, Err(Stored::Candidate));
    // The digest of a candidate is kept equally long.
    advance(Duration::from_secs(24 * 3600)).await;
    assert_eq!(unobserved(&cache, "a", "1", next()).await, Err(Stored::Kept));
}

#[tokio::test(start_paused = true)]
async fn a_difference_bars_its_program_and_the_third_one_its_class_and_rule() {
    let cache = ResultCache::new(&Config::default());
    let next = InterpreterId::next;
    let differ = async |source: &str| {
        assert_eq!(unobserved(&cache, source, "x 1", next()).await, Err(Stored::Candidate));
        assert_eq!(unobserved(&cache, source, "x 2", next()).await, Err(Stored::No));
        assert_eq!(unobserved(&cache, source, "x 2", next()).await, Err(Stored::No));
    };
    for _ in 0..2 {
        unobserved(&cache, "well", "1", next()).await.unwrap_err();
    }
    differ("a").await;
    differ("b").await;
    assert_eq!(unobserved(&cache, "well", "", next()).await, Ok("1".to_owned()));
    differ("c").await;
    // After the third one, no result of this class and rule is returned, earlier ones included.
    assert_eq!(unobserved(&cache, "well", "1", next()).await, Err(Stored::No));
    assert!(!hit(&cache, "well").await);
    let status = cache.bars();
    assert_eq!((status.programs.len(), status.rules.len(), status.differences.len()), (3, 1, 3));
    let first = status.differences[0].first.clone().unwrap();
    assert_eq!((first.part.as_str(), first.offset), ("stdout", 2));
    assert_eq!(status.differences[0].stdout, ["x 1", "x 2"]);
    assert_eq!(cache.counts().differences, 3);
    assert_eq!(cache.lift_bars(), 3);
    assert_eq!(unobserved(&cache, "well", "1", next()).await, Err(Stored::Kept));
}

#[tokio::test(start_paused = true)]
async fn an_unobserved_result_is_rechecked_on_each_hit_until_four_rechecks_agreed() {
    let cache = ResultCache::new(&Config::default());
    for _ in 0..2 {
        unobserved(&cache, "a", "1", InterpreterId::next()).await.unwrap_err();
    }
    flight(&cache, "observed").await.complete(observed("1"));
    assert!(!cache.must_recheck(&key("observed")));
    let Lookup::Stored(stored, _) = find(&cache, "a").await else { panic!("it is stored") };
    for _ in 0..4 {
        assert!(cache.must_recheck(&key("a")));
        // A recheck without a result does not count.
        cache.compare(&key("a"), &subject("a"), &stored, None);
        cache.compare(&key("a"), &subject("a"), &stored, Some(&result("1")));
    }
    assert!(!cache.must_recheck(&key("a")));
}

#[tokio::test(start_paused = true)]
async fn a_stored_result_is_removed_when_its_recheck_differs() {
    let cache = ResultCache::new(&Config::default());
    flight(&cache, "a").await.complete(observed("1"));
    let Lookup::Stored(stored, _) = find(&cache, "a").await else { panic!("it is stored") };
    cache.compare(&key("a"), &subject("a"), &stored, Some(&result("1")));
    // A recheck without a result changes nothing.
    cache.compare(&key("a"), &subject("a"), &stored, None);
    assert!(hit(&cache, "a").await);
    cache.compare(&key("a"), &subject("a"), &stored, Some(&result("2")));
    assert!(!hit(&cache, "a").await);
    assert_eq!((cache.counts().rechecked, cache.counts().differences), (3, 1));
}
