//! Services that do not respond, each in a different way: no caller waits longer than its time limit.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::server::{KEY, Server, StandIn, switchtower};

/// How a service does not respond.
#[derive(Debug, Clone, Copy)]
enum Unresponsive {
    /// It accepts connections and sends nothing.
    Silent,
    /// It sends headers and no body.
    HeadersOnly,
    /// It sends one byte at a time.
    OneByteAtATime,
    /// It accepts no connections, and its backlog is full.
    Full,
}

/// A service that does not respond. Its threads end with the test's process.
struct UnresponsiveService {
    origin: String,
    /// The connections that fill its backlog.
    _fill: Vec<TcpStream>,
    _listener: Option<(tokio::net::TcpListener, Runtime)>,
}

impl UnresponsiveService {
    fn new(kind: Unresponsive) -> Self {
        if matches!(kind, Unresponsive::Full) {
            // The shortest backlog, filled before any client connects.
            let runtime = Runtime::new().unwrap();
            let entered = runtime.enter();
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let listener = socket.listen(0).unwrap();
            drop(entered);
            let address = listener.local_addr().unwrap();
            let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300));
            let fill: Vec<_> = (0..64).map_while(|_| connect().ok()).collect();
            assert!(fill.len() < 64, "the backlog is full");
            return Self { origin: format!("http://{address}"), _fill: fill, _listener: Some((listener, runtime)) };
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                std::thread::spawn(move || serve(kind, stream));
            }
        });
        Self { origin, _fill: Vec::new(), _listener: None }
    }
}

fn serve(kind: Unresponsive, mut stream: TcpStream) {
    let mut request = [0; 4096];
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n";
    match kind {
        Unresponsive::Silent | Unresponsive::Full => while stream.read(&mut request).is_ok_and(|read| read > 0) {},
        Unresponsive::HeadersOnly => {
            let _ = stream.read(&mut request);
            let _ = stream.write_all(head);
            while stream.read(&mut request).is_ok_and(|read| read > 0) {}
        }
        Unresponsive::OneByteAtATime => {
            let _ = stream.read(&mut request);
            let _ = stream.write_all(head);
            // The client sends nothing more, so each read waits for its time-out.
            let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
            while stream.write_all(b" ").is_ok() {
                let _ = stream.read(&mut request);
            }
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(2);
/// How late the error of a time-out may come.
const TOLERANCE: Duration = Duration::from_millis(500);

/// Returns how long the command takes for a program that ends at once, in this build on this machine.
fn command_overhead() -> Duration {
    let started = Instant::now();
    let ended = switchtower(None).args(["run", "-q", "-c", "print(1)"]).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    started.elapsed()
}

#[test]
fn the_command_ends_at_its_time_limit_however_a_service_does_not_respond() {
    for (kind, tls) in [
        (Unresponsive::Silent, false),
        // It accepts the connection, and the TLS handshake never completes.
        (Unresponsive::Silent, true),
        (Unresponsive::HeadersOnly, false),
        (Unresponsive::OneByteAtATime, false),
        (Unresponsive::Full, false),
    ] {
        let (service, before) = (UnresponsiveService::new(kind), command_overhead());
        let origin = if tls { service.origin.replace("http:", "https:") } else { service.origin.clone() };
        let started = Instant::now();
        let ended = switchtower(None)
            .envs([("E2B_API_KEY", KEY), ("E2B_API_URL", &origin), ("E2B_SANDBOX_URL", &origin)])
            .args(["run", "--timeout", "2s", "--tier", "e2b", "-c", "print(1)"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        // Other load on the machine makes the overhead vary.
        let (took, own) = (started.elapsed(), before.max(command_overhead()));
        let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(took <= TIMEOUT + TOLERANCE + own, "{kind:?}, TLS {tls}: {took:?}, of which its own {own:?}: {stderr}");
        assert_eq!(ended.status.code(), Some(124), "{kind:?}: {stderr}");
        assert!(stderr.contains("timed out after 2s while waiting for tier e2b"), "{kind:?}: {stderr}");
        assert!(stderr.contains("the cloud did not confirm that its sandbox has ended"), "{kind:?}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_answers_at_the_time_limit_for_programs_batches_and_cells() {
    let service = UnresponsiveService::new(Unresponsive::Silent);
    let environment =
        [("E2B_API_KEY", KEY), ("E2B_API_URL", service.origin.as_str()), ("E2B_SANDBOX_URL", service.origin.as_str())];
    let server = Server::start_with(None, &environment).await;
    let program = json!({ "code": "print(1)", "tier": "e2b", "timeout_ms": 2000 });
    let timed = async |path: &str, body: Value| {
        let started = Instant::now();
        let (status, answer) = server.call("POST", path, None, body).await;
        let took = started.elapsed();
        assert!(took <= TIMEOUT + TOLERANCE, "{path}: {took:?}");
        assert!(took >= TIMEOUT - TOLERANCE, "{path}: {took:?}: {answer}");
        (status, answer)
    };
    let is_late = |problem: &Value| {
        assert_eq!(problem["type"], "urn:switchtower:problem:timed-out", "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with("timed out after 2s while waiting for tier e2b"), "{detail}");
    };
    let (status, problem) = timed("/v1/execute", program.clone()).await;
    assert_eq!(status, 504);
    is_late(&problem);
    assert_eq!(problem["attempts"][0]["outcome"], "deadline", "{problem}");
    let (status, answers) = timed("/v1/batch", json!({ "requests": [program.clone(), program.clone()] })).await;
    assert_eq!(status, 200);
    answers["answers"].as_array().unwrap().iter().for_each(is_late);

    // A session that needs a machine for the first time.
    let (status, session) = server.call("POST", "/v1/sessions", None, json!({})).await;
    assert!(status < 300, "{session}");
    let path = format!("/v1/sessions/{}/execute", session["id"].as_str().unwrap());
    let (status, problem) = timed(&path, json!({ "code": "!echo 1", "timeout_ms": 2000 })).await;
    assert_eq!((status, problem["type"].as_str()), (504, Some("urn:switchtower:problem:timed-out")), "{problem}");
    server.signal("-KILL");
    server.wait_for_log();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sandboxes_that_do_not_respond_are_abandoned_in_time_and_ended() {
    let stand_in = StandIn::start().await;
    let service = UnresponsiveService::new(Unresponsive::Silent);
    let (own, started) = (command_overhead(), Instant::now());
    let ended = switchtower(Some(&stand_in))
        .env("E2B_SANDBOX_URL", &service.origin)
        .args(["run", "--timeout", "2s", "--tier", "e2b", "-c", "print(1)"])
        .output()
        .unwrap();
    let (took, own) = (started.elapsed(), own.max(command_overhead()));
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(took <= TIMEOUT + TOLERANCE + own, "{took:?}: {stderr}");
    assert_eq!(ended.status.code(), Some(124), "{stderr}");
    stand_in.wait_until("ended", |fake| fake.counts().created == 1 && fake.running().is_empty()).await;
    stand_in.fake.close().await;
}
