use std::sync::Arc;

use switchtower_contract::scripted::{Scripted, Settings};
use switchtower_contract::{Event, Modules, Program};
use tokio::time::Instant;

use super::*;
use crate::request::RequestLimits;
use crate::seed::Seed;
use crate::tier::{Config, queue};

/// A tier `local` with only `math`, and a tier `strong` that has `pandas` too.
struct World {
    tiers: Tiers,
    local: Scripted,
    strong: Scripted,
}

fn world(effectful: bool) -> World {
    let scripted = |seed, modules: &[&str], effectful| {
        let mut settings = Settings::default();
        settings.offer.modules = Modules::named(modules.iter().copied());
        settings.offer.effectful = effectful;
        Scripted::new(seed, settings)
    };
    let (local, strong) = (scripted(1, &["math"], false), scripted(2, &["math", "pandas"], effectful));
    let tier = |name: &str, backend: &Scripted| {
        Tier::new(name.into(), Arc::new(backend.clone()), Config::default(), &Seed::fixed(1))
    };
    let tiers = Tiers::new([tier("local", &local), tier("strong", &strong)]);
    World { tiers, local, strong }
}

fn both(budget: Duration) -> Route {
    Route(vec![Leg { tier: "local".into(), budget: Some(budget) }, Leg { tier: "strong".into(), budget: None }])
}

fn request(source: &str) -> Request {
    Request::new(Program::python(source), &RequestLimits::default()).unwrap()
}

/// A walk, all that the caller heard with when it did, and what was tried.
struct Told {
    walked: Result<Walked, WalkError>,
    heard: Vec<(Duration, Event)>,
    tried: Vec<String>,
}

async fn walk(tiers: &Tiers, source: &str, route: &Route) -> Told {
    let (events, mut from) = Events::channel();
    let (request, mut attempts, started) = (request(source), Vec::new(), Instant::now());
    let listen = async {
        let mut heard = Vec::new();
        while let Some(event) = from.recv().await {
            heard.push((started.elapsed(), event));
        }
        heard
    };
    let walk = async {
        let mut relay = Relay::new(Some(events));
        let walked =
            tiers.walk(&request, &Terms::of(&request, SideEffects::World), route, &mut relay, &mut attempts).await;
        relay.deliver().await;
        walked
    };
    let (walked, heard) = tokio::join!(walk, listen);
    let tried = attempts.iter().map(|attempt| format!("{} {}", attempt.tier, attempt.outcome)).collect();
    Told { walked, heard, tried }
}

fn text(heard: &[(Duration, Event)]) -> String {
    let mut output = Output::default();
    heard.iter().cloned().for_each(|(_, event)| output.push(event));
    output.stdout
}

fn restarts(told: &Told) -> usize {
    told.heard.iter().filter(|(_, event)| *event == Event::Restart).count()
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_missing_module_moves_on_unseen() {
    let told = walk(&world(false).tiers, "print a; need module pandas; print b", &both(SECOND)).await;
    assert_eq!(told.tried, ["local unsupported", "strong finished"]);
    assert_eq!((text(&told.heard).as_str(), restarts(&told)), ("a\nb\n", 0));
    assert_eq!(told.walked.unwrap().output.stdout, "a\nb\n");
}

#[tokio::test(start_paused = true)]
async fn a_need_that_nobody_can_meet_is_seen_by_the_program_and_noted() {
    let world = world(false);
    let told = walk(&world.tiers, "need module nowhere", &both(SECOND)).await;
    assert_eq!(told.tried, ["local unsupported", "local raised"]);
    let walked = told.walked.unwrap();
    assert_eq!(walked.output.error.unwrap().name, "ModuleNotFoundError");
    let note = "it needs the module nowhere; a tier that has it is needed: none is configured";
    assert_eq!(walked.note.as_deref(), Some(note));
    assert_eq!(world.strong.counts().opened, 0);
    let note = walk(&world.tiers, "need module pandas", &Route::only("local")).await.walked.unwrap().note.unwrap();
    assert_eq!(note, "it needs the module pandas; the tier strong may have it, but was not on its route");
}

#[tokio::test(start_paused = true)]
async fn a_budget_ends_a_program_only_where_it_can_go_on() {
    let tiers = world(false).tiers;
    let told = walk(&tiers, "print a; sleep 3s; print b", &both(SECOND)).await;
    assert_eq!(told.tried, ["local unsupported", "strong finished"]);
    let last = Route(vec![Leg { tier: "local".into(), budget: Some(SECOND) }]);
    assert_eq!(walk(&tiers, "sleep 3s", &last).await.tried, ["local finished"]);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_sleeps_longer_than_its_request_allows_has_timed_out_although_another_tier_stands_ready() {
    let world = world(false);
    // The backend tells at once that it needs more time than it was given.
    world.local.fail_run(Fault::Unsupported(Need::Time(30 * SECOND)));
    let told = walk(&world.tiers, "sleep 60m", &both(60 * SECOND)).await;
    assert_eq!(told.tried, ["local timed_out"]);
    assert_eq!(told.walked.unwrap().outcome.exit, Exit::TimedOut);
    assert_eq!(world.strong.counts().opened, 0);
}

#[tokio::test(start_paused = true)]
async fn all_attempts_together_take_no_longer_than_the_request_allows() {
    let started = Instant::now();
    let told = walk(&world(false).tiers, "spin", &both(SECOND)).await;
    assert_eq!(told.walked.unwrap().outcome.exit, Exit::TimedOut);
    assert!(started.elapsed() <= RequestLimits::default().default_timeout + Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn output_that_was_sent_before_is_not_sent_again() {
    let told = walk(&world(false).tiers, "print a; sleep 400ms; need module pandas; print b", &both(SECOND)).await;
    assert_eq!((text(&told.heard).as_str(), restarts(&told)), ("a\nb\n", 0));
    // The first line flowed once it had been held back, and only once.
    assert!(told.heard[0].0 < Duration::from_millis(300));
    assert_eq!(told.heard.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn output_that_differs_from_what_was_sent_starts_again() {
    let source = "clock; sleep 400ms; need module pandas; print b";
    let told = walk(&world(false).tiers, source, &both(SECOND)).await;
    assert_eq!(restarts(&told), 1);
    assert_eq!(text(&told.heard), told.walked.unwrap().output.stdout);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_not_there_is_asked_again_and_then_left() {
    let world = world(false);
    let fault = || Fault::Unavailable { reason: "away".to_owned() };
    world.local.fail_open(fault());
    assert_eq!(walk(&world.tiers, "print a", &both(SECOND)).await.tried, ["local unavailable", "local finished"]);
    (0..3).for_each(|_| world.local.fail_open(fault()));
    let told = walk(&world.tiers, "print a", &both(SECOND)).await;
    assert_eq!(told.tried[2..], ["local unavailable", "strong finished"]);
    let refused = || Fault::Refused { reason: "no".to_owned(), retry_after: Some(30 * SECOND) };
    world.strong.fail_open(refused());
    let walk_error = walk(&world.tiers, "print a", &Route::only("strong")).await.walked.unwrap_err();
    let reason = "strong: refused: no".to_owned();
    assert_eq!(walk_error, WalkError::Unavailable { reason, retry_after: 30 * SECOND });
}

#[tokio::test(start_paused = true)]
async fn what_may_have_run_with_effects_is_not_run_again() {
    let world = world(true);
    let route = Route(vec![Leg { tier: "strong".into(), budget: Some(SECOND) }, both(SECOND).0.remove(0)]);
    let told = walk(&world.tiers, "touch x; sleep 2s; fault lost", &route).await;
    assert_eq!(told.tried, ["strong lost"]);
    assert!(matches!(told.walked, Err(WalkError::Lost { .. })));
    assert_eq!(world.strong.touched()["x"], 1);
}

#[tokio::test(start_paused = true)]
async fn what_had_no_effects_is_run_again_when_it_is_lost() {
    let world = world(false);
    world.local.fail_run(Fault::Lost { reason: "crash".to_owned() });
    assert_eq!(walk(&world.tiers, "print a", &both(SECOND)).await.tried, ["local lost", "local finished"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_tier_is_left_for_the_next_one() {
    let (local, strong) = (Scripted::default(), Scripted::default());
    let queue = queue::Config { slots: 1, length: 0, ..queue::Config::default() };
    let small = Config { queue, ..Config::default() };
    let tiers = Tiers::new([
        Tier::new("local".into(), Arc::new(local), small, &Seed::fixed(1)),
        Tier::new("strong".into(), Arc::new(strong), Config::default(), &Seed::fixed(1)),
    ]);
    let route = both(SECOND);
    let (one, two) = tokio::join!(walk(&tiers, "sleep 10ms", &route), walk(&tiers, "sleep 10ms", &route));
    assert_eq!((one.tried, two.tried[0].as_str()), (vec!["local finished".to_owned()], "local overloaded"));
    assert_eq!(two.tried[1], "strong finished");
}

/// Opens sandboxes that never say how a run ended; or opens none at all.
struct Silent {
    opens: bool,
}

struct Unending;

#[async_trait::async_trait]
impl switchtower_contract::Backend for Silent {
    fn runtime(&self) -> Arc<str> {
        "silent".into()
    }

    fn offer(&self) -> switchtower_contract::Offer {
        Scripted::default().offer()
    }

    async fn open(&self, _: &Spec) -> Result<Box<dyn switchtower_contract::Sandbox>, Fault> {
        if self.opens { Ok(Box::new(Unending)) } else { std::future::pending().await }
    }

    fn kernels(&self) -> Option<&dyn switchtower_contract::Kernels> {
        None
    }
}

#[async_trait::async_trait]
impl switchtower_contract::Sandbox for Unending {
    fn interpreter(&self) -> Option<InterpreterId> {
        None
    }

    fn machine(&self) -> Option<Arc<dyn switchtower_contract::Machine>> {
        None
    }

    async fn run(&mut self, _: &Program, _: &Limits, events: &Events) -> Result<Outcome, Fault> {
        events.send(Event::Stdout("begun\n".to_owned())).await;
        std::future::pending().await
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    async fn maintain(&mut self, _: switchtower_contract::Maintenance) -> Result<(), Fault> {
        Ok(())
    }
}

/// A tier with this backend, in front of one that would answer.
fn before_one_that_answers(backend: impl switchtower_contract::Backend + 'static, config: Config) -> Tiers {
    Tiers::new([
        Tier::new("local".into(), Arc::new(backend), config, &Seed::fixed(1)),
        Tier::new("strong".into(), Arc::new(Scripted::default()), Config::default(), &Seed::fixed(1)),
    ])
}

#[tokio::test(start_paused = true)]
async fn a_time_out_covers_every_wait_and_the_answer_says_what_was_waited_for() {
    let long = || Config { open_timeout: 90 * SECOND, grace_period: 150 * SECOND, ..Config::default() };
    let busy = || {
        let queue = queue::Config { slots: 1, wait_timeout: 120 * SECOND, ..queue::Config::default() };
        Config { queue, ..long() }
    };
    let pooled = Config { pool: Some(crate::tier::pool::Config::default()), ..long() };
    let timed = |tiers: Tiers| async move {
        let started = Instant::now();
        let told = walk(&tiers, "print a", &both(60 * SECOND)).await;
        let late = started.elapsed().saturating_sub(RequestLimits::default().default_timeout);
        assert!(late <= OVERTIME, "{late:?}");
        told
    };
    // A sandbox never opens: alone, or in a pool.
    for config in [long(), pooled] {
        let told = timed(before_one_that_answers(Silent { opens: false }, config)).await;
        let reason = "after 30s while waiting for the tier local: no sandbox was ready".to_owned();
        assert_eq!(told.walked, Err(WalkError::TimedOut { reason }));
        assert_eq!(told.tried, ["local deadline"]);
    }
    // A run never ends: it has had its time.
    let told = timed(before_one_that_answers(Silent { opens: true }, long())).await;
    let walked = told.walked.unwrap();
    assert_eq!((walked.outcome.exit, walked.output.stdout.as_str()), (Exit::TimedOut, "begun\n"));
    // A slot is never free.
    let tiers = before_one_that_answers(Silent { opens: true }, busy());
    let _slot = tiers.get(&"local".into()).unwrap().queue.slot(&"other".into(), crate::request::Priority::Normal).await;
    let told = timed(tiers).await;
    let reason = "after 30s while waiting for the tier local: no slot was free".to_owned();
    assert_eq!(told.walked, Err(WalkError::TimedOut { reason }));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_would_outlast_the_time_is_not_begun() {
    let world = world(false);
    let backoff = crate::tier::backoff::Config { max_retry_after: 60 * SECOND, ..Default::default() };
    let config = Config { backoff, ..Config::default() };
    let tiers = Tiers::new([Tier::new("local".into(), Arc::new(world.local.clone()), config, &Seed::fixed(1))]);
    let refused = |after| Fault::Refused { reason: "rate".to_owned(), retry_after: Some(after) };
    world.local.fail_open(refused(10 * SECOND));
    world.local.fail_open(refused(40 * SECOND));
    let started = Instant::now();
    let told = walk(&tiers, "print a", &Route::only("local")).await;
    let reason = "local: refused: rate".to_owned();
    assert_eq!(told.walked, Err(WalkError::Unavailable { reason, retry_after: 40 * SECOND }));
    assert!((10 * SECOND..12 * SECOND).contains(&started.elapsed()), "only the first was waited out");
}

#[tokio::test(start_paused = true)]
async fn what_a_remote_tier_lacks_is_looked_for_in_the_next_one_where_nothing_had_effects() {
    // The tier `local` lets programs come to their end, as a cloud does.
    let remote = |seed, modules: &[&str]| {
        let mut settings = Settings::default();
        settings.offer.effectful = true;
        settings.offer.modules = Modules::named(modules.iter().copied());
        Scripted::new(seed, settings)
    };
    let (small, full) = (remote(1, &["math"]), remote(2, &["math", "pandas"]));
    let tier = |name: &str, backend: &Scripted| {
        Tier::new(name.into(), Arc::new(backend.clone()), Config::default(), &Seed::fixed(1))
    };
    let tiers = Tiers::new([tier("small", &small), tier("full", &full)]);
    let route = || Route(["small", "full"].map(|name| Leg { tier: name.into(), budget: None }).into());
    let ask = async |source: &str, side_effects| {
        let (events, mut from) = Events::channel();
        let (request, mut attempts) = (request(source), Vec::new());
        let listen = async {
            let mut heard = Vec::new();
            while let Some(event) = from.recv().await {
                heard.push((Duration::ZERO, event));
            }
            heard
        };
        let route = route();
        let walk = async {
            let mut relay = Relay::new(Some(events));
            let walked =
                tiers.walk(&request, &Terms::of(&request, side_effects), &route, &mut relay, &mut attempts).await;
            relay.deliver().await;
            walked
        };
        let (walked, heard) = tokio::join!(walk, listen);
        let tried = attempts.iter().map(|attempt| format!("{} {}", attempt.tier, attempt.outcome)).collect();
        Told { walked, heard, tried }
    };
    let told = ask("print a; sleep 400ms; need module pandas; print b", SideEffects::None).await;
    assert_eq!(told.tried, ["small unsupported", "full finished"]);
    assert_eq!((text(&told.heard).as_str(), restarts(&told)), ("a\nb\n", 0));
    assert!(told.heard.iter().all(|(_, event)| matches!(event, Event::Stdout(_))), "{:?}", told.heard);

    // What may have had effects is not run twice, and the note says why nothing else was tried.
    let told = ask("touch x; need module pandas", SideEffects::World).await;
    assert_eq!((told.tried.as_slice(), small.touched()["x"]), (&["small raised".to_owned()][..], 1));
    assert_eq!(
        told.walked.unwrap().note.unwrap(),
        "it needs the module pandas; the tier full may have it, but was not tried: the program may have had effects by \
         then, and what may have had effects is not run twice"
    );
    // What nobody has is looked for nowhere else, and the program's own end stands.
    let told = ask("need module nowhere", SideEffects::None).await;
    assert_eq!(told.tried, ["small raised"]);
    // A need that is not a module is one as well.
    let config = Config { default_memory: 1 << 30, ..Config::default() };
    let large = Tier::new("full".into(), Arc::new(full.clone()), config, &Seed::fixed(1));
    let tiers = Tiers::new([tier("small", &small), large]);
    let (request, mut attempts) = (request("alloc 400"), Vec::new());
    let walked = tiers
        .walk(&request, &Terms::of(&request, SideEffects::None), &route(), &mut Relay::new(None), &mut attempts)
        .await;
    assert_eq!(walked.unwrap().tier.as_str(), "full");
}

#[tokio::test(start_paused = true)]
async fn a_note_names_every_tier_that_lacked_it_and_why_the_others_were_not_asked() {
    let remote = |modules: Modules, isolation| {
        let mut settings = Settings::default();
        settings.offer.effectful = true;
        settings.offer.modules = modules;
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
        .walk(&request, &Terms::of(&request, SideEffects::None), &route, &mut Relay::new(None), &mut Vec::new())
        .await;
    assert_eq!(
        walked.unwrap().note.unwrap(),
        "it needs the module pandas; the tier b may have it, and was tried: refused (no key); the tier c may have it, but \
         isolates by process, and the request wants micro_vm at least; the tier d may have it, but was not on its route"
    );
    let only = Request { tier: Some("a".into()), ..request };
    let walked = tiers
        .walk(&only, &Terms::of(&only, SideEffects::None), &Route::only("a"), &mut Relay::new(None), &mut Vec::new())
        .await;
    assert!(walked.unwrap().note.unwrap().ends_with("the tier d may have it, but the request asked for a only"));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_does_not_read_holds_no_slot() {
    let world = world(false);
    let (events, _unread) = Events::channel();
    let (mut relay, mut attempts) = (Relay::new(Some(events)), Vec::new());
    let (request, route) = (request(&"print a; eprint b\n".repeat(1000)), Route::only("local"));
    let walked = world
        .tiers
        .walk(&request, &Terms::of(&request, SideEffects::World), &route, &mut relay, &mut attempts)
        .await
        .unwrap();
    assert_eq!(walked.output.stdout, "a\n".repeat(1000));
    assert_eq!(world.tiers.statuses()[0].running, 0);
    assert!(timeout(SECOND, relay.deliver()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_walk_that_is_dropped_ends_its_program_and_says_where_it_was() {
    let world = world(false);
    let (request, route) = (request("sleep 10s"), Route::only("local"));
    let (mut relay, mut attempts) = (Relay::new(None), Vec::new());
    let terms = Terms::of(&request, SideEffects::World);
    let walk = world.tiers.walk(&request, &terms, &route, &mut relay, &mut attempts);
    assert!(timeout(SECOND, walk).await.is_err());
    assert_eq!((attempts[0].outcome.as_str(), attempts[0].ran >= SECOND), ("abandoned", true));
    let counts = world.local.counts();
    assert_eq!((counts.live, counts.running), (0, 0));
    assert_eq!(world.tiers.statuses()[0].running, 0);
}
