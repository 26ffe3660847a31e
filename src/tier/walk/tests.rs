use std::sync::Arc;

use switchtower_contract::scripted::{Scripted, Settings};
use switchtower_contract::{Event, Modules, Program};
use tokio::time::Instant;

use super::*;
use crate::request::Ceilings;
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
    Request::new(Program::python(source), &Ceilings::default()).unwrap()
}

/// A walk, all that the caller heard with when it did, and what was tried.
struct Told {
    walked: Result<Walked, Setback>,
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
        let walked = tiers.walk(&request, Footprint::World, route, None, &mut relay, &mut attempts).await;
        relay.deliver().await;
        walked
    };
    let (walked, heard) = tokio::join!(walk, listen);
    let tried = attempts.iter().map(|attempt| format!("{} {}", attempt.tier, attempt.outcome)).collect();
    Told { walked, heard, tried }
}

fn text(heard: &[(Duration, Event)]) -> String {
    let mut output = Output::default();
    heard.iter().cloned().for_each(|(_, event)| output.take(event));
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
    assert!(started.elapsed() <= Ceilings::default().default_timeout + Duration::from_millis(5));
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
    let setback = walk(&world.tiers, "print a", &Route::only("strong")).await.walked.unwrap_err();
    let reason = "strong: refused: no".to_owned();
    assert_eq!(setback, Setback::Unavailable { reason, retry_after: 30 * SECOND });
}

#[tokio::test(start_paused = true)]
async fn what_may_have_run_with_effects_is_not_run_again() {
    let world = world(true);
    let route = Route(vec![Leg { tier: "strong".into(), budget: Some(SECOND) }, both(SECOND).0.remove(0)]);
    let told = walk(&world.tiers, "touch x; sleep 2s; fault lost", &route).await;
    assert_eq!(told.tried, ["strong lost"]);
    assert!(matches!(told.walked, Err(Setback::Lost { .. })));
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

#[tokio::test(start_paused = true)]
async fn a_caller_who_does_not_read_holds_no_slot() {
    let world = world(false);
    let (events, _unread) = Events::channel();
    let (mut relay, mut attempts) = (Relay::new(Some(events)), Vec::new());
    let (request, route) = (request(&"print a; eprint b\n".repeat(1000)), Route::only("local"));
    let walked = world.tiers.walk(&request, Footprint::World, &route, None, &mut relay, &mut attempts).await.unwrap();
    assert_eq!(walked.output.stdout, "a\n".repeat(1000));
    assert_eq!(world.tiers.standings()[0].running, 0);
    assert!(timeout(SECOND, relay.deliver()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_walk_that_is_dropped_ends_its_program_and_says_where_it_was() {
    let world = world(false);
    let (request, route) = (request("sleep 10s"), Route::only("local"));
    let (mut relay, mut attempts) = (Relay::new(None), Vec::new());
    let walk = world.tiers.walk(&request, Footprint::World, &route, None, &mut relay, &mut attempts);
    assert!(timeout(SECOND, walk).await.is_err());
    assert_eq!((attempts[0].outcome.as_str(), attempts[0].ran >= SECOND), ("abandoned", true));
    let counts = world.local.counts();
    assert_eq!((counts.live, counts.running), (0, 0));
    assert_eq!(world.tiers.standings()[0].running, 0);
}
