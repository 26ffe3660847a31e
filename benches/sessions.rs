//! The costs of a session: its creation, a cell, its memory, its move to the cloud. The server is a process of its own with the
//! stand-in for E2B as its cloud; a second stand-in is measured for comparison.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark measures real time and fails by a panic"
)]

#[path = "../sandboxes/fake-e2b/tests/sdk/clients.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod clients;
#[path = "../tests/server.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod server;

use std::time::{Duration, Instant};

use axum::http::Request;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde_json::{Value, json};
use switchtower_e2b::{HttpTransport, Transport as _};

use server::{KEY, Server, StandIn};

/// Sessions that live at the same time.
const LIVE: usize = 1000;
const REPEATS: usize = 101;

/// A client of one of the servers.
struct Client {
    web: HttpTransport,
    origin: String,
}

impl Client {
    fn new(origin: &str) -> Self {
        Self { web: HttpTransport::new().unwrap(), origin: origin.to_owned() }
    }

    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Bytes {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.origin));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header("content-type", "application/json").header("x-api-key", KEY);
        let response = self.web.send(request.body(Bytes::from(body.to_string())).unwrap()).await.unwrap();
        let status = response.status();
        let pieces: Vec<Bytes> = response.into_body().try_collect().await.unwrap();
        let whole = Bytes::from(pieces.concat());
        assert!(status.is_success(), "{status}: {whole:?}");
        whole
    }

    async fn create(&self) -> (String, String) {
        let made = self.call("POST", "/v2/sandboxes", &[], json!({ "templateID": "base", "timeout": 600 })).await;
        let made: Value = serde_json::from_slice(&made).unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("sandboxID"), text("envdAccessToken"))
    }

    async fn run(&self, (id, token): &(String, String), code: &str) -> String {
        let headers = [("e2b-sandbox-id", id.as_str()), ("e2b-sandbox-port", "49999"), ("x-access-token", token)];
        let lines = self.call("POST", "/execute", &headers, json!({ "code": code })).await;
        let lines = String::from_utf8(lines.to_vec()).unwrap();
        assert!(!lines.contains("\"type\":\"error\""), "{lines}");
        lines
    }

    async fn kill(&self, (id, _): &(String, String)) {
        self.call("DELETE", &format!("/sandboxes/{id}"), &[], Value::Null).await;
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

async fn timed<T>(what: impl Future<Output = T>) -> (Duration, T) {
    let started = Instant::now();
    let done = what.await;
    (started.elapsed(), done)
}

/// Measures a creation and cells over HTTP.
async fn calls(name: &str, client: &Client, repeats: usize) {
    let (mut creations, mut firsts, mut cells) = (Vec::new(), Vec::new(), Vec::new());
    let mut sessions = Vec::new();
    for _ in 0..repeats {
        let (took, session) = timed(client.create()).await;
        creations.push(took);
        firsts.push(timed(client.run(&session, "1+1")).await.0);
        cells.push(timed(client.run(&session, "1+1")).await.0);
        sessions.push(session);
    }
    for session in &sessions {
        client.kill(session).await;
    }
    let (create, first, cell) = (median(creations), median(firsts), median(cells));
    println!("{name}: create p50 {create:?}, first 1+1 p50 {first:?}, next 1+1 p50 {cell:?}");
}

/// Measures the same with the official client.
async fn sdk(name: &str, origin: &str) {
    const SCRIPT: &str = "
import statistics, time
from e2b_code_interpreter import Sandbox
def timed(function):
    began = time.perf_counter()
    done = function()
    return time.perf_counter() - began, done
Sandbox.create().kill()
creations = [timed(Sandbox.create) for _ in range(21)]
sandbox = creations[0][1]
sandbox.run_code('1+1')
cells = [timed(lambda: sandbox.run_code('1+1'))[0] for _ in range(201)]
for _, one in creations:
    one.kill()
print(f'create p50 {statistics.median(t for t, _ in creations) * 1000:.2f} ms, run_code(1+1) p50 {statistics.median(cells) * 1000:.2f} ms')
";
    let packages = clients::python().await;
    let mut python = tokio::process::Command::new("python3");
    python.args(["-c", SCRIPT]).env("PYTHONPATH", packages).env("E2B_API_KEY", KEY);
    python.env("E2B_API_URL", origin).env("E2B_SANDBOX_URL", origin);
    println!("{name}: {}", clients::run("the SDK", &mut python).await.trim());
}

/// Returns the private memory of processes in bytes.
fn private(processes: &[u32]) -> u64 {
    let of = |process: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
        let kilobytes = text.lines().filter(|line| line.starts_with("Private_"));
        kilobytes.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum::<u64>() * 1024
    };
    processes.iter().map(of).sum()
}

/// Returns the process of the server and those of its workers.
fn processes_of(server: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{server}/task")).unwrap().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let children: String = children.collect();
    std::iter::once(server).chain(children.split_whitespace().filter_map(|id| id.parse().ok())).collect()
}

/// Measures many sessions that live at the same time, each with some state.
async fn many(client: &Client, server: u32) {
    let before = private(&processes_of(server));
    let mut sessions = Vec::new();
    let (took, ()) = timed(async {
        for n in 0..LIVE {
            let session = client.create().await;
            client.run(&session, &format!("import json, re\nrows = [{{'n': n, 'of': {n}}} for n in range(100)]")).await;
            sessions.push(session);
        }
    })
    .await;
    let each = (private(&processes_of(server)) - before) / LIVE as u64;
    println!("{LIVE} live sessions: {:.1} MB each (target 8), made in {took:.1?}", each as f64 / 1e6);
    let mut cells = Vec::new();
    for (n, session) in sessions.iter().enumerate() {
        let (took, lines) = timed(client.run(session, "rows[0]['of']")).await;
        assert!(lines.contains(&format!("\"text\":\"{n}\"")), "{lines}");
        cells.push(took);
    }
    println!("a cell of one of them: p50 {:?}", median(cells));
    for session in &sessions {
        client.kill(session).await;
    }
}

const TEN: [&str; 10] = [
    "import math, json, collections",
    "def area(r):\n    return math.pi * r * r",
    "class Shape:\n    def __init__(self, name, size):\n        self.name, self.size = name, size",
    "shapes = [Shape(f's{n}', n) for n in range(20)]",
    "areas = {shape.name: area(shape.size) for shape in shapes}",
    "total = sum(areas.values())\ntotal",
    "words = collections.Counter('the quick brown fox jumps over the lazy dog'.split())",
    "text = json.dumps(areas)\nprint(len(text))",
    "import time\nbegan = time.time()",
    "big = [x for x in areas.values() if x > 100]\nlen(big)",
];
const NEEDS: &str = "import subprocess\nprint(subprocess.run(['true']).returncode, len(shapes), total)";

/// Measures a cell that moves a session of ten cells, compared with the same cell in a sandbox of the cloud.
async fn moves(client: &Client, cloud: &Client) {
    let mut moving = Vec::new();
    let mut bare = Vec::new();
    for _ in 0..9 {
        let session = client.create().await;
        for cell in TEN {
            client.run(&session, cell).await;
        }
        // Time for the pool to open a warm sandbox.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        moving.push(timed(client.run(&session, NEEDS)).await.0);
        client.kill(&session).await;

        let sandbox = cloud.create().await;
        cloud.run(&sandbox, &TEN.join("\n")).await;
        bare.push(timed(cloud.run(&sandbox, NEEDS)).await.0);
        cloud.kill(&sandbox).await;
    }
    let (moving, bare) = (median(moving), median(bare));
    println!(
        "a cell that moves a session of 10 cells: p50 {moving:?}; the same cell in a sandbox that has them: p50 {bare:?}; \
         moving adds {:?} (target 50 ms)",
        moving.saturating_sub(bare)
    );
}

#[tokio::main]
async fn main() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{cores} cores, shared with the stand-in and the clients; an optimised build: {}",
        !cfg!(debug_assertions)
    );
    let (theirs, behind) = (StandIn::start().await, StandIn::start().await);
    let server = Server::start_with(Some(&behind), &[]).await;
    let (local, cloud) = (Client::new(&server.origin), Client::new(&theirs.origin));
    calls("Switchtower", &local, REPEATS).await;
    calls("the stand-in alone, a Python process each", &cloud, 15).await;
    sdk("Switchtower, Python SDK", &server.origin).await;
    sdk("the stand-in alone, Python SDK", &theirs.origin).await;
    many(&local, server.child.id()).await;
    moves(&local, &cloud).await;
    server.signal("-TERM");
    server.wait_for_log();
    behind.fake.close().await;
    theirs.fake.close().await;
}
