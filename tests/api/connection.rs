//! Connections: their limit, their timeouts, and how they end. The network is simulated by pipes.

use std::time::Duration;

use serde_json::json;
use switchtower_server::service::{Config, Drained, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::api::harness::TestHarness;
use crate::pipes::Pipes;

/// Connections that can wait to be accepted.
const ESTABLISHED: usize = 600;

/// A server on a simulated listener.
struct TestServer {
    harness: TestHarness,
    connect: mpsc::Sender<DuplexStream>,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Drained>,
}

impl TestServer {
    fn with(config: Config) -> Self {
        let harness = TestHarness::with(config.clone());
        let (connect, pipes) = mpsc::channel(ESTABLISHED);
        let (stop, stopped) = oneshot::channel();
        let app = harness.app.clone();
        let done =
            tokio::spawn(async move { serve(Pipes(pipes), async { drop(stopped.await) }, app, &config, None).await });
        Self { harness, connect, stop, done }
    }

    async fn connect(&self) -> DuplexStream {
        let (ours, theirs) = duplex(16 << 10);
        self.connect.send(theirs).await.unwrap();
        ours
    }

    async fn execute(&self, code: &str) -> DuplexStream {
        self.execute_as("somebody", code).await
    }

    async fn execute_as(&self, user: &str, code: &str) -> DuplexStream {
        let mut pipe = self.connect().await;
        let body = json!({ "code": code, "user": user, "cache": "bypass" }).to_string();
        let head = format!(
            "POST /v1/execute HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        pipe.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        pipe
    }

    /// Waits until this many programs run.
    async fn wait_for_running(&self, programs: u64) {
        while self.harness.backend.counts().running != programs {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn read_to_end(pipe: &mut DuplexStream) -> String {
    let mut text = String::new();
    let _ = pipe.read_to_string(&mut text).await;
    text
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_closes_ends_its_program() {
    let server = TestServer::with(Config::default());
    let pipe = server.execute("#: sleep 20s").await;
    server.wait_for_running(1).await;
    drop(pipe);
    timeout(Duration::from_secs(1), server.wait_for_running(0)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again_after_a_body_that_nobody_read_or_its_answer_says_that_it_closes() {
    let server = TestServer::with(Config::default());
    // Nothing reads the body of a request to a path that does not exist.
    let head = "POST /nowhere HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let mut late = server.connect().await;
    late.write_all(head.as_bytes()).await.unwrap();
    // Its end comes after the request has been refused.
    sleep(Duration::from_millis(50)).await;
    late.write_all(b"0\r\n\r\nGET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let answers = read_to_end(&mut late).await;
    assert!(answers.starts_with("HTTP/1.1 404 ") && answers.contains("HTTP/1.1 200 OK"), "{answers}");

    // It does not come at all, or is not asked for.
    for head in [head.to_owned(), head.replace("host: x", "host: x\r\nexpect: 100-continue")] {
        let mut pipe = server.connect().await;
        pipe.write_all(head.as_bytes()).await.unwrap();
        let answer = timeout(Duration::from_secs(1), read_to_end(&mut pipe)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("connection: close\r\n"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn draining_answers_requests_in_progress_and_accepts_no_new_ones() {
    let server = TestServer::with(Config::default());
    let mut idle = server.connect().await;
    let mut busy = server.execute("#: sleep 5s\n#: print done").await;
    server.wait_for_running(1).await;
    drop(server.stop);
    assert_eq!(timeout(Duration::from_secs(1), read_to_end(&mut idle)).await.unwrap(), "");
    assert!(read_to_end(&mut busy).await.contains(r#""stdout":"done\n""#));
    assert_eq!(server.done.await.unwrap(), Drained::Complete);
    assert!(server.connect.is_closed());
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_queued_requests_are_refused_at_once_and_running_ones_finish() {
    let server = TestServer::with(Config::default());
    let slots = server.harness.router.tiers().statuses()[0].slots;
    let mut running = Vec::new();
    for user in 0..slots {
        running.push(server.execute_as(&format!("user-{user}"), "#: sleep 5s\n#: print done").await);
    }
    timeout(Duration::from_secs(1), server.wait_for_running(slots as u64)).await.unwrap();
    let mut queued = Vec::new();
    for _ in 0..3 {
        queued.push(server.execute_as("user-0", "#: print late").await);
    }
    let all_queued = async {
        while server.harness.router.tiers().statuses()[0].queued < 3 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(1), all_queued).await.unwrap();
    // This one has not been read yet when the server stops.
    queued.push(server.execute_as("user-0", "#: print last").await);
    server.harness.router.tiers().refuse_waiting();
    drop(server.stop);
    for mut pipe in queued {
        let answer = timeout(Duration::from_secs(1), read_to_end(&mut pipe)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1\r\n"), "{answer}");
        assert!(answer.contains("the server is shutting down"), "{answer}");
    }
    for mut pipe in running {
        assert!(read_to_end(&mut pipe).await.contains(r#""stdout":"done\n""#));
    }
    assert_eq!(server.done.await.unwrap(), Drained::Complete);
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_every_established_connection_is_answered_and_beyond_the_limit_by_a_refusal() {
    for (limits, answered) in [
        (Config::default(), ESTABLISHED),
        (Config { max_connections: 200, ..Config::default() }, 200),
        (Config { backlog: 400, ..Config::default() }, 400),
    ] {
        let backlog = limits.backlog as usize;
        let server = TestServer::with(limits);
        // In one turn, so that none of them is accepted before the server stops.
        let mut pipes = tokio::task::unconstrained(async {
            let mut pipes = Vec::new();
            for _ in 0..ESTABLISHED {
                let mut pipe = server.connect().await;
                pipe.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
                pipes.push(pipe);
            }
            pipes
        })
        .await;
        drop(server.stop);
        let mut counts = [0_usize; 3];
        for pipe in &mut pipes {
            let answer = timeout(Duration::from_secs(1), read_to_end(pipe)).await.unwrap();
            match answer.split(' ').nth(1) {
                Some("200") => counts[0] += 1,
                Some("503") => {
                    assert!(answer.contains("the server is shutting down") && answer.contains("retry-after: 1\r\n"));
                    counts[1] += 1;
                }
                _ => counts[2] += 1,
            }
        }
        let unread = ESTABLISHED.saturating_sub(backlog);
        // Those that the loop accepted before it saw the shutdown are not counted by the backlog.
        assert!(counts[0].abs_diff(answered) <= 20 && counts[2].abs_diff(unread) <= 20, "{counts:?}");
        assert_eq!(counts.iter().sum::<usize>(), ESTABLISHED);
        assert_eq!(server.done.await.unwrap(), Drained::Complete);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_outlast_the_drain_timeout_are_cancelled() {
    let server = TestServer::with(Config { drain_timeout: Duration::from_secs(2), ..Config::default() });
    let _busy = server.execute("#: sleep 25s").await;
    server.wait_for_running(1).await;
    drop(server.stop);
    assert_eq!(server.done.await.unwrap(), Drained::Cancelled(1));
    let counts = server.harness.backend.counts();
    assert_eq!((counts.running, counts.live), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_disconnected_and_frees_its_connection() {
    let server =
        TestServer::with(Config { max_connections: 1, client_timeout: Duration::from_secs(5), ..Config::default() });
    let mut unread = server.execute("#: flood 500000").await;
    assert_eq!(unread.read_u8().await.unwrap(), b'H');
    // Its connection is not closed for another one before the timeout.
    let mut next = server.execute("#: print in").await;
    assert!(timeout(Duration::from_secs(4), next.read_u8()).await.is_err());
    sleep(Duration::from_secs(2)).await;
    assert!(read_to_end(&mut unread).await.len() < 500_000);
    assert_eq!(next.read_u8().await.unwrap(), b'H');
}

/// Returns whether the server has closed the connection.
async fn is_closed(pipe: &mut DuplexStream) -> bool {
    matches!(timeout(Duration::from_millis(1), pipe.read_u8()).await, Ok(Err(_)))
}

/// The longest time to an answer from a server that is not busy.
const PROMPT: Duration = Duration::from_millis(10);

#[tokio::test(start_paused = true)]
async fn silent_connections_do_not_block_new_ones() {
    let server = TestServer::with(Config { max_connections: 3, ..Config::default() });
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(server.connect().await);
        sleep(Duration::from_millis(1)).await;
        let mut partial = server.connect().await;
        partial.write_all(b"POST /v1/execute HTTP/1.1\r\nhost:").await.unwrap();
        silent.push(partial);
        sleep(Duration::from_millis(1)).await;
    }
    let mut client = server.execute("#: print in").await;
    assert_eq!(timeout(PROMPT, client.read_u8()).await.unwrap().unwrap(), b'H');
    let mut closed = 0;
    for pipe in &mut silent {
        closed += usize::from(is_closed(pipe).await);
    }
    assert_eq!(closed, 38);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_runs_or_streams_is_never_closed_for_another() {
    let server = TestServer::with(Config { max_connections: 2, ..Config::default() });
    let mut running = server.execute("#: sleep 20s\n#: print ran").await;
    let mut streaming = server.connect().await;
    let body = json!({ "code": "#: print first\n#: sleep 20s\n#: print streamed" }).to_string();
    let head = format!(
        "POST /v1/execute HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    streaming.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    server.wait_for_running(2).await;
    let mut third = server.execute("#: print third").await;
    assert!(timeout(Duration::from_secs(19), third.read_u8()).await.is_err());
    assert_eq!(timeout(Duration::from_secs(2), third.read_u8()).await.unwrap().unwrap(), b'H');
    drop(third);
    let mut text = vec![0; 16 << 10];
    for (pipe, wanted) in [(&mut running, "ran"), (&mut streaming, "streamed")] {
        let mut received = String::new();
        while !received.contains(wanted) {
            let read = timeout(Duration::from_secs(2), pipe.read(&mut text)).await.unwrap().unwrap();
            assert!(read > 0, "{received}");
            received.push_str(&String::from_utf8_lossy(&text[..read]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_head_timeout_applies_to_the_first_head_and_the_client_timeout_to_a_used_connection() {
    let server = TestServer::with(Config::default());
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    let mut used = server.connect().await;
    used.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
    for _ in 0..4 {
        sleep(Duration::from_secs(1)).await;
        slow.write_all(b"x-drip: x\r\n").await.unwrap();
    }
    assert!(!is_closed(&mut silent).await && !is_closed(&mut slow).await);
    sleep(Duration::from_millis(1100)).await;
    assert!(is_closed(&mut silent).await && is_closed(&mut slow).await);
    let mut text = [0; 1024];
    assert!(used.read(&mut text).await.unwrap() > 100);
    sleep(Duration::from_secs(20)).await;
    assert!(!is_closed(&mut used).await);
    used.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(used.read(&mut text).await.unwrap() > 100);
    sleep(Duration::from_secs(31)).await;
    assert!(is_closed(&mut used).await);
}

#[tokio::test(start_paused = true)]
async fn stalled_bodies_do_not_block_new_connections() {
    let server = TestServer::with(Config { max_connections: 2, ..Config::default() });
    let mut stalled = Vec::new();
    for _ in 0..2 {
        let mut pipe = server.connect().await;
        let head =
            "POST /v1/execute HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
        pipe.write_all(head.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        stalled.push(pipe);
    }
    let mut client = server.execute("#: print in").await;
    assert_eq!(timeout(Duration::from_millis(1500), client.read_u8()).await.unwrap().unwrap(), b'H');
    assert!(is_closed(&mut stalled[0]).await && !is_closed(&mut stalled[1]).await);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_long_is_refused_without_reading_all_of_it() {
    let server = TestServer::with(Config::default());
    let mut pipe = server.connect().await;
    pipe.write_all(b"GET /health HTTP/1.1\r\nx-long: ").await.unwrap();
    let mut sent = 0;
    while sent < (1 << 20) && pipe.write_all(&[b'x'; 4096]).await.is_ok() {
        sent += 4096;
    }
    assert!(sent < 200_000, "{sent}");
    assert!(read_to_end(&mut pipe).await.starts_with("HTTP/1.1 431"));
}
