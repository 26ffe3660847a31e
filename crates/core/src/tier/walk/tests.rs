use std::sync::Arc;

use switchtower_contract::scripted::{Scripted, Settings};
use switchtower_contract::{Event, Events, Exit, Language, Languages, Modules, Need, Program, Spec};
use tokio::time::{Instant, timeout};

use super::*;
use crate::request::RequestLimits;
use crate::seed::Seed;
use crate::tier::{Config, queue};

/// A tier `local` that has only the module `math`, and a tier `strong` that also has `pandas`.
struct TestTiers {
    tiers: Tiers,
    local: Scripted,
    strong: Scripted,
}

/// `effectful`: programs in the tier `strong` can have effects outside their sandbox.
fn test_tiers(effectful: bool) -> TestTiers {
    let scripted = |seed, modules: &[&str], effectful| {
        let mut settings = Settings::default();
        settings.offer.languages = Languages::only(Language::Python, Modules::named(modules.iter().copied()));
        settings.offer.effectful = effectful;
        Scripted::new(seed, settings)
    };
    let (local, strong) = (scripted(1, &["math"], false), scripted(2, &["math", "pandas"], effectful));
    let tier = |name: &str, backend: &Scripted| {
        Tier::new(name.into(), Arc::new(backend.clone()), Config::default(), &Seed::fixed(1))
    };
    let tiers = Tiers::new([tier("local", &local), tier("strong", &strong)]);
    TestTiers { tiers, local, strong }
}

/// Returns a route with both tiers; `budget` is that of `local`.
fn local_then_strong(budget: Duration) -> Route {
    Route(vec![Leg { tier: "local".into(), budget: Some(budget) }, Leg { tier: "strong".into(), budget: None }])
}

fn request(source: &str) -> Request {
    Request::new(Program::python(source), &RequestLimits::default()).unwrap()
}

/// The result of a walk, the events that the caller received and when, and the attempts as "tier outcome".
struct WalkReport {
    result: Result<WalkOutcome, WalkError>,
    received: Vec<(Duration, Event)>,
    attempts: Vec<String>,
}

async fn walk(tiers: &Tiers, source: &str, route: &Route) -> WalkReport {
    let (events, mut from) = Events::channel();
    let (request, mut attempts, started) = (request(source), Vec::new(), Instant::now());
    let listen = async {
        let mut received = Vec::new();
        while let Some(event) = from.recv().await {
            received.push((started.elapsed(), event));
        }
        received
    };
    let walk = async {
        let mut relay = Relay::new(Some(events));
        let walked = tiers
            .walk(&request, &WalkOptions::new(&request, SideEffects::World), route, &mut relay, &mut attempts)
            .await;
        relay.deliver().await;
        walked
    };
    let (result, received) = tokio::join!(walk, listen);
    let attempts = attempts.iter().map(|attempt| format!("{} {}", attempt.tier, attempt.outcome)).collect();
    WalkReport { result, received, attempts }
}

fn stdout(received: &[(Duration, Event)]) -> String {
    let mut output = Output::default();
    received.iter().cloned().for_each(|(_, event)| output.push(event));
    output.stdout
}

fn restarts(report: &WalkReport) -> usize {
    report.received.iter().filter(|(_, event)| *event == Event::Restart).count()
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_missing_module_moves_the_program_on_without_the_caller_seeing_it() {
    let report =
        walk(&test_tiers(false).tiers, "print a; need module pandas; print b", &local_then_strong(SECOND)).await;
    assert_eq!(report.attempts, ["local unsupported", "strong finished"]);
    assert_eq!((stdout(&report.received).as_str(), restarts(&report)), ("a\nb\n", 0));
    assert_eq!(report.result.unwrap().output.stdout, "a\nb\n");
}

#[tokio::test(start_paused = true)]
async fn a_need_that_no_tier_can_meet_is_raised_in_the_program_and_noted() {
    let fixture = test_tiers(false);
    let report = walk(&fixture.tiers, "need module nowhere", &local_then_strong(SECOND)).await;
    assert_eq!(report.attempts, ["local unsupported", "local raised"]);
    let walked = report.result.unwrap();
    assert_eq!(walked.output.error.unwrap().name, "ModuleNotFoundError");
    let note = "it needs the module nowhere; if it is your own, add nowhere.py or its folder to the files; \
                no configured tier provides it";
    assert_eq!(walked.note.as_deref(), Some(note));
    assert_eq!(fixture.strong.counts().opened, 0);
    let note = walk(&fixture.tiers, "need module pandas", &Route::only("local")).await.result.unwrap().note.unwrap();
    assert_eq!(note, "it needs the module pandas; tier strong may provide it, but was not on the route");
}

#[tokio::test(start_paused = true)]
async fn a_budget_ends_a_program_only_if_a_later_tier_can_continue_it() {
    let tiers = test_tiers(false).tiers;
    let report = walk(&tiers, "print a; sleep 3s; print b", &local_then_strong(SECOND)).await;
    assert_eq!(report.attempts, ["local unsupported", "strong finished"]);
    let last = Route(vec![Leg { tier: "local".into(), budget: Some(SECOND) }]);
    assert_eq!(walk(&tiers, "sleep 3s", &last).await.attempts, ["local finished"]);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_needs_more_time_than_its_request_allows_times_out_and_is_not_tried_in_another_tier() {
    let fixture = test_tiers(false);
    // The backend reports at once that the program needs more time than its limit.
    fixture.local.fail_run(Fault::Unsupported(Need::Time(30 * SECOND)));
    let report = walk(&fixture.tiers, "sleep 60m", &local_then_strong(60 * SECOND)).await;
    assert_eq!(report.attempts, ["local timed_out"]);
    assert_eq!(report.result.unwrap().outcome.exit, Exit::TimedOut);
    assert_eq!(fixture.strong.counts().opened, 0);
}

#[tokio::test(start_paused = true)]
async fn all_attempts_together_take_no_longer_than_the_request_allows() {
    let started = Instant::now();
    let report = walk(&test_tiers(false).tiers, "spin", &local_then_strong(SECOND)).await;
    assert_eq!(report.result.unwrap().outcome.exit, Exit::TimedOut);
    assert!(started.elapsed() <= RequestLimits::default().default_timeout + Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn output_that_was_sent_before_is_not_sent_again() {
    let report =
        walk(&test_tiers(false).tiers, "print a; sleep 400ms; need module pandas; print b", &local_then_strong(SECOND))
            .await;
    assert_eq!((stdout(&report.received).as_str(), restarts(&report)), ("a\nb\n", 0));
    // The first line was sent when its hold-back time was over, and only once.
    assert!(report.received[0].0 < Duration::from_millis(300));
    assert_eq!(report.received.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn output_that_differs_from_the_sent_output_restarts() {
    let source = "clock; sleep 400ms; need module pandas; print b";
    let report = walk(&test_tiers(false).tiers, source, &local_then_strong(SECOND)).await;
    assert_eq!(restarts(&report), 1);
    assert_eq!(stdout(&report.received), report.result.unwrap().output.stdout);
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_backend_is_retried_and_then_the_next_tier_is_tried() {
    let fixture = test_tiers(false);
    let fault = || Fault::Unavailable { reason: "connection refused".to_owned() };
    fixture.local.fail_open(fault());
    assert_eq!(
        walk(&fixture.tiers, "print a", &local_then_strong(SECOND)).await.attempts,
        ["local unavailable", "local finished"]
    );
    (0..3).for_each(|_| fixture.local.fail_open(fault()));
    let report = walk(&fixture.tiers, "print a", &local_then_strong(SECOND)).await;
    assert_eq!(report.attempts[2..], ["local unavailable", "strong finished"]);
    let refused = || Fault::Refused { reason: "no".to_owned(), retry_after: Some(30 * SECOND) };
    fixture.strong.fail_open(refused());
    let walk_error = walk(&fixture.tiers, "print a", &Route::only("strong")).await.result.unwrap_err();
    let reason = "strong: refused: no".to_owned();
    assert_eq!(walk_error, WalkError::Unavailable { reason, retry_after: 30 * SECOND });
}

#[tokio::test(start_paused = true)]
async fn a_program_that_may_have_run_with_effects_is_not_run_again() {
    let fixture = test_tiers(true);
    let route = Route(vec![Leg { tier: "strong".into(), budget: Some(SECOND) }, local_then_strong(SECOND).0.remove(0)]);
    let report = walk(&fixture.tiers, "touch x; sleep 2s; fault lost", &route).await;
    assert_eq!(report.attempts, ["strong lost"]);
    assert!(matches!(report.result, Err(WalkError::Lost { .. })));
    assert_eq!(fixture.strong.touched()["x"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_program_without_effects_is_run_again() {
    let fixture = test_tiers(false);
    fixture.local.fail_run(Fault::Lost { reason: "crash".to_owned() });
    assert_eq!(
        walk(&fixture.tiers, "print a", &local_then_strong(SECOND)).await.attempts,
        ["local lost", "local finished"]
    );
}

#[tokio::test(start_paused = true)]
async fn if_a_tier_is_full_the_next_one_is_tried() {
    let (local, strong) = (Scripted::default(), Scripted::default());
    let queue = queue::Config { slots: 1, length: 0, ..queue::Config::default() };
    let small = Config { queue, ..Config::default() };
    let tiers = Tiers::new([
        Tier::new("local".into(), Arc::new(local), small, &Seed::fixed(1)),
        Tier::new("strong".into(), Arc::new(strong), Config::default(), &Seed::fixed(1)),
    ]);
    let route = local_then_strong(SECOND);
    let (one, two) = tokio::join!(walk(&tiers, "sleep 10ms", &route), walk(&tiers, "sleep 10ms", &route));
    assert_eq!((one.attempts, two.attempts[0].as_str()), (vec!["local finished".to_owned()], "local overloaded"));
    assert_eq!(two.attempts[1], "strong finished");
}

/// A backend whose sandboxes never return from a run, or, unless `opens`, whose sandboxes never open.
struct HangingBackend {
    opens: bool,
}

struct HangingSandbox;

#[async_trait::async_trait]
impl switchtower_contract::Backend for HangingBackend {
    fn runtime(&self) -> Arc<str> {
        "hanging".into()
    }

    fn offer(&self) -> switchtower_contract::Offer {
        Scripted::default().offer()
    }

    async fn open(&self, _: &Spec) -> Result<Box<dyn switchtower_contract::Sandbox>, Fault> {
        if self.opens { Ok(Box::new(HangingSandbox)) } else { std::future::pending().await }
    }

    fn kernels(&self) -> Option<&dyn switchtower_contract::Kernels> {
        None
    }
}

#[async_trait::async_trait]
impl switchtower_contract::Sandbox for HangingSandbox {
    fn interpreter(&self) -> Option<InterpreterId> {
        None
    }

    fn machine(&self) -> Option<Arc<dyn switchtower_contract::Machine>> {
        None
    }

    async fn run(&mut self, _: &Program, _: &Limits, events: &Events) -> Result<Outcome, Fault> {
        events.send(Event::Stdout("started\n".to_owned())).await;
        std::future::pending().await
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    async fn maintain(&mut self, _: switchtower_contract::Maintenance) -> Result<(), Fault> {
        Ok(())
    }
}

/// Returns a tier `local` with this backend and a tier `strong` with a working one.
fn before_a_working_tier(backend: impl switchtower_contract::Backend + 'static, config: Config) -> Tiers {
    Tiers::new([
        Tier::new("local".into(), Arc::new(backend), config, &Seed::fixed(1)),
        Tier::new("strong".into(), Arc::new(Scripted::default()), Config::default(), &Seed::fixed(1)),
    ])
}

#[tokio::test(start_paused = true)]
async fn a_timeout_covers_every_wait_and_the_error_says_what_was_waited_for() {
    let long = || Config { open_timeout: 90 * SECOND, grace_period: 150 * SECOND, ..Config::default() };
    let busy = || {
        let queue = queue::Config { slots: 1, wait_timeout: 120 * SECOND, ..queue::Config::default() };
        Config { queue, ..long() }
    };
    let pooled = Config { pool: Some(crate::tier::pool::Config::default()), ..long() };
    let timed = |tiers: Tiers| async move {
        let started = Instant::now();
        let report = walk(&tiers, "print a", &local_then_strong(60 * SECOND)).await;
        let overrun = started.elapsed().saturating_sub(RequestLimits::default().default_timeout);
        assert!(overrun <= DEADLINE_GRACE, "{overrun:?}");
        report
    };
    // A sandbox never opens, without a pool and with one.
    for config in [long(), pooled] {
        let report = timed(before_a_working_tier(HangingBackend { opens: false }, config)).await;
        let reason = "after 30s while waiting for tier local: no sandbox was ready".to_owned();
        assert_eq!(report.result, Err(WalkError::TimedOut { reason }));
        assert_eq!(report.attempts, ["local deadline"]);
    }
    // A run never returns: the program has used all of its time.
    let report = timed(before_a_working_tier(HangingBackend { opens: true }, long())).await;
    let walked = report.result.unwrap();
    assert_eq!((walked.outcome.exit, walked.output.stdout.as_str()), (Exit::TimedOut, "started\n"));
    // A slot is never free.
    let tiers = before_a_working_tier(HangingBackend { opens: true }, busy());
    let _slot = tiers.get(&"local".into()).unwrap().queue.slot(&"other".into(), crate::request::Priority::Normal).await;
    let report = timed(tiers).await;
    let reason = "after 30s while waiting for tier local: no slot was free".to_owned();
    assert_eq!(report.result, Err(WalkError::TimedOut { reason }));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_would_end_after_the_deadline_is_not_begun() {
    let fixture = test_tiers(false);
    let backoff = crate::tier::backoff::Config { max_retry_after: 60 * SECOND, ..Default::default() };
    let config = Config { backoff, ..Config::default() };
    let tiers = Tiers::new([Tier::new("local".into(), Arc::new(fixture.local.clone()), config, &Seed::fixed(1))]);
    let refused = |after| Fault::Refused { reason: "rate".to_owned(), retry_after: Some(after) };
    fixture.local.fail_open(refused(10 * SECOND));
    fixture.local.fail_open(refused(40 * SECOND));
    let started = Instant::now();
    let report = walk(&tiers, "print a", &Route::only("local")).await;
    let reason = "local: refused: rate".to_owned();
    assert_eq!(report.result, Err(WalkError::Unavailable { reason, retry_after: 40 * SECOND }));
    assert!((10 * SECOND..12 * SECOND).contains(&started.elapsed()), "only the first pause was made");
}

#[tokio::test(start_paused = true)]
async fn a_module_that_a_remote_tier_lacks_is_looked_for_in_the_next_tier_if_the_program_had_no_effects() {
    // Both tiers report a need only after the program has ended, as a cloud does.
    let remote = |seed, modules: &[&str]| {
        let mut settings = Settings::default();
        settings.offer.effectful = true;
        settings.offer.languages = Languages::only(Language::Python, Modules::named(modules.iter().copied()));
        Scripted::new(seed, settings)
    };
    let (small, full) = (remote(1, &["math"]), remote(2, &["math", "pandas"]));
    let tier = |name: &str, backend: &Scripted| {
        Tier::new(name.into(), Arc::new(backend.clone()), Config::default(), &Seed::fixed(1))
    };
    let tiers = Tiers::new([tier("small", &small), tier("full", &full)]);
    let route = || Route(["small", "full"].map(|name| Leg { tier: name.into(), budget: None }).into());
    let run = async |source: &str, side_effects| {
        let (events, mut from) = Events::channel();
        let (request, mut attempts) = (request(source), Vec::new());
        let listen = async {
            let mut received = Vec::new();
            while let Some(event) = from.recv().await {
                received.push((Duration::ZERO, event));
            }
            received
        };
        let route = route();
        let walk = async {
            let mut relay = Relay::new(Some(events));
            let walked = tiers
                .walk(&request, &WalkOptions::new(&request, side_effects), &route, &mut relay, &mut attempts)
                .await;
            relay.deliver().await;
            walked
        };
        let (result, received) = tokio::join!(walk, listen);
        let attempts = attempts.iter().map(|attempt| format!("{} {}", attempt.tier, attempt.outcome)).collect();
        WalkReport { result, received, attempts }
    };
    let report = run("print a; sleep 400ms; need module pandas; print b", SideEffects::None).await;
    assert_eq!(report.attempts, ["small unsupported", "full finished"]);
    assert_eq!((stdout(&report.received).as_str(), restarts(&report)), ("a\nb\n", 0));
    assert!(report.received.iter().all(|(_, event)| matches!(event, Event::Stdout(_))), "{:?}", report.received);

    // A program that may have had effects is not run twice, and the note says why no other tier was tried.
    let report = run("touch x; need module pandas", SideEffects::World).await;
    assert_eq!((report.attempts.as_slice(), small.touched()["x"]), (&["small raised".to_owned()][..], 1));
    assert_eq!(
        report.result.unwrap().note.unwrap(),
        "it needs the module pandas; tier full may provide it, but was not tried: the program may already have had side \
         effects, and such a program is not run again"
    );
    // If no tier provides the module, no other tier is tried, and the program's own outcome is returned.
    let report = run("need module nowhere", SideEffects::None).await;
    assert_eq!(report.attempts, ["small raised"]);
    // The same holds for needs other than modules.
    let config = Config { default_memory: 1 << 30, ..Config::default() };
    let large = Tier::new("full".into(), Arc::new(full.clone()), config, &Seed::fixed(1));
    let tiers = Tiers::new([tier("small", &small), large]);
    let (request, mut attempts) = (request("alloc 400"), Vec::new());
    let walked = tiers
        .walk(&request, &WalkOptions::new(&request, SideEffects::None), &route(), &mut Relay::new(None), &mut attempts)
        .await;
    assert_eq!(walked.unwrap().tier.as_str(), "full");
}

#[tokio::test(start_paused = true)]
async fn a_note_names_the_tiers_that_may_provide_the_need_and_why_each_did_not_run_the_program() {
    let remote = |modules: Modules, isolation| {
        let mut settings = Settings::default();
        settings.offer.effectful = true;
        settings.offer.languages = Languages::only(Language::Python, modules);
        settings.offer.isolation = isolation;
        Scripted::new(1, settings)
    };
    use switchtower_contract::Isolation::{MicroVm, Process};
    let tier = |name: &str, backend| Tier::new(name.into(), Arc::new(backend), Config::default(), &Seed::fixed(1));
    let mut any = remote(Modules::Any, MicroVm);
    any.fail_open(Fault::Refused { reason: "no key".to_owned(), retry_after: None });
    let tiers = Tiers::new([
        tier("a", remote(Modules::named(["math"]), MicroVm)),
        tier("b", std::mem::take(&mut any)),
        tier("c", remote(Modules::Any, Process)),
        tier("d", remote(Modules::Any, MicroVm)),
    ]);
    let route = Route(["b", "c", "a"].map(|name| Leg { tier: name.into(), budget: None }).into());
    let request = Request { isolation: Some(MicroVm), ..request("need module pandas") };
    let walked = tiers
        .walk(&request, &WalkOptions::new(&request, SideEffects::None), &route, &mut Relay::new(None), &mut Vec::new())
        .await;
    assert_eq!(
        walked.unwrap().note.unwrap(),
        "it needs the module pandas; tier b may provide it, and was tried: refused (no key); tier c may provide it, but its \
         isolation level is process and the request requires at least micro_vm; tier d may provide it, but was not on the \
         route"
    );
    let only = Request { tier: Some("a".into()), ..request };
    let walked = tiers
        .walk(
            &only,
            &WalkOptions::new(&only, SideEffects::None),
            &Route::only("a"),
            &mut Relay::new(None),
            &mut Vec::new(),
        )
        .await;
    assert!(walked.unwrap().note.unwrap().ends_with("tier d may provide it, but the request allows only a"));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_does_not_read_its_events_holds_no_slot() {
    let fixture = test_tiers(false);
    let (events, _unread) = Events::channel();
    let (mut relay, mut attempts) = (Relay::new(Some(events)), Vec::new());
    let (request, route) = (request(&"print a; eprint b\n".repeat(1000)), Route::only("local"));
    let walked = fixture
        .tiers
        .walk(&request, &WalkOptions::new(&request, SideEffects::World), &route, &mut relay, &mut attempts)
        .await
        .unwrap();
    assert_eq!(walked.output.stdout, "a\n".repeat(1000));
    assert_eq!(fixture.tiers.statuses()[0].running, 0);
    assert!(timeout(SECOND, relay.deliver()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn dropping_a_walk_ends_the_program_and_records_the_attempt_as_abandoned() {
    let fixture = test_tiers(false);
    let (request, route) = (request("sleep 10s"), Route::only("local"));
    let (mut relay, mut attempts) = (Relay::new(None), Vec::new());
    let options = WalkOptions::new(&request, SideEffects::World);
    let walk = fixture.tiers.walk(&request, &options, &route, &mut relay, &mut attempts);
    assert!(timeout(SECOND, walk).await.is_err());
    assert_eq!((attempts[0].outcome.as_str(), attempts[0].ran >= SECOND), ("abandoned", true));
    let counts = fixture.local.counts();
    assert_eq!((counts.live, counts.running), (0, 0));
    assert_eq!(fixture.tiers.statuses()[0].running, 0);
}
