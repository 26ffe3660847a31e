//! Services that are there and do not answer, each in its own way: a caller waits for as long as it said, and no longer.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::served::{KEY, Server, StandIn, switchtower};

/// How a service does not answer.
#[derive(Debug, Clone, Copy)]
enum Hole {
    /// It takes connections, and says nothing.
    Silent,
    /// It says that it will answer, and does not.
    HeadersOnly,
    /// It answers, a byte at a time.
    Drips,
    /// Its connections never come about: nobody takes them, and there is no room for more.
    Full,
}

/// A service that does not answer. Its threads end with the test's process.
struct BlackHole {
    origin: String,
    /// Those that fill it.
    _fill: Vec<TcpStream>,
    _listener: Option<(tokio::net::TcpListener, Runtime)>,
}

impl BlackHole {
    fn new(hole: Hole) -> Self {
        if matches!(hole, Hole::Full) {
            // The shortest backlog there is, filled before anybody comes.
            let runtime = Runtime::new().unwrap();
            let entered = runtime.enter();
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let listener = socket.listen(0).unwrap();
            drop(entered);
            let address = listener.local_addr().unwrap();
            let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300));
            let fill: Vec<_> = (0..64).map_while(|_| connect().ok()).collect();
            assert!(fill.len() < 64, "it is full");
            return Self { origin: format!("http://{address}"), _fill: fill, _listener: Some((listener, runtime)) };
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                std::thread::spawn(move || serve(hole, stream));
            }
        });
        Self { origin, _fill: Vec::new(), _listener: None }
    }
}

fn serve(hole: Hole, mut stream: TcpStream) {
    let mut request = [0; 4096];
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n";
    match hole {
        Hole::Silent | Hole::Full => while stream.read(&mut request).is_ok_and(|read| read > 0) {},
        Hole::HeadersOnly => {
            let _ = stream.read(&mut request);
            let _ = stream.write_all(head);
            while stream.read(&mut request).is_ok_and(|read| read > 0) {}
        }
        Hole::Drips => {
            let _ = stream.read(&mut request);
            let _ = stream.write_all(head);
            // Nothing more is sent to it, so that each look takes its time.
            let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
            while stream.write_all(b" ").is_ok() {
                let _ = stream.read(&mut request);
            }
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(2);
/// What the issue of a time-out may come late by.
const LATE: Duration = Duration::from_millis(500);

/// How long the command takes for a program that ends at once, in this build on this machine.
fn own_time() -> Duration {
    let started = Instant::now();
    let ended = switchtower(None).args(["run", "-q", "-c", "print(1)"]).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    started.elapsed()
}

#[test]
fn the_command_ends_when_its_time_is_over_however_a_service_does_not_answer() {
    for (hole, tls) in [
        (Hole::Silent, false),
        // It takes the connection, and TLS never comes about.
        (Hole::Silent, true),
        (Hole::HeadersOnly, false),
        (Hole::Drips, false),
        (Hole::Full, false),
    ] {
        let (service, before) = (BlackHole::new(hole), own_time());
        let origin = if tls { service.origin.replace("http:", "https:") } else { service.origin.clone() };
        let started = Instant::now();
        let ended = switchtower(None)
            .envs([("E2B_API_KEY", KEY), ("E2B_API_URL", &origin), ("E2B_SANDBOX_URL", &origin)])
            .args(["run", "--timeout", "2s", "--tier", "e2b", "-c", "print(1)"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        // A machine that others use takes longer for everything, and now more, now less.
        let (took, own) = (started.elapsed(), before.max(own_time()));
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(took <= TIMEOUT + LATE + own, "{hole:?}, TLS {tls}: {took:?}, of which its own {own:?}: {said}");
        assert_eq!(ended.status.code(), Some(124), "{hole:?}: {said}");
        assert!(said.contains("timed out after 2s while waiting for the tier e2b"), "{hole:?}: {said}");
        assert!(said.contains("the cloud did not confirm that its sandbox has ended"), "{hole:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_answers_when_the_time_is_over_programs_batches_and_cells_alike() {
    let service = BlackHole::new(Hole::Silent);
    let environment =
        [("E2B_API_KEY", KEY), ("E2B_API_URL", service.origin.as_str()), ("E2B_SANDBOX_URL", service.origin.as_str())];
    let server = Server::start_with(None, &environment).await;
    let program = json!({ "code": "print(1)", "tier": "e2b", "timeout_ms": 2000 });
    let timed = async |path: &str, body: Value| {
        let started = Instant::now();
        let (status, answer) = server.ask("POST", path, None, body).await;
        let took = started.elapsed();
        assert!(took <= TIMEOUT + LATE, "{path}: {took:?}");
        assert!(took >= TIMEOUT - LATE, "{path}: {took:?}: {answer}");
        (status, answer)
    };
    let is_late = |problem: &Value| {
        assert_eq!(problem["type"], "urn:switchtower:problem:timed-out", "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with("timed out after 2s while waiting for the tier e2b"), "{detail}");
    };
    let (status, problem) = timed("/v1/execute", program.clone()).await;
    assert_eq!(status, 504);
    is_late(&problem);
    assert_eq!(problem["attempts"][0]["outcome"], "deadline", "{problem}");
    let (status, answers) = timed("/v1/batch", json!({ "requests": [program.clone(), program.clone()] })).await;
    assert_eq!(status, 200);
    answers["answers"].as_array().unwrap().iter().for_each(is_late);

    // A session's first use of a machine.
    let (status, session) = server.ask("POST", "/v1/sessions", None, json!({})).await;
    assert!(status < 300, "{session}");
    let path = format!("/v1/sessions/{}/execute", session["id"].as_str().unwrap());
    let (status, problem) = timed(&path, json!({ "code": "!echo 1", "timeout_ms": 2000 })).await;
    assert_eq!((status, problem["type"].as_str()), (504, Some("urn:switchtower:problem:timed-out")), "{problem}");
    server.signal("-KILL");
    server.ended();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sandboxes_that_do_not_answer_are_left_in_time_too_and_are_ended() {
    let stand_in = StandIn::start().await;
    let service = BlackHole::new(Hole::Silent);
    let (own, started) = (own_time(), Instant::now());
    let ended = switchtower(Some(&stand_in))
        .env("E2B_SANDBOX_URL", &service.origin)
        .args(["run", "--timeout", "2s", "--tier", "e2b", "-c", "print(1)"])
        .output()
        .unwrap();
    let (took, own) = (started.elapsed(), own.max(own_time()));
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(took <= TIMEOUT + LATE + own, "{took:?}: {said}");
    assert_eq!(ended.status.code(), Some(124), "{said}");
    stand_in.until("ended", |fake| fake.counts().created == 1 && fake.running().is_empty()).await;
    stand_in.fake.close().await;
}
