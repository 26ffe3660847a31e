use switchtower_contract::scripted::{FaultRates, Scripted, Settings};
use switchtower_contract::{Events, Exit, Language, Limits, Outcome, Program};
use tokio::time::{advance, sleep};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PYTHON: Spec = Spec::new(Language::Python);

fn scripted() -> Scripted {
    Scripted::new(1, Settings { open_time: SECOND..SECOND, ..Settings::default() })
}

/// The settings of a pool whose number of idle sandboxes does not follow demand.
fn fixed() -> Config {
    Config { min: 2, follow_demand: false, surplus_idle: 30 * SECOND, ..Config::default() }
}

fn pool(backend: &Scripted, config: Config) -> Pool {
    Pool::new("e2b".into(), Arc::new(backend.clone()), PYTHON, config, 60 * SECOND)
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
    let pool = warmed(&backend, Config { min_ready: 3, ..fixed() }).await;
    let status = pool.status();
    assert_eq!((status.warm, status.size, status.counts.created), (3, 3, 3));
    assert!(pool.is_ready());
}

#[tokio::test(start_paused = true)]
async fn without_requests_no_sandbox_is_opened_and_few_requests_cost_little_more_than_their_runs() {
    let backend = scripted();
    let pool = warmed(&backend, Config::default()).await;
    assert_eq!((pool.status().size, pool.is_ready()), (0, true));
    // Two or three programs a minute, half of which leave nothing behind.
    let mut idle = 0;
    for program in 0..50 {
        let mut lease = pool.take(&PYTHON, SECOND).await.unwrap();
        run(&mut lease, "sleep 1s").await;
        lease.release(if program % 2 == 0 { SideEffects::None } else { SideEffects::Sandbox });
        for _ in 0..25 {
            sleep(SECOND).await;
            idle += pool.status().warm;
        }
    }
    assert!(idle <= 25 * 13, "{idle} seconds idle after 25 runs with a reset");
    sleep(12 * SECOND).await;
    assert_eq!(backend.counts().live, 0);
}

#[tokio::test(start_paused = true)]
async fn under_steady_demand_requests_find_warm_sandboxes_which_end_soon_after_the_last_one() {
    let backend = scripted();
    let pool = Arc::new(warmed(&backend, Config::default()).await);
    let mut waited = 0;
    for request in 0..200 {
        let before = Instant::now();
        let lease = pool.take(&PYTHON, SECOND).await.unwrap();
        waited += usize::from(request >= 100 && before.elapsed() > Duration::ZERO);
        // Not released: as a session's machine, it never comes back.
        drop(lease);
        sleep(SECOND).await;
    }
    assert_eq!((waited, pool.status().wanted), (0, 3), "{:?}", pool.status());
    sleep(75 * SECOND).await;
    assert_eq!((pool.status().wanted, backend.counts().live), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_minimum_is_kept_without_requests() {
    let backend = scripted();
    let pool = warmed(&backend, Config { min: 1, min_ready: 1, ..Config::default() }).await;
    assert!((pool.status().warm, pool.is_ready()) == (1, true));
    sleep(400 * SECOND).await;
    assert_eq!((pool.status().warm, pool.status().asleep), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_burst_never_opens_more_than_the_maximum_and_afterwards_the_target_is_kept() {
    let backend = scripted();
    let pool = Arc::new(warmed(&backend, fixed()).await);
    let callers: Vec<_> = (0..30)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut lease = pool.take(&PYTHON, SECOND).await.unwrap();
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
    let pool = warmed(&backend, Config { target: 1, max: 1, ..fixed() }).await;
    for _ in 0..50 {
        pool.take(&PYTHON, SECOND).await.unwrap().release(SideEffects::None);
    }
    assert_eq!(pool.status().counts.created, 1);
    pool.take(&PYTHON, SECOND).await.unwrap().release(SideEffects::None);
    assert_eq!((pool.status().counts.created, pool.status().counts.retired), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_with_side_effects_of_a_run_is_not_reused() {
    let backend = scripted();
    let pool = warmed(&backend, Config { target: 1, max: 1, ..fixed() }).await;
    let mut lease = pool.take(&PYTHON, SECOND).await.unwrap();
    run(&mut lease, "set kept 1").await;
    lease.release(SideEffects::Sandbox);
    let mut lease = pool.take(&PYTHON, SECOND).await.unwrap();
    assert_eq!(run(&mut lease, "get kept").await.exit, Exit::Raised);
    assert_eq!(pool.status().counts.created, 2);
    // A sandbox that is reused was reset before.
    run(&mut lease, "set kept 1").await;
    lease.release(SideEffects::None);
    let mut lease = pool.take(&PYTHON, SECOND).await.unwrap();
    assert_eq!(run(&mut lease, "get kept").await.exit, Exit::Raised);
    assert_eq!(pool.status().counts.created, 2);
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_is_ended_after_an_hour_but_never_during_a_run() {
    let backend = scripted();
    let config = Config { target: 1, max: 2, sleep_after: Duration::ZERO, ..fixed() };
    let pool = warmed(&backend, config).await;
    advance(3580 * SECOND).await;
    // During a run of a minute the sandbox would become older than an hour, so the run gets another one.
    let lease = pool.take(&PYTHON, 60 * SECOND).await.unwrap();
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
    let pool = warmed(&backend, fixed()).await;
    backend.fail_maintain(Fault::Unavailable { reason: "deleted".to_owned() });
    sleep(32 * SECOND).await;
    assert_eq!((pool.status().counts.evicted, pool.status().counts.created, pool.status().warm), (1, 4, 3));
    assert_eq!(backend.counts().runs, 0, "checking a sandbox runs no program");
}

#[tokio::test(start_paused = true)]
async fn idle_sandboxes_sleep_and_the_next_run_wakes_one() {
    let backend = scripted();
    let pool = warmed(&backend, fixed()).await;
    sleep(400 * SECOND).await;
    let status = pool.status();
    assert_eq!((status.warm, status.asleep), (2, 2), "only the minimum is kept without requests");
    let created = status.counts.created;
    let mut lease = pool.take(&PYTHON, SECOND).await.unwrap();
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
    let pool = pool(&backend, Config { target: 0, min: 0, max: 1, ..fixed() });
    assert!(timeout(SECOND / 2, pool.take(&PYTHON, SECOND)).await.is_err());
    sleep(SECOND).await;
    assert_eq!(
        (pool.status().warm, pool.status().starting),
        (1, 0),
        "the sandbox that was opened for it is kept for the next caller"
    );
    let lease = pool.take(&PYTHON, SECOND).await.unwrap();
    assert!(timeout(SECOND / 2, pool.take(&PYTHON, SECOND)).await.is_err());
    drop(lease);
    let lease = pool.take(&PYTHON, SECOND).await.unwrap();
    assert_eq!(pool.status().size, 1);
    drop(lease);
    assert_eq!((pool.status().size, backend.counts().live), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failed_opening_is_reported_to_one_caller_and_retried_ever_more_slowly() {
    let fault_rates = FaultRates { unavailable: 1000, ..FaultRates::default() };
    let backend = Scripted::new(1, Settings { fault_rates, ..Settings::default() });
    let pool = warmed(&backend, fixed()).await;
    assert!(pool.take(&PYTHON, SECOND).await.is_err());
    let before = pool.status().counts.errors;
    sleep(60 * SECOND).await;
    let errors = pool.status().counts.errors - before;
    assert!(errors <= 6, "{errors} openings on an unavailable backend in one minute");
    assert_eq!(pool.status().size, 0);
}

#[tokio::test(start_paused = true)]
async fn a_closed_pool_keeps_no_sandbox() {
    let backend = scripted();
    let pool = warmed(&backend, fixed()).await;
    let lease = pool.take(&PYTHON, SECOND).await.unwrap();
    pool.close().await;
    assert_eq!(backend.counts().live, 1);
    lease.release(SideEffects::None);
    assert_eq!(backend.counts().live, 0);
    assert!(pool.take(&PYTHON, SECOND).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_leased_machine_uses_no_capacity_of_the_pool() {
    let backend = scripted();
    let pool = warmed(&backend, Config { min: 1, target: 1, max: 1, ..fixed() }).await;
    let mut machines = Vec::new();
    for _ in 0..3 {
        machines.push(pool.take(&PYTHON, SECOND).await.unwrap().into_sandbox().unwrap());
    }
    sleep(2 * SECOND).await;
    assert_eq!((pool.status().size, backend.counts().live), (1, 4));
    drop(machines);
    assert_eq!(backend.counts().live, 1, "dropping a machine ends it");
}

/// A backend of two specs, which records the specs that it opens.
struct TwoSpecs {
    scripted: Scripted,
    opened: Mutex<Vec<Spec>>,
}

impl TwoSpecs {
    fn new() -> Arc<Self> {
        Arc::new(Self { scripted: scripted(), opened: Mutex::new(Vec::new()) })
    }

    fn pool(self: &Arc<Self>, config: Config) -> Arc<Pool> {
        Arc::new(Pool::new("e2b".into(), self.clone(), PYTHON, config, 60 * SECOND))
    }

    fn opened(&self, spec: &Spec) -> usize {
        self.opened.lock().unwrap().iter().filter(|opened| *opened == spec).count()
    }

    fn live(&self) -> u64 {
        self.scripted.counts().live
    }
}

#[async_trait::async_trait]
impl Backend for TwoSpecs {
    fn offer(&self) -> switchtower_contract::Offer {
        self.scripted.offer()
    }

    fn runtime(&self) -> Arc<str> {
        self.scripted.runtime()
    }

    async fn open(&self, spec: &Spec) -> Result<Box<dyn switchtower_contract::Sandbox>, Fault> {
        self.opened.lock().unwrap().push(spec.clone());
        self.scripted.open(spec).await
    }

    fn kernels(&self) -> Option<&dyn switchtower_contract::Kernels> {
        None
    }
}

/// A spec that is not [`PYTHON`], as another language would be.
fn other_spec() -> Spec {
    Spec { avoid_interpreter: Some(switchtower_contract::InterpreterId::next()), ..PYTHON }
}

#[tokio::test(start_paused = true)]
async fn a_caller_gets_a_sandbox_of_its_own_spec_and_each_spec_is_kept_warm_once_it_is_used() {
    let (backend, other) = (TwoSpecs::new(), other_spec());
    let pool = backend.pool(Config { min: 1, target: 2, max: 10, ..fixed() });
    pool.start();
    sleep(2 * SECOND).await;
    assert_eq!((backend.opened(&PYTHON), backend.opened(&other)), (2, 0), "nobody has requested the other one");
    pool.take(&other, SECOND).await.unwrap().release(SideEffects::None);
    sleep(2 * SECOND).await;
    assert_eq!(
        (backend.opened(&PYTHON), backend.live()),
        (2, 5),
        "two of Python, one that was taken, two ahead of demand"
    );
    let held = [pool.take(&PYTHON, SECOND).await.unwrap(), pool.take(&other, SECOND).await.unwrap()];
    assert_eq!(pool.status().counts.reused, 2);
    drop(held);
    sleep(60 * SECOND).await;
    assert_eq!(pool.status().warm, 4, "the target of each");
    sleep(400 * SECOND).await;
    assert_eq!((pool.status().warm, pool.status().asleep), (2, 2), "the minimum of each");
    pool.close().await;
    assert_eq!(backend.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn all_specs_share_the_maximum_and_callers_are_served_in_the_order_of_their_arrival() {
    let (backend, other) = (TwoSpecs::new(), other_spec());
    let pool = backend.pool(Config { min: 2, target: 2, max: 2, ..fixed() });
    pool.start();
    sleep(2 * SECOND).await;
    // Two idle sandboxes of Python fill the pool: the first other callers end them.
    let served = Arc::new(Mutex::new(Vec::new()));
    let callers: Vec<_> = (0..20)
        .map(|at| {
            let (pool, served) = (pool.clone(), served.clone());
            let spec = if at % 5 == 4 { PYTHON } else { other.clone() };
            tokio::spawn(async move {
                let lease = pool.take(&spec, SECOND).await.unwrap();
                served.lock().unwrap().push(at);
                sleep(SECOND).await;
                lease.release(SideEffects::None);
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let served = served.lock().unwrap().clone();
    let latest = |at: usize| served.iter().position(|served| *served == at).unwrap();
    assert!((0..20).all(|at| latest(at).abs_diff(at) <= 2), "two at once, otherwise in order: {served:?}");
    assert_eq!(backend.scripted.counts().most_live, 2);
    assert_eq!((pool.status().waiting, pool.status().starting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failed_opening_is_reported_to_a_caller_of_its_spec() {
    let (backend, other) = (TwoSpecs::new(), other_spec());
    let pool = backend.pool(Config { min: 0, target: 0, max: 2, ..fixed() });
    backend.scripted.fail_open(Fault::Unavailable { reason: "first".to_owned() });
    let python = PYTHON;
    let (of_other, of_python) = tokio::join!(pool.take(&other, SECOND), pool.take(&python, SECOND));
    assert_eq!(of_other.err(), Some(Fault::Unavailable { reason: "first".to_owned() }));
    assert!(of_python.is_ok());
    assert_eq!((backend.opened(&PYTHON), backend.opened(&other)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_idle_sandbox_of_another_spec_is_ended_where_the_pool_is_full() {
    let (backend, other) = (TwoSpecs::new(), other_spec());
    let pool = backend.pool(Config { min: 0, target: 0, max: 1, ..fixed() });
    pool.take(&PYTHON, SECOND).await.unwrap().release(SideEffects::None);
    sleep(SECOND).await;
    assert_eq!((pool.status().warm, backend.live()), (1, 1));
    // While it is in use, the other caller waits.
    let held = pool.take(&PYTHON, SECOND).await.unwrap();
    assert!(timeout(10 * SECOND, pool.take(&other, SECOND)).await.is_err());
    let (waiting, ()) = tokio::join!(pool.take(&other, SECOND), async {
        sleep(SECOND).await;
        held.release(SideEffects::None);
    });
    assert!(waiting.is_ok());
    assert_eq!((pool.status().size, backend.live(), backend.scripted.counts().most_live), (1, 1, 1));
    assert_eq!(pool.status().counts.retired, 1);
}
