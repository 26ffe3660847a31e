//! The server and the stand-in as processes, started, killed and started again as by a user.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::{Request, StatusCode};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde_json::{Value, json};
use switchtower_contract::{Backend as _, Events, Language, Limits, Program, Spec};
use switchtower_e2b::{Address, Config, E2b, HttpTransport, Identity, Key, Liveness, Transport as _};
use switchtower_fake_e2b::{Fake, KernelMode, Plan, Settings};
use tokio::net::TcpListener;

use crate::certificate::Certificate;
use crate::server::{ADMIN, KEY, Server, StandIn, switchtower};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandboxes_of_a_killed_server_are_ended_by_the_next_one() {
    let stand_in = StandIn::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep/budget.json");
    let budget = [
        ("SWITCHTOWER_CLOUDS_E2B_ACCOUNT_LIMITS_MAX_CREATIONS_PER_HOUR", "100"),
        ("SWITCHTOWER_CLOUDS_E2B_ACCOUNT_BUDGET_FILE", file.to_str().unwrap()),
    ];
    let first = Server::start_with(Some(&stand_in), &budget).await;
    stand_in.wait_until("warm", |fake| fake.running().len() >= 3).await;
    let (status, answer) =
        first.run("import os\nprint(os.environ['E2B_SANDBOX'], 'E2B_API_KEY' in os.environ)", "e2b").await;
    assert_eq!((status, answer["stdout"].as_str()), (200, Some("true False\n")), "{answer}");
    assert_eq!(answer["tier"], "e2b");
    assert!(answer["usage"]["cost_usd"].as_f64().unwrap() > 0.0);

    // Killed while it works.
    let body = json!({ "code": "import time\ntime.sleep(60)", "tier": "e2b" });
    let load =
        futures_util::future::join_all((0..4).map(|_| first.try_call("POST", "/v1/execute", None, body.clone())));
    let killed = async {
        stand_in.wait_until("busy", |fake| fake.counts().executions >= 8).await;
        first.signal("-KILL");
    };
    let (broken, ()) = tokio::join!(load, killed);
    assert!(broken.iter().all(Result::is_err));
    let mut log = first.wait_for_log();
    let left = stand_in.fake.running();
    assert!(left.len() >= 3, "{left:?}");

    let created = stand_in.fake.counts().created;
    let second = Server::start_with(Some(&stand_in), &budget).await;
    let (_, spent) = second.call("GET", "/v1/admin/tiers/e2b/budget", Some(ADMIN), Value::Null).await;
    assert!(spent["count"].as_u64().unwrap() >= created && spent["limit"] == 100, "{spent}, {created} created before");
    stand_in.wait_until("swept", |fake| fake.running().iter().all(|id| !left.contains(id))).await;
    stand_in.wait_until("warm again", |fake| fake.running().len() >= 3).await;
    second.signal("-TERM");
    log.push_str(&second.wait_for_log());
    stand_in.wait_until("nothing is left", |fake| fake.running().is_empty()).await;
    assert_eq!(stand_in.fake.counts().leaked(), 0);

    assert!(!log.contains(KEY), "the key is in the log");
    let event = |name: &str| {
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.into_iter().find(|line| line["event"] == name).unwrap_or_else(|| panic!("no {name} in {log}"))
    };
    let created = event("sandbox_create_success");
    for field in ["sandboxId", "template", "attempt", "duration", "timestamp"] {
        assert!(!created[field].is_null(), "{field}: {created}");
    }
    assert_eq!(created["message"], "[E2B_METRICS]");
    assert!(!event("sandbox_orphan_killed")["sandboxId"].is_null());
    stand_in.fake.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_requests_nothing_is_bought_unless_the_settings_say_so_and_the_start_says_what_it_costs() {
    let stand_in = StandIn::start().await;
    for (settings, expected) in [
        (
            &[("SWITCHTOWER_CLOUDS_E2B_TIER_POOL_FOLLOW_DEMAND", "true")][..],
            "e2b: nothing is bought before a request needs it; up to 3 sandboxes are kept warm while many do",
        ),
        // E2B's price of two processors and two gigabytes is 37 millionths of a dollar a second.
        (
            &[("SWITCHTOWER_PROFILE", "seed"), ("SWITCHTOWER_CLOUDS_E2B_TIER_POOL_SLEEP_AFTER", "0s")],
            "e2b: keeps 3 idle sandboxes: $0.40 an hour, $288 a month",
        ),
        (
            &[
                ("SWITCHTOWER_CLOUDS_E2B_TIER_POOL_FOLLOW_DEMAND", "true"),
                ("SWITCHTOWER_CLOUDS_E2B_TIER_POOL_MIN", "1"),
            ],
            "e2b: keeps 1 idle sandbox: $0.13 an hour, $96 a month, less after 5m without requests, when they sleep",
        ),
    ] {
        let server = Server::start_with(Some(&stand_in), settings).await;
        // A program that runs here needs no sandbox.
        let (status, answer) = server.run("print(1 + 1)", "wasm").await;
        assert_eq!((status, answer["stdout"].as_str()), (200, Some("2\n")), "{answer}");
        let created = stand_in.fake.counts().created;
        server.signal("-TERM");
        let log = server.wait_for_log();
        assert!(log.lines().any(|line| line == format!("switchtower: {expected}")), "{expected}: {log}");
        if expected.contains("nothing") {
            assert_eq!(created, 0);
        }
    }
    stand_in.fake.close().await;
}

/// A killed server that was not waited for is a zombie, whose process number is still taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandboxes_of_a_zombie_server_are_ended_with_those_that_appear_later() {
    let stand_in = StandIn::start().await;
    let often = [("SWITCHTOWER_CLOUDS_E2B_ACCOUNT_SWEEP_INTERVAL", "1s")];
    let first = Server::start_with(Some(&stand_in), &often).await;
    stand_in.wait_until("warm", |fake| fake.running().len() >= 3).await;
    // Another server that runs, with the same account and the same owner.
    let sibling = Server::start_with(Some(&stand_in), &often).await;
    stand_in.wait_until("warm", |fake| fake.running().len() >= 6).await;
    let of_sibling = async || {
        let (_, tiers) = sibling.call("GET", "/v1/admin/tiers", Some(ADMIN), Value::Null).await;
        let e2b = tiers.as_array().unwrap().iter().find(|tier| tier["tier"] == "e2b").unwrap().clone();
        let ids = e2b["account"]["detail"]["sandboxes"].as_array().unwrap_or_else(|| panic!("{e2b}")).clone();
        ids.iter().map(|live| live["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // The stand-in counts a sandbox before its server has the answer.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    let kept = loop {
        let ids = of_sibling().await;
        if ids.len() == 3 {
            break ids;
        }
        assert!(tokio::time::Instant::now() < deadline, "{ids:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };

    // Creations take three seconds from now on, so that some are in flight when the server is killed.
    stand_in.fake.set_faults("create.slow=100%:3s".parse().unwrap());
    let created = stand_in.fake.counts().created;
    let body = json!({ "code": "import time, requests\ntime.sleep(60)", "tier": "e2b" });
    let load =
        futures_util::future::join_all((0..2).map(|_| first.try_call("POST", "/v1/execute", None, body.clone())));
    let killed = async {
        stand_in.wait_until("busy", |fake| fake.counts().executions >= 8).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        first.signal("-KILL");
    };
    let (_, ()) = tokio::join!(load, killed);
    let stat = || std::fs::read_to_string(format!("/proc/{}/stat", first.child.id())).unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !stat().contains(") Z ") {
        assert!(tokio::time::Instant::now() < deadline, "it is not a zombie: {}", stat());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let second = Server::start_with(Some(&stand_in), &often).await;
    stand_in.wait_until("its pending creations appear", |fake| fake.counts().created > created).await;

    // Within an interval after the last one has appeared, only sandboxes of running servers exist.
    let of = async |server: &Server| {
        let (_, tiers) = server.call("GET", "/v1/admin/tiers", Some(ADMIN), Value::Null).await;
        let e2b = tiers.as_array().unwrap().iter().find(|tier| tier["tier"] == "e2b").unwrap().clone();
        e2b["account"]["detail"]["sandboxes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|live| live["id"].clone())
            .collect::<Vec<_>>()
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let known = [of(&second).await, of(&sibling).await].concat();
        let left: Vec<String> = stand_in.fake.running().into_iter().filter(|id| !known.contains(&json!(id))).collect();
        // One of the killed server, three of its successor.
        let settled = stand_in.fake.counts().created >= created + 4;
        if left.is_empty() && settled {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "left: {left:?}, {:?}", stand_in.fake.counts());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(of_sibling().await, kept, "the sandboxes of a running server are not touched");
    assert_eq!(stand_in.fake.running().iter().filter(|id| kept.contains(id)).count(), 3);
    first.wait_for_log();
    for server in [second, sibling] {
        server.signal("-TERM");
        server.wait_for_log();
    }
    stand_in.wait_until("nothing is left", |fake| fake.running().is_empty()).await;
    stand_in.fake.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_names_what_keeps_it_from_the_cloud_and_what_to_do() {
    let refusing = async |status: u16| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        let app = axum::Router::new().fallback(move || async move { (status, r#"{"code":1,"message":"no"}"#) });
        tokio::spawn(axum::serve(listener, app).into_future());
        origin
    };
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let certificate = Certificate::new();
    let (own, key) = (certificate.certificate(), certificate.key());
    let tls = [
        ("SWITCHTOWER_HTTP_TLS_CERTIFICATE", own.to_str().unwrap()),
        ("SWITCHTOWER_HTTP_TLS_KEY", key.to_str().unwrap()),
    ];
    let with_tls = Server::start_with(None, &tls).await;
    let folder = tempfile::tempdir().unwrap();
    for (origin, code, remedy) in [
        (format!("http://{closed}"), "connection_refused", "E2B_API_URL"),
        (refusing(401).await, "unauthorized", "E2B_API_KEY"),
        (refusing(429).await, "rate_limit", "wait"),
        (refusing(500).await, "server_error", "see the message"),
        (with_tls.origin.replace("http:", "https:"), "certificate_not_accepted", "issuer"),
        ("http://nowhere.invalid".to_owned(), "host_not_found", "DNS"),
    ] {
        let mut doctor = switchtower(None);
        doctor.env("E2B_API_KEY", KEY).env("E2B_API_URL", &origin).args(["doctor", "--json"]).current_dir(&folder);
        let ended = tokio::task::spawn_blocking(move || doctor.output()).await.unwrap().unwrap();
        let findings: Value = serde_json::from_slice(&ended.stdout).unwrap();
        let finding = findings.as_array().unwrap().iter().find(|finding| finding["what"] == "tier e2b");
        let finding = finding.unwrap_or_else(|| panic!("{findings}"));
        assert_eq!(finding["code"], code, "{finding}");
        assert!(finding["remedy"].as_str().unwrap().contains(remedy), "{finding}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_and_health_report_a_template_that_does_not_exist_and_how_to_fix_it() {
    let templates = [("prod".to_owned(), switchtower_fake_e2b::Template::default())].into();
    let stand_in = StandIn::start_with(Settings { templates, plan: Plan::Unlimited, ..Settings::default() }).await;
    let doctor = |template: &str| {
        let doctor = switchtower(Some(&stand_in)).env("E2B_TEMPLATE_ID", template).args(["doctor", "--json"]).output();
        let findings: Value = serde_json::from_slice(&doctor.unwrap().stdout).unwrap();
        let of_cloud = |finding: &&Value| ["E2B", "tier e2b"].contains(&finding["what"].as_str().unwrap());
        findings.as_array().unwrap().iter().find(of_cloud).unwrap().clone()
    };
    for (template, state) in [("prod", "ok"), ("prod:default", "ok"), ("staging", "missing"), ("prod:v9", "missing")] {
        let finding = doctor(template);
        assert_eq!(finding["state"], state, "{template}: {finding}");
        if state == "missing" {
            let detail = finding["detail"].as_str().unwrap();
            assert!(detail.contains("not found") || detail.contains("does not exist"), "{detail}");
            assert!(finding["remedy"].as_str().unwrap().contains("e2b template build"), "{finding}");
        }
    }
    assert_eq!(stand_in.fake.counts().created, 0, "the check created no sandbox");
    let server = Server::start_with(Some(&stand_in), &[("E2B_TEMPLATE_ID", "staging")]).await;
    let e2b = async || {
        let (_, health) = server.call("GET", "/health", None, Value::Null).await;
        health["tiers"].as_array().unwrap().iter().find(|tier| tier["tier"] == "e2b").unwrap().clone()
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while e2b().await["problem"].is_null() {
        assert!(tokio::time::Instant::now() < deadline, "no problem is reported");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let problem = e2b().await["problem"].as_str().unwrap().to_owned();
    assert!(problem.contains("template 'staging' not found") && problem.contains("E2B_TEMPLATE_ID"), "{problem}");
    server.signal("-TERM");
    server.wait_for_log();
    stand_in.fake.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_operator_sees_and_resets_the_cloud_tier() {
    let stand_in = StandIn::start().await;
    let server = Server::start(Some(&stand_in)).await;
    let get = async |path: &str, key| server.call("GET", path, key, Value::Null).await;
    assert_eq!(get("/v1/admin/tiers", None).await.0, 401);
    assert_eq!(get("/v1/admin/tiers", Some("another")).await.0, 401);

    stand_in.fake.set_faults("create.500=100%,execute.500=100%".parse().unwrap());
    // Each of these is retried, until the breaker opens.
    let failing = futures_util::future::join_all((0..6).map(|_| server.run("print(1)", "e2b"))).await;
    assert!(failing.iter().all(|(status, _)| *status == 503), "{failing:?}");
    let (_, tiers) = get("/v1/admin/tiers", Some(ADMIN)).await;
    let e2b = tiers.as_array().unwrap().iter().find(|tier| tier["tier"] == "e2b").unwrap();
    assert_eq!((e2b["breaker"]["state"].as_str(), e2b["up"].as_bool()), (Some("open"), Some(false)), "{e2b}");
    let (status, problem) = server.run("print(1)", "e2b").await;
    assert_eq!((status, problem["attempts"][0]["outcome"].as_str()), (503, Some("open")), "{problem}");
    assert!(problem["retry_after_ms"].as_u64().unwrap() > 0);
    assert_eq!(server.run("print(1)", "auto").await.0, 200, "local programs still run");

    stand_in.fake.set_faults("".parse().unwrap());
    let breaker = |what: &str| {
        let ended = switchtower(None).args(["breaker", what, "--server", &server.origin]).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        serde_json::from_slice::<Value>(&ended.stdout).unwrap()
    };
    assert_eq!(breaker("show")["state"], "open");
    assert_eq!(breaker("reset"), json!({ "state": "closed", "failures": 0, "opened": 1 }));
    assert_eq!(server.run("print(1)", "e2b").await.0, 200);

    let (_, budget) = get("/v1/admin/tiers/e2b/budget", Some(ADMIN)).await;
    assert_eq!(budget["limit"], 50, "the number of the plan, where the log begins to warn");
    assert!(budget["count"].as_u64().unwrap() >= 3 && budget["exceeded"] == false, "{budget}");
    let (_, usage) = get("/v1/admin/tiers/e2b/usage", Some(ADMIN)).await;
    assert!(usage["byOperation"]["sandbox_create"].as_u64() == budget["count"].as_u64(), "{usage} {budget}");
    assert_eq!(get("/v1/admin/tiers/wasm/budget", Some(ADMIN)).await.0, 404);
    assert_eq!(get("/v1/admin/pool", None).await.0, 401);
    // The sandbox of the last run is reset before it is idle again.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let used = loop {
        let (_, pools) = get("/v1/admin/pool", Some(ADMIN)).await;
        let pool = &pools.as_array().unwrap().iter().find(|pool| pool["tier"] == "e2b").unwrap()["pool"];
        let idle = pool["sandboxes"].as_array().unwrap();
        if let Some(used) = idle.iter().find(|sandbox| sandbox["runs"].as_u64() > Some(0)) {
            break used.clone();
        }
        assert!(tokio::time::Instant::now() < deadline, "{pools}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(stand_in.fake.running().iter().any(|id| used["id"] == **id), "{used}");
    assert!(used["build_tag"].is_null() && used["checked_ms"].is_u64(), "{used}");
    let (_, metrics) = get("/v1/metrics", None).await;
    assert!(metrics["pool"]["created"].as_u64().unwrap() >= 1 && metrics["cost"]["usd"].as_f64().unwrap() > 0.0);
    let call = Request::get(format!("{}/metrics", server.origin)).body(Bytes::new()).unwrap();
    let response = HttpTransport::new().unwrap().send(call).await.unwrap();
    let pieces: Vec<Bytes> = response.into_body().try_collect().await.unwrap();
    let metrics_text = String::from_utf8(pieces.concat()).unwrap();
    for metric in ["breaker_state", "warm_hit_ratio", "rate_limiter_health", "sandbox_bought_seconds", "cost_usd"] {
        assert!(metrics_text.contains(&format!("switchtower_{metric}{{tier=\"e2b\"}}")), "{metric}: {metrics_text}");
    }
    server.signal("-TERM");
    server.wait_for_log();
    stand_in.wait_until("nothing is left", |fake| fake.running().is_empty()).await;
    stand_in.fake.close().await;
}

/// A listener that counts connections.
struct CountingListener {
    inner: TcpListener,
    count: Arc<AtomicUsize>,
}

impl axum::serve::Listener for CountingListener {
    type Io = tokio::net::TcpStream;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let accepted = axum::serve::Listener::accept(&mut self.inner).await;
        self.count.fetch_add(1, Ordering::Relaxed);
        accepted
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_reused() {
    let settings = Settings { plan: Plan::Unlimited, kernels: KernelMode::python(), ..Settings::default() };
    let fake = Fake::new(settings);
    let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", inner.local_addr().unwrap());
    let count = Arc::<AtomicUsize>::default();
    let listener = CountingListener { inner, count: count.clone() };
    tokio::spawn(axum::serve(listener, fake.app()).into_future());
    let address = Address::new(Some(&origin), Some(&origin), None);
    let identity =
        Identity { owner: "test".to_owned(), process: "one".to_owned(), liveness: Arc::new(|_| Liveness::Dead) };
    let (key, web, wall) =
        (Key::new("any").unwrap(), Arc::new(HttpTransport::new().unwrap()), switchtower_core::clock::WallClock::real());
    let account = E2b::new(Config::default(), address, key, web, identity, Arc::new(move || wall.now()));
    let mut sandbox = account.open(&Spec::new(Language::Python)).await.unwrap();
    let opened = count.load(Ordering::Relaxed);
    for _ in 0..20 {
        let (events, _from) = Events::channel();
        sandbox.run(&Program::python("print(1)"), &Limits::default(), &events).await.unwrap();
    }
    let connections = count.load(Ordering::Relaxed);
    drop(sandbox);
    account.close(Duration::from_secs(10)).await;
    // Each is one handshake where there is TLS. Four folders are listed in parallel.
    assert!(opened <= 6 && connections == opened, "{opened} connections to open it, {connections} with the runs");
    assert!(fake.counts().executions >= 20);
    fake.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_a_program_fails_by_itself_and_the_answer_says_what_would_help() {
    let server = Server::start(None).await;
    let (status, answer) = server.run("import pandas\nprint(pandas.DataFrame([1]))", "auto").await;
    assert_eq!((status, answer["error"]["name"].as_str()), (200, Some("ModuleNotFoundError")), "{answer}");
    assert_eq!(answer["note"], "it needs the module pandas; set E2B_API_KEY to run this remotely");
    let (status, problem) = server.run("print(1)", "e2b").await;
    assert_eq!(status, 422);
    let detail =
        "no tier can run this: the tier e2b is absent: E2B_API_KEY is not set; set E2B_API_KEY to run this remotely";
    assert_eq!(problem["detail"], detail);
    let (_, health) = server.call("GET", "/health", None, Value::Null).await;
    assert_eq!(health["e2bKey"], "missing");
    server.signal("-TERM");
    server.wait_for_log();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stand_in_is_a_command_that_prints_how_to_use_it_and_its_counts() {
    let mut command = switchtower(None);
    command.args(["fake-e2b", "--listen", "127.0.0.1:0", "--faults", "create.429=100%x1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let url = lines.find_map(|line| line.strip_prefix("export E2B_API_URL=").map(str::to_owned)).unwrap();
    let run = || {
        let mut run = switchtower(None);
        run.env("E2B_API_KEY", "any").env("E2B_API_URL", &url).env("E2B_SANDBOX_URL", &url);
        run.args(["run", "--tier", "e2b", "-c", "import sys\nprint(6 * 7)\nsys.exit(3)"]);
        let ended = run.output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap())
    };
    let (code, out, err) = run();
    assert_eq!((code, out.as_str()), (Some(3), "42\n"), "{err}");
    assert!(err.contains("ran in e2b"), "{err}");
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let counts: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(
        (counts["created"].as_u64(), counts["killed"].as_u64(), counts["running"].as_u64()),
        (Some(1), Some(1), Some(0))
    );
    let wide = switchtower(None).args(["fake-e2b", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(wide.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_is_shown_tagged_and_checked_against_its_promised_modules() {
    let stand_in = StandIn::start().await;
    let run = |stand_in: Option<&StandIn>, arguments: &[&str]| {
        let ended = switchtower(stand_in)
            .env("SWITCHTOWER_CLOUDS_E2B_ACCOUNT_MODULES", "json,no_such_module")
            .args(arguments)
            .output()
            .unwrap();
        (ended.status.code(), String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap())
    };
    let tag = run(None, &["template", "tag"]).1;
    assert_eq!(run(None, &["template", "tag", "sandboxes/e2b/template"]).1, tag);
    assert!(run(None, &["template", "show"]).1.starts_with(&format!("tag: {tag}")));
    let (code, out, err) = run(Some(&stand_in), &["template", "check"]);
    assert_eq!(code, Some(125), "{err}");
    assert!(out.contains("ok     json\n") && out.contains("WRONG  no_such_module: ModuleNotFoundError"), "{out}");
    assert!(stand_in.fake.running().is_empty());
    let (code, _, err) = run(None, &["template", "check"]);
    assert_eq!((code, err.contains("set E2B_API_KEY")), (Some(125), true), "{err}");
    stand_in.fake.close().await;
}
