//! The time to run a program locally: in a fresh instance, in a prewarmed one, in worker processes, and over HTTP.
//!
//! `cargo bench --bench local`. Compared values are medians measured in the same run, because machines are noisy.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod measure;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use switchtower_contract::{Backend, Events, Language, Limits, Outcome, Program, Spec};
use switchtower_wasm::workers::Config;
use switchtower_wasm::{Compiled, InProcess, WasmWorkers};
use tokio::runtime::Runtime;

use measure::{machine, median};

const SUM: &str = "print(sum(range(1000)))";

fn main() {
    println!("{}", machine());
    let runtime = Runtime::new().expect("a runtime can be made");
    let guest = Compiled::locate(None, &|stage| eprintln!("first use: {stage:?}")).expect("the guest can be used");
    runtime.block_on(in_workers(&guest));
    over_http(&runtime);
    instances();
}

criterion_group!(instances, fresh_instance);

/// Measures the time between two answers if each program gets a fresh instance and none is prewarmed.
fn fresh_instance(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime can be made");
    let guest = Compiled::locate(None, &|_| ()).expect("the guest can be used");
    let engine = InProcess::new(&guest, 1, 0).expect("the guest can be loaded");
    let mut sandbox = runtime.block_on(engine.open(&PYTHON)).expect("a thread can be had");
    for code in ["1+1", SUM] {
        let program = Program::python(code);
        criterion.bench_function(&format!("fresh instance: {code}"), |bench| {
            bench.iter(|| runtime.block_on(run(sandbox.as_mut(), &program)));
        });
    }
}

const PYTHON: Spec = Spec::new(Language::Python);

async fn run(sandbox: &mut dyn switchtower_contract::Sandbox, program: &Program) -> Outcome {
    let (events, mut output) = Events::channel();
    let listening = tokio::spawn(async move { while output.recv().await.is_some() {} });
    let outcome = sandbox.run(program, &Limits::default(), &events).await.expect("the program runs");
    drop(events);
    listening.await.expect("listening does not panic");
    outcome
}

/// Compares one worker with two, and measures a program in a prewarmed instance.
async fn in_workers(guest: &Compiled) {
    let program = Program::python(SUM);
    let workers = start(guest, 1).await;
    let mut times = Vec::new();
    for _ in 0..200 {
        // Time to prewarm the next instance.
        tokio::time::sleep(Duration::from_millis(15)).await;
        let mut sandbox = workers.open(&PYTHON).await.expect("a worker is free");
        times.push(run(sandbox.as_mut(), &program).await.usage.wall);
    }
    println!("in a worker, prewarmed instance: p50 {:?} (target 400 µs)", median(&mut times));
    let one = throughput(&workers, 1).await;
    workers.shutdown().await;
    let workers = start(guest, 2).await;
    let two = throughput(&workers, 2).await;
    workers.shutdown().await;
    println!("programs per second: one worker {one:.0}, two {two:.0}, ratio {:.2} (target 1.7)", two / one);
}

async fn start(guest: &Compiled, workers: usize) -> Arc<WasmWorkers> {
    let size = Config { workers, kernel_workers: 0, concurrent_cells: 0, kernels_per_worker: 0, prewarmed: 4 };
    let program = env!("CARGO_BIN_EXE_switchtower").into();
    Arc::new(WasmWorkers::start(guest, program, &["worker"], size).await.expect("the workers start"))
}

async fn throughput(workers: &Arc<WasmWorkers>, callers: usize) -> f64 {
    const EACH: usize = 1500;
    let started = Instant::now();
    let calling: Vec<_> = (0..callers)
        .map(|_| {
            let workers = Arc::clone(workers);
            tokio::spawn(async move {
                let program = Program::python(SUM);
                for _ in 0..EACH {
                    let mut sandbox = workers.open(&PYTHON).await.expect("a worker is free");
                    run(sandbox.as_mut(), &program).await;
                }
            })
        })
        .collect();
    for caller in calling {
        caller.await.expect("callers do not panic");
    }
    (callers * EACH) as f64 / started.elapsed().as_secs_f64()
}

/// Measures the server: requests that run, requests that hit the cache, and a bare axum route with the same body.
fn over_http(runtime: &Runtime) {
    let started = Instant::now();
    let server = ServerProcess::start();
    println!("serve: ready after {:?} (target 1 s)", started.elapsed());
    let mut client = Client::to(server.address);
    for (name, pause) in [("one after the other", 0), ("10 ms apart", 10)] {
        let mut times: Vec<Duration> = (0..300)
            .map(|i| {
                std::thread::sleep(Duration::from_millis(pause));
                let body = format!(r#"{{"code": "print(sum(range(1000)))", "cache": "bypass", "user": "u{i}"}}"#);
                client.post("/v1/execute", &body).0
            })
            .collect();
        println!("run over HTTP, {name}: p50 {:?} (target 1 ms)", median(&mut times));
    }
    let question = r#"{"code": "print(sum(range(1000)))"}"#;
    let (_, answer) = client.post("/v1/execute", question);
    let bare = bare_axum(runtime, answer);
    // In turn, so that a change of the machine's speed affects both.
    let (mut hits, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        hits.push(per_second(server.address, question));
        plain.push(per_second(bare, question));
    }
    let (hits, plain) = (median(&mut hits), median(&mut plain));
    println!("per second: cache hits {hits:.0}, bare axum {plain:.0}, ratio {:.2} (target 0.70)", hits / plain);
    println!("idle memory of server and workers: {} MB (target 200 MB)", server.memory() >> 20);
    let started = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_switchtower"))
        .env("SWITCHTOWER_NATIVE_ENABLED", "false")
        .args(["run", "--quiet", "-c", "1+1"])
        .output();
    assert!(output.expect("the program starts").stdout.starts_with(b"2"));
    println!("run -c '1+1': {:?} (target 100 ms)", started.elapsed());
}

/// Starts a route that reads the same request and returns the same answer, and does nothing else.
fn bare_axum(runtime: &Runtime, answer: Vec<u8>) -> SocketAddr {
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("loopback has a port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let answer = axum::body::Bytes::from(answer);
    let route = axum::routing::post(move |axum::Json(_): axum::Json<serde_json::Value>| {
        let answer = answer.clone();
        async move { ([("content-type", "application/json")], answer) }
    });
    let app = axum::Router::new().route("/v1/execute", route);
    runtime.spawn(async move { axum::serve(listener, app).await });
    address
}

fn per_second(address: SocketAddr, body: &str) -> f64 {
    const EACH: usize = 4000;
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = Client::to(address);
                for _ in 0..EACH {
                    client.post("/v1/execute", body);
                }
            });
        }
    });
    (2 * EACH) as f64 / started.elapsed().as_secs_f64()
}

/// The real server as a process, on a port of its own.
struct ServerProcess {
    process: Child,
    address: SocketAddr,
}

impl ServerProcess {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("loopback has a port").port();
        let process = Command::new(env!("CARGO_BIN_EXE_switchtower"))
            .env("SWITCHTOWER_NATIVE_ENABLED", "false")
            .args(["serve", "--port", &port.to_string()])
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let server = Self { process, address };
        while !server.ready() {
            std::thread::sleep(Duration::from_millis(2));
        }
        server
    }

    fn ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return false };
        let mut answer = String::new();
        stream.write_all(b"GET /ready HTTP/1.1\r\nhost: local\r\nconnection: close\r\n\r\n").is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
    }

    /// Returns the proportional set size of the server and its children in bytes: shared pages count once.
    fn memory(&self) -> u64 {
        let children = std::fs::read_dir("/proc").expect("Linux has /proc").flatten().filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent: u32 = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
            (parent == self.process.id()).then_some(pid)
        });
        children.chain([self.process.id()]).map(proportional_memory).sum()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // The server may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn proportional_memory(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find(|l| l.starts_with("Pss:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) << 10
}

/// A client with little overhead: one persistent connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("TCP has no-delay");
        Self(BufReader::new(stream))
    }

    /// Sends a request and returns how long it took and the body.
    fn post(&mut self, path: &str, body: &str) -> (Duration, Vec<u8>) {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: local\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let started = Instant::now();
        self.0.get_mut().write_all(request.as_bytes()).expect("the server reads");
        let mut status = String::new();
        self.0.read_line(&mut status).expect("the server answers");
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("the server answers");
            if line == "\r\n" {
                break;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length is a number");
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).expect("the server answers");
        (started.elapsed(), answer)
    }
}
