//! The conformance suite of backends, run by the client against the stand-in with real Python, and against E2B itself if there is
//! a key.

use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::conformance::{PYTHON, TestPrograms, TestService, run_kernel_suite, run_suite};
use switchtower_e2b::{Address, Config, E2b, HttpTransport, Identity, Key, Liveness};
use switchtower_fake_e2b::{Fake, KernelMode, Plan, Settings};

use super::in_process::account;

/// A missing module shows only when its import fails, and a cloud reacts more slowly than an engine.
const PROGRAMS: TestPrograms = TestPrograms {
    tolerance: Duration::from_secs(3),
    service: Some(TestService { port: 49983, path: "/health", status: 204 }),
    ..PYTHON
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_keeps_every_promise_over_real_kernels() {
    let fake = Fake::new(Settings { plan: Plan::Unlimited, kernels: KernelMode::python(), ..Settings::default() });
    let mut config = Config::default();
    config.limits.creations_per_second = Some(1000);
    config.limits.max_sandboxes = Some(100);
    let account = account(&fake, config);
    let report = run_suite(&account, &PROGRAMS).await;
    report.verdict().unwrap();
    assert!(report.kept.len() >= 20, "{report}");
    let report = run_kernel_suite(&account, &PROGRAMS).await;
    report.verdict().unwrap();
    assert!(report.kept.len() >= 18, "{report}");
    account.close(Duration::from_secs(10)).await;
    assert_eq!(fake.running(), Vec::<String>::new(), "every sandbox was ended");
    fake.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2b_itself_keeps_every_promise_if_there_is_a_key() {
    let Ok(key) = std::env::var("E2B_API_KEY") else {
        eprintln!("skipped: E2B_API_KEY is not set, so the suite was not run against the cloud");
        return;
    };
    let variable = |name: &str| std::env::var(name).ok();
    let (api, sandbox, domain) = (variable("E2B_API_URL"), variable("E2B_SANDBOX_URL"), variable("E2B_DOMAIN"));
    let address = Address::new(api.as_deref(), sandbox.as_deref(), domain.as_deref());
    let process = format!("tests-{}", std::process::id());
    // Nothing is known here of other servers with this account.
    let liveness = |other: &str| if other.starts_with("tests-") { Liveness::Dead } else { Liveness::Unknown };
    let identity = Identity { owner: "switchtower-tests".to_owned(), process, liveness: Arc::new(liveness) };
    let wall = switchtower_core::clock::WallClock::real();
    let (key, web) = (Key::new(&key).unwrap(), Arc::new(HttpTransport::new().unwrap()));
    let account = E2b::new(Config::default(), address, key, web, identity, Arc::new(move || wall.now()));
    account.sweep().await.unwrap();
    let (programs, kernels) = (run_suite(&account, &PROGRAMS).await, run_kernel_suite(&account, &PROGRAMS).await);
    account.close(Duration::from_secs(30)).await;
    programs.verdict().and(kernels.verdict()).unwrap();
}
