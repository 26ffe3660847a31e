use switchtower_contract::scripted::{FaultRates, Scripted, Settings};
use switchtower_contract::{Events, Exit, Limits, Outcome, Program};
use tokio::time::{advance, sleep};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn scripted() -> Scripted {
    Scripted::new(1, Settings { open_time: SECOND..SECOND, ..Settings::default() })
}

fn pool(backend: &Scripted, config: Config) -> Pool {
    let spec = Spec::new(switchtower_contract::Language::Python);
    Pool::new("e2b".into(), Arc::new(backend.clone()), spec, config, 60 * SECOND)
}

async fn run(lease: &mut Lease, source: &str) -> Outcome {
    let (events, _from) = Events::channel();
    let (program, limits) = (Program::python(source), Limits::default());
    lease.sandbox().unwrap().run(&program, &limits, &events).await.unwrap()
}

async fn warmed(backend: &Scripted, config: Config) -> Pool {
    let pool = pool(backend, config);
    pool.start();
    sleep(2 * SECOND).await;
    pool
}

#[tokio::test(start_paused = true)]
async fn three_sandboxes_are_warm_soon_after_the_start() {
    let backend = scripted();
    let pool = warmed(&backend, Config { min_ready: 3, ..Config::default() }).await;
    let status = pool.status();
    assert_eq!((status.warm, status.size, status.counts.created), (3, 3, 3));
    assert!(pool.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_burst_never_opens_more_than_the_maximum_and_afterwards_the_target_is_kept() {
    let backend = scripted();
    let pool = Arc::new(warmed(&backend, Config::default()).await);
    let callers: Vec<_> = (0..30)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut lease = pool.take(SECOND).await.unwrap();
                let outcome = run(&mut lease, "sleep 500ms").await;
                assert_eq!(outcome.exit, Exit::Finished(0));
                lease.release(SideEffects::None);
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(backend.counts().most_live <= 10);
    let ratio = pool.status().warm_hit_ratio;
    assert!(ratio >= 0.1, "{ratio}");
    sleep(90 * SECOND).await;
    assert_eq!((pool.status().warm, backend.counts().live), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn the_run_after_the_fiftieth_gets_another_sandbox() {
    let backend = scripted();
    let pool = warmed(&backend, Config { target: 1, max: 1, ..Config::default() }).await;
    for _ in 0..50 {
        pool.take(SECOND).await.unwrap().release(SideEffects::None);
    }
    assert_eq!(pool.status().counts.created, 1);
    pool.take(SECOND).await.unwrap().release(SideEffects::None);
    assert_eq!((pool.status().counts.created, pool.status().counts.retired), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_with_side_effects_of_a_run_is_not_reused() {
    let backend = scripted();
    let pool = warmed(&backend, Config { target: 1, max: 1, ..Config::default() }).await;
    let mut lease = pool.take(SECOND).await.unwrap();
    run(&mut lease, "set kept 1").await;
    lease.release(SideEffects::Sandbox);
    let mut lease = pool.take(SECOND).await.unwrap();
    assert_eq!(run(&mut lease, "get kept").await.exit, Exit::Raised);
    assert_eq!(pool.status().counts.created, 2);
    // A sandbox that is reused was reset before.
    run(&mut lease, "set kept 1").await;
    lease.release(SideEffects::None);
    let mut lease = pool.take(SECOND).await.unwrap();
    assert_eq!(run(&mut lease, "get kept").await.exit, Exit::Raised);
    assert_eq!(pool.status().counts.created, 2);
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_is_ended_after_an_hour_but_never_during_a_run() {
    let backend = scripted();
    let config = Config { target: 1, max: 2, sleep_after: Duration::ZERO, ..Config::default() };
    let pool = warmed(&backend, config).await;
    advance(3580 * SECOND).await;
    // During a run of a minute the sandbox would become older than an hour, so the run gets another one.
    let lease = pool.take(60 * SECOND).await.unwrap();
    assert_eq!(pool.status().counts.created, 2);
    sleep(3700 * SECOND).await;
    assert_eq!(backend.counts().live, 2, "{:?} the idle sandbox was replaced, the leased one lives", pool.status());
    lease.release(SideEffects::None);
    sleep(31 * SECOND).await;
    assert_eq!(backend.counts().live, 1);
    assert!(pool.status().counts.retired >= 2);
}

#[tokio::test(start_paused = true)]
async fn idle_sandboxes_are_checked_and_replaced_if_they_have_ended() {
    let backend = scripted();
    let pool = warmed(&backend, Config::default()).await;
    backend.fail_maintain(Fault::Unavailable { reason: "deleted".to_owned() });
    sleep(32 * SECOND).await;
    assert_eq!((pool.status().counts.evicted, pool.status().counts.created, pool.status().warm), (1, 4, 3));
    assert_eq!(backend.counts().runs, 0, "checking a sandbox runs no program");
}

#[tokio::test(start_paused = true)]
async fn idle_sandboxes_sleep_and_the_next_run_wakes_one() {
    let backend = scripted();
    let pool = warmed(&backend, Config::default()).await;
    sleep(400 * SECOND).await;
    let status = pool.status();
    assert_eq!((status.warm, status.asleep), (2, 2), "only the minimum is kept without requests");
    let created = status.counts.created;
    let mut lease = pool.take(SECOND).await.unwrap();
    run(&mut lease, "print a").await;
    assert_eq!(pool.status().counts.created, created);
    sleep(2 * SECOND).await;
    assert_eq!(pool.status().warm, 3, "the target is kept when requests arrive again");
    assert!(
        status.sandboxes.iter().all(|sandbox| sandbox.age_ms <= 331_000),
        "time asleep does not count as age: {status:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_stops_waiting_loses_no_sandbox_and_holds_no_capacity() {
    let backend = scripted();
    let pool = pool(&backend, Config { target: 0, min: 0, max: 1, ..Config::default() });
    assert!(timeout(SECOND / 2, pool.take(SECOND)).await.is_err());
    sleep(SECOND).await;
    assert_eq!(
        (pool.status().warm, pool.status().starting),
        (1, 0),
        "the sandbox that was opened for it is kept for the next caller"
    );
    let lease = pool.take(SECOND).await.unwrap();
    assert!(timeout(SECOND / 2, pool.take(SECOND)).await.is_err());
    drop(lease);
    let lease = pool.take(SECOND).await.unwrap();
    assert_eq!(pool.status().size, 1);
    drop(lease);
    assert_eq!((pool.status().size, backend.counts().live), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failed_opening_is_reported_to_one_caller_and_retried_ever_more_slowly() {
    let fault_rates = FaultRates { unavailable: 1000, ..FaultRates::default() };
    let backend = Scripted::new(1, Settings { fault_rates, ..Settings::default() });
    let pool = warmed(&backend, Config::default()).await;
    assert!(pool.take(SECOND).await.is_err());
    let before = pool.status().counts.errors;
    sleep(60 * SECOND).await;
    let errors = pool.status().counts.errors - before;
    assert!(errors <= 6, "{errors} openings on an unavailable backend in one minute");
    assert_eq!(pool.status().size, 0);
}

#[tokio::test(start_paused = true)]
async fn a_closed_pool_keeps_no_sandbox() {
    let backend = scripted();
    let pool = warmed(&backend, Config::default()).await;
    let lease = pool.take(SECOND).await.unwrap();
    pool.close().await;
    assert_eq!(backend.counts().live, 1);
    lease.release(SideEffects::None);
    assert_eq!(backend.counts().live, 0);
    assert!(pool.take(SECOND).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_leased_machine_uses_no_capacity_of_the_pool() {
    let backend = scripted();
    let pool = warmed(&backend, Config { min: 1, target: 1, max: 1, ..Config::default() }).await;
    let mut machines = Vec::new();
    for _ in 0..3 {
        machines.push(pool.take(SECOND).await.unwrap().into_sandbox().unwrap());
    }
    sleep(2 * SECOND).await;
    assert_eq!((pool.status().size, backend.counts().live), (1, 4));
    drop(machines);
    assert_eq!(backend.counts().live, 1, "dropping a machine ends it");
}
