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

/// A result that the sandbox observed to be pure.
fn kept(stdout: &str) -> Finding {
    Finding::Observed(result(stdout))
}

const PATIENCE: Duration = Duration::from_secs(30);

async fn find(cache: &ResultCache, source: &str) -> Found {
    cache.find(&key(source), &subject(source), &user("ada"), CacheMode::Use, true, PATIENCE).await
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
    let cache = ResultCache::new(&Config { max_entries: 2, ..Config::default() });
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
async fn answers_past_their_time_are_removed_although_nobody_asks_for_them() {
    let cache = ResultCache::new(&Config::default());
    flight(&cache, "a").await.land(kept("a"));
    advance(Duration::from_secs(200)).await;
    flight(&cache, "b").await.land(kept("b"));
    cache.remove_expired();
    assert_eq!(cache.len(), 2);
    advance(Duration::from_secs(100)).await;
    cache.remove_expired();
    assert_eq!(cache.len(), 1);
    assert!(hit(&cache, "b").await);
}

#[tokio::test(start_paused = true)]
async fn all_answers_together_stay_within_their_bytes() {
    let cache = ResultCache::new(&Config { max_bytes: 10_000, ..Config::default() });
    for number in 0..100 {
        flight(&cache, &number.to_string()).await.land(kept(&"x".repeat(1000)));
    }
    assert!((1..10).contains(&cache.len()));
    assert_eq!(flight(&cache, "big").await.land(kept(&"x".repeat(10_000))), Stored::No);
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
async fn nobody_waits_for_a_request_of_another_user_that_has_not_begun_to_run() {
    let cache = ResultCache::new(&Config::default());
    let find = async |name| cache.find(&key("a"), &subject("a"), &user(name), CacheMode::Use, true, PATIENCE).await;
    let Found::Nothing(leader) = find("ada").await else { panic!("nothing is stored") };
    // It waits among a hundred others of its user.
    assert!(matches!(timeout(Duration::ZERO, find("bob")).await, Ok(Found::Nothing(_))));
    assert!(timeout(Duration::ZERO, find("ada")).await.is_err());
    leader.start();
    let leave = async {
        yield_now().await;
        drop(leader);
    };
    // Its own user's next request leads, and has not begun either.
    let (own, other, ()) = tokio::join!(find("ada"), find("bob"), leave);
    assert!(matches!((own, other), (Found::Nothing(_), Found::Nothing(_))));
    let Found::Nothing(leader) = find("ada").await else { panic!("nothing is stored") };
    leader.start();
    let land = async {
        yield_now().await;
        leader.land(kept("a"));
    };
    let (other, ()) = tokio::join!(find("bob"), land);
    assert!(matches!(other, Found::Kept(_, CacheStatus::Coalesced)));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_cannot_be_shared_is_not_waited_for_again() {
    let cache = ResultCache::new(&Config::default());
    let leader = flight(&cache, "a").await;
    let land = async {
        yield_now().await;
        leader.land(Finding::Unique);
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
    let found = cache.find(&key("a"), &subject("a"), &user("ada"), CacheMode::Use, true, Duration::from_secs(1)).await;
    assert!(matches!(found, Found::Nothing(_)));
}

#[tokio::test(start_paused = true)]
async fn bypass_leaves_the_cache_alone_and_refresh_replaces() {
    let cache = ResultCache::new(&Config::default());
    flight(&cache, "a").await.land(kept("old"));
    for (mode, says) in [(CacheMode::Bypass, "old"), (CacheMode::Refresh, "new")] {
        let Found::Nothing(flight) = cache.find(&key("a"), &subject("a"), &user("ada"), mode, true, PATIENCE).await
        else {
            panic!("{mode} runs")
        };
        flight.land(kept("new"));
        assert!(matches!(find(&cache, "a").await, Found::Kept(kept, _) if kept.output.stdout == says), "{mode}");
    }
}

#[test]
fn only_a_whole_result_may_be_kept() {
    let tier = TierName::from("wasm");
    let may = |outcome: &Outcome| StoredResult::new(&tier, outcome, &Output::default()).is_some();
    assert!(may(&outcome(Exit::Finished(3))) && may(&outcome(Exit::Raised)));
    assert!(![Exit::TimedOut, Exit::OutOfMemory, Exit::Killed].into_iter().any(|exit| may(&outcome(exit))));
    assert!(!may(&Outcome { truncated: true, ..outcome(Exit::Raised) }));
    let unmet_need = Some(switchtower_contract::Need::Threads);
    assert!(!may(&Outcome { unmet_need, ..outcome(Exit::Raised) }));
}

fn verdict(deterministic: bool) -> Verdict {
    Verdict { deterministic, reasons: Vec::new(), doubt: None }
}

/// What becomes of a run with this end, in an interpreter of its own.
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
fn what_was_observed_counts_more_than_what_was_foreseen() {
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
fn a_run_that_nobody_saw_and_that_may_have_been_cut_short_is_no_candidate() {
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

/// Runs a program that a sandbox cannot observe: what the cache gave, or what became of the result.
async fn unobserved(
    cache: &ResultCache,
    source: &str,
    stdout: &str,
    interpreter: InterpreterId,
) -> Result<String, Stored> {
    match cache.find(&key(source), &subject(source), &user("ada"), CacheMode::Use, false, PATIENCE).await {
        Found::Kept(kept, _) => Ok(kept.output.stdout.clone()),
        Found::Nothing(flight) => Err(flight.land(Finding::Proven(result(stdout), interpreter))),
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_that_nobody_observed_is_a_hit_for_the_third_equal_request() {
    let cache = ResultCache::new(&Config::default());
    let (one, two) = (InterpreterId::next(), InterpreterId::next());
    assert_eq!(unobserved(&cache, "a", "1", one).await, Err(Stored::Candidate));
    // The same interpreter is no witness.
    assert_eq!(unobserved(&cache, "a", "1", one).await, Err(Stored::Candidate));
    let found = cache.find(&key("a"), &subject("a"), &user("ada"), CacheMode::Use, false, PATIENCE).await;
    let Found::Nothing(flight) = found else { panic!("a candidate is given to nobody") };
    assert_eq!(flight.avoid_interpreter(), Some(one));
    drop(flight);
    assert_eq!(unobserved(&cache, "a", "1", two).await, Err(Stored::Kept));
    assert_eq!(unobserved(&cache, "a", "", two).await, Ok("1".to_owned()));
    assert_eq!(cache.counts(), Counts { candidates: 2, verified: 1, ..Counts::default() });
}

#[tokio::test(start_paused = true)]
async fn what_is_not_verified_is_not_shared_with_those_who_come_meanwhile() {
    let cache = ResultCache::new(&Config::default());
    let find = async || cache.find(&key("a"), &subject("a"), &user("ada"), CacheMode::Use, false, PATIENCE).await;
    let (Found::Nothing(first), Found::Nothing(second)) = (find().await, find().await) else { panic!("both run") };
    assert_eq!(cache.in_flight(), 0);
    assert_eq!(first.land(Finding::Proven(result("1"), InterpreterId::next())), Stored::Candidate);
    assert_eq!(second.land(Finding::Proven(result("1"), InterpreterId::next())), Stored::Kept);
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
    // A candidate is remembered for as long.
    advance(Duration::from_secs(24 * 3600)).await;
    assert_eq!(unobserved(&cache, "a", "1", next()).await, Err(Stored::Kept));
}

#[tokio::test(start_paused = true)]
async fn a_difference_bars_its_program_and_after_a_few_its_class_and_rule() {
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
    // A third one: nothing of this class and rule is given any more, what was stored before included.
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
async fn a_result_that_was_not_observed_is_run_again_beside_each_hit_until_four_more_runs_agree() {
    let cache = ResultCache::new(&Config::default());
    for _ in 0..2 {
        unobserved(&cache, "a", "1", InterpreterId::next()).await.unwrap_err();
    }
    flight(&cache, "observed").await.land(kept("1"));
    assert!(!cache.is_to_be_rechecked(&key("observed")));
    let Found::Kept(stored, _) = find(&cache, "a").await else { panic!("it is stored") };
    for _ in 0..4 {
        assert!(cache.is_to_be_rechecked(&key("a")));
        // One that did not come to its end counts for nothing.
        cache.compare(&key("a"), &subject("a"), &stored, None);
        cache.compare(&key("a"), &subject("a"), &stored, Some(&result("1")));
    }
    assert!(!cache.is_to_be_rechecked(&key("a")));
}

#[tokio::test(start_paused = true)]
async fn a_stored_result_that_comes_out_different_beside_a_hit_is_dropped() {
    let cache = ResultCache::new(&Config::default());
    flight(&cache, "a").await.land(kept("1"));
    let Found::Kept(stored, _) = find(&cache, "a").await else { panic!("it is stored") };
    cache.compare(&key("a"), &subject("a"), &stored, Some(&result("1")));
    // A run that did not come to its end says nothing.
    cache.compare(&key("a"), &subject("a"), &stored, None);
    assert!(hit(&cache, "a").await);
    cache.compare(&key("a"), &subject("a"), &stored, Some(&result("2")));
    assert!(!hit(&cache, "a").await);
    assert_eq!((cache.counts().rechecked, cache.counts().differences), (3, 1));
}
