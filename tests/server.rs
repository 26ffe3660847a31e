//! The real server as a process, and the stand-in for E2B in this process, each on a port of its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::Request;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde_json::{Value, json};
use switchtower_e2b::{HttpTransport, Transport as _, TransportError};
use switchtower_fake_e2b::{Fake, KernelMode, Plan, Settings};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

pub(crate) const KEY: &str = "e2b_5ec7e75ec7e75ec7e7";
pub(crate) const ADMIN: &str = "0123456789abcdef-admin";

/// A stand-in for E2B that listens on a port.
pub(crate) struct StandIn {
    pub(crate) fake: Fake,
    pub(crate) origin: String,
}

impl StandIn {
    pub(crate) async fn start() -> Self {
        Self::start_as(None).await
    }

    /// Starts a stand-in that accepts only this key.
    pub(crate) async fn start_with_key(key: &str) -> Self {
        Self::start_as(Some(key.to_owned())).await
    }

    async fn start_as(key: Option<String>) -> Self {
        let settings = Settings { plan: Plan::Unlimited, kernels: KernelMode::python(), key, ..Settings::default() };
        Self::start_with(settings).await
    }

    pub(crate) async fn start_with(settings: Settings) -> Self {
        let fake = Fake::new(settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(switchtower_fake_e2b::serve(listener, fake.clone(), std::future::pending()));
        Self { fake, origin }
    }

    /// Waits until a condition holds; panics with its description after a minute.
    pub(crate) async fn wait_until(&self, what: &str, condition: impl Fn(&Fake) -> bool) {
        let waiting = async {
            while !condition(&self.fake) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("{what}: {:?}", self.fake.counts()));
    }
}

/// Returns the `switchtower` command without the settings of the user who runs the tests.
pub(crate) fn switchtower(stand_in: Option<&StandIn>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchtower"));
    for (name, _) in std::env::vars() {
        if (name.starts_with("SWITCHTOWER_") && name != "SWITCHTOWER_WASM_CACHE_FOLDER") || name.starts_with("E2B_") {
            command.env_remove(name);
        }
    }
    // Files that outlive a server are not written to the user's own folder.
    command.env("XDG_STATE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"));
    // Most tests do not depend on the scientific tier.
    command.env("SWITCHTOWER_HTTP_ADMIN_KEY", ADMIN).env("SWITCHTOWER_NATIVE_ENABLED", "false");
    // Tests of machines enable them.
    command.env("SWITCHTOWER_MACHINE_ENABLED", "false");
    command.env("SWITCHTOWER_MACHINE_SCRATCH_FOLDER", concat!(env!("CARGO_TARGET_TMPDIR"), "/machines"));
    if let Some(StandIn { origin, .. }) = stand_in {
        command.env("E2B_API_KEY", KEY).env("E2B_API_URL", origin).env("E2B_SANDBOX_URL", origin);
        command.env("SWITCHTOWER_CLOUDS_E2B_ACCOUNT_LIMITS_CREATIONS_PER_SECOND", "50");
        // A pool that is filled from the start.
        command.env("SWITCHTOWER_CLOUDS_E2B_TIER_POOL_FOLLOW_DEMAND", "false");
    }
    command
}

/// A running server and its log.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) origin: String,
    /// What it has logged so far.
    lines: Arc<Mutex<String>>,
    log: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Server {
    /// Ends the server of a test that failed. Its workers end with it.
    fn drop(&mut self) {
        // The server has ended already if the test succeeded.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts a server with one worker process and waits until it is ready.
    pub(crate) async fn start(stand_in: Option<&StandIn>) -> Self {
        Self::start_with(stand_in, &[]).await
    }

    pub(crate) async fn start_with(stand_in: Option<&StandIn>, variables: &[(&str, &str)]) -> Self {
        Self::start_as(stand_in, variables, &["--workers", "1"]).await
    }

    /// Starts a server with the default number of worker processes.
    pub(crate) async fn start_with_default_workers(variables: &[(&str, &str)]) -> Self {
        Self::start_as(None, variables, &[]).await
    }

    /// Starts a server with these further flags.
    pub(crate) async fn start_with_flags(variables: &[(&str, &str)], flags: &[&str]) -> Self {
        Self::start_as(None, variables, flags).await
    }

    async fn start_as(stand_in: Option<&StandIn>, variables: &[(&str, &str)], flags: &[&str]) -> Self {
        let mut command = switchtower(stand_in);
        command.envs(variables.iter().copied());
        command.args(["serve", "--port", "0", "--log", "json"]).args(flags);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let lines_so_far = Arc::new(Mutex::new(String::new()));
        let logged = Arc::clone(&lines_so_far);
        let log = std::thread::spawn(move || {
            let mut sender = Some(sender);
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                if let Some((_, rest)) = line.split_once("http://")
                    && line.contains("is open")
                    && let Some(sender) = sender.take()
                {
                    let _ = sender.send(format!("http://{}", rest.split(' ').next().unwrap_or_default()));
                }
                logged.lock().unwrap().push_str(&line);
                line.clear();
            }
            let mut rest = String::new();
            let _ = lines.read_to_string(&mut rest);
            logged.lock().unwrap().push_str(&rest);
        });
        let origin =
            timeout(Duration::from_secs(180), receiver).await.expect("it starts").expect("it logs its address");
        let server = Self { child, origin, lines: lines_so_far, log: Some(log) };
        timeout(Duration::from_secs(180), server.wait_until_started()).await.expect("its tiers start");
        server
    }

    /// Waits until no tier is starting.
    async fn wait_until_started(&self) {
        loop {
            let (_, health) = self.call("GET", "/health", None, Value::Null).await;
            let tiers = health["tiers"].as_array().cloned().unwrap_or_default();
            if health["status"] != "starting" && tiers.iter().all(|tier| tier["starting"].is_null()) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn call(&self, method: &str, path: &str, key: Option<&str>, body: Value) -> (u16, Value) {
        self.try_call(method, path, key, body).await.unwrap()
    }

    pub(crate) async fn try_call(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Value,
    ) -> Result<(u16, Value), TransportError> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.origin));
        request = request.header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let response = HttpTransport::new().unwrap().send(request.body(body).unwrap()).await?;
        let status = response.status().as_u16();
        let pieces: Vec<Bytes> = response.into_body().try_collect().await?;
        Ok((status, serde_json::from_slice(&pieces.concat()).unwrap_or_default()))
    }

    pub(crate) async fn run(&self, code: &str, tier: &str) -> (u16, Value) {
        self.call("POST", "/v1/execute", None, json!({ "code": code, "tier": tier })).await
    }

    pub(crate) fn signal(&self, name: &str) {
        let number = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &number]).status().unwrap().success());
    }

    /// Waits until the server has ended, and returns its whole log.
    pub(crate) fn wait_for_log(mut self) -> String {
        self.child.wait().unwrap();
        self.log.take().unwrap().join().unwrap();
        self.log()
    }

    /// Returns what it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.lines.lock().unwrap().clone()
    }

    /// Waits until it has logged a line with one of these texts, and returns the line.
    pub(crate) async fn wait_for_line(&self, texts: &[&str]) -> String {
        let found = async {
            loop {
                let log = self.log();
                if let Some(line) = log.lines().find(|line| texts.iter().any(|text| line.contains(text))) {
                    return line.to_owned();
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), found).await.unwrap_or_else(|_| panic!("{texts:?}: {}", self.log()))
    }
}
