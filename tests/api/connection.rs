//! Connections: how they are shared, how slow they may be, how they end. The network is a pair of pipes.

use std::time::Duration;

use serde_json::json;
use switchtower_server::service::{Config, Drained, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::api::harness::TestHarness;

/// A listener whose connections are pipes.
struct Pipes(mpsc::Receiver<DuplexStream>);

impl axum::serve::Listener for Pipes {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(pipe) => (pipe, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A server on a simulated listener.
struct Served {
    harness: TestHarness,
    connect: mpsc::Sender<DuplexStream>,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Drained>,
}

impl Served {
    fn with(config: Config) -> Self {
        let harness = TestHarness::with(config.clone());
        let (connect, pipes) = mpsc::channel(8);
        let (stop, stopped) = oneshot::channel();
        let app = harness.app.clone();
        let done = tokio::spawn(async move { serve(Pipes(pipes), async { drop(stopped.await) }, app, &config).await });
        Self { harness, connect, stop, done }
    }

    async fn connect(&self) -> DuplexStream {
        let (ours, theirs) = duplex(16 << 10);
        self.connect.send(theirs).await.unwrap();
        ours
    }

    async fn ask(&self, code: &str) -> DuplexStream {
        let mut pipe = self.connect().await;
        let body = json!({ "code": code }).to_string();
        let head = format!(
            "POST /v1/execute HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        pipe.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        pipe
    }

    /// Waits until so many programs run.
    async fn running(&self, programs: u64) {
        while self.harness.backend.counts().running != programs {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn rest(pipe: &mut DuplexStream) -> String {
    let mut text = String::new();
    let _ = pipe.read_to_string(&mut text).await;
    text
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_closes_ends_its_program() {
    let served = Served::with(Config::default());
    let pipe = served.ask("#: sleep 20s").await;
    served.running(1).await;
    drop(pipe);
    timeout(Duration::from_secs(1), served.running(0)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn draining_answers_requests_in_progress_and_accepts_no_new_ones() {
    let served = Served::with(Config::default());
    let mut idle = served.connect().await;
    let mut busy = served.ask("#: sleep 5s\n#: print done").await;
    served.running(1).await;
    drop(served.stop);
    assert_eq!(timeout(Duration::from_secs(1), rest(&mut idle)).await.unwrap(), "");
    assert!(rest(&mut busy).await.contains(r#""stdout":"done\n""#));
    assert_eq!(served.done.await.unwrap(), Drained::Complete);
    assert!(served.connect.is_closed());
}

#[tokio::test(start_paused = true)]
async fn requests_that_outlast_the_drain_timeout_are_cancelled() {
    let served = Served::with(Config { drain_timeout: Duration::from_secs(2), ..Config::default() });
    let _busy = served.ask("#: sleep 25s").await;
    served.running(1).await;
    drop(served.stop);
    assert_eq!(served.done.await.unwrap(), Drained::Cancelled(1));
    let counts = served.harness.backend.counts();
    assert_eq!((counts.running, counts.live), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_disconnected_and_frees_its_connection() {
    let served =
        Served::with(Config { max_connections: 1, client_timeout: Duration::from_secs(5), ..Config::default() });
    let mut deaf = served.ask("#: flood 500000").await;
    assert_eq!(deaf.read_u8().await.unwrap(), b'H');
    // Its answer is not cut for another before its time is over.
    let mut next = served.ask("#: print in").await;
    assert!(timeout(Duration::from_secs(4), next.read_u8()).await.is_err());
    sleep(Duration::from_secs(2)).await;
    assert!(rest(&mut deaf).await.len() < 500_000);
    assert_eq!(next.read_u8().await.unwrap(), b'H');
}

/// Whether the other end has closed it.
async fn is_closed(pipe: &mut DuplexStream) -> bool {
    matches!(timeout(Duration::from_millis(1), pipe.read_u8()).await, Ok(Err(_)))
}

const SOON: Duration = Duration::from_millis(10);

#[tokio::test(start_paused = true)]
async fn silent_connections_do_not_keep_new_ones_out() {
    let served = Served::with(Config { max_connections: 3, ..Config::default() });
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(served.connect().await);
        sleep(Duration::from_millis(1)).await;
        let mut partial = served.connect().await;
        partial.write_all(b"POST /v1/execute HTTP/1.1\r\nhost:").await.unwrap();
        silent.push(partial);
        sleep(Duration::from_millis(1)).await;
    }
    let mut client = served.ask("#: print in").await;
    assert_eq!(timeout(SOON, client.read_u8()).await.unwrap().unwrap(), b'H');
    let mut closed = 0;
    for pipe in &mut silent {
        closed += usize::from(is_closed(pipe).await);
    }
    assert_eq!(closed, 38);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_runs_or_streams_is_never_closed_for_another() {
    let served = Served::with(Config { max_connections: 2, ..Config::default() });
    let mut runs = served.ask("#: sleep 20s\n#: print ran").await;
    let mut streams = served.connect().await;
    let body = json!({ "code": "#: print first\n#: sleep 20s\n#: print streamed" }).to_string();
    let head = format!(
        "POST /v1/execute HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    streams.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    served.running(2).await;
    let mut third = served.ask("#: print third").await;
    assert!(timeout(Duration::from_secs(19), third.read_u8()).await.is_err());
    assert_eq!(timeout(Duration::from_secs(2), third.read_u8()).await.unwrap().unwrap(), b'H');
    drop(third);
    let mut text = vec![0; 16 << 10];
    for (pipe, wanted) in [(&mut runs, "ran"), (&mut streams, "streamed")] {
        let mut heard = String::new();
        while !heard.contains(wanted) {
            let read = timeout(Duration::from_secs(2), pipe.read(&mut text)).await.unwrap().unwrap();
            assert!(read > 0, "{heard}");
            heard.push_str(&String::from_utf8_lossy(&text[..read]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_head_has_the_head_timeout_and_a_used_connection_the_client_timeout() {
    let served = Served::with(Config::default());
    let mut silent = served.connect().await;
    let mut drips = served.connect().await;
    let mut used = served.connect().await;
    used.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    drips.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
    for _ in 0..4 {
        sleep(Duration::from_secs(1)).await;
        drips.write_all(b"x-drip: x\r\n").await.unwrap();
    }
    assert!(!is_closed(&mut silent).await && !is_closed(&mut drips).await);
    sleep(Duration::from_millis(1100)).await;
    assert!(is_closed(&mut silent).await && is_closed(&mut drips).await);
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
async fn stalled_bodies_do_not_keep_new_connections_out() {
    let served = Served::with(Config { max_connections: 2, ..Config::default() });
    let mut stalled = Vec::new();
    for _ in 0..2 {
        let mut pipe = served.connect().await;
        let head =
            "POST /v1/execute HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
        pipe.write_all(head.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        stalled.push(pipe);
    }
    let mut client = served.ask("#: print in").await;
    assert_eq!(timeout(Duration::from_millis(1500), client.read_u8()).await.unwrap().unwrap(), b'H');
    assert!(is_closed(&mut stalled[0]).await && !is_closed(&mut stalled[1]).await);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_long_is_refused_without_reading_all_of_it() {
    let served = Served::with(Config::default());
    let mut pipe = served.connect().await;
    pipe.write_all(b"GET /health HTTP/1.1\r\nx-long: ").await.unwrap();
    let mut sent = 0;
    while sent < (1 << 20) && pipe.write_all(&[b'x'; 4096]).await.is_ok() {
        sent += 4096;
    }
    assert!(sent < 200_000, "{sent}");
    assert!(rest(&mut pipe).await.starts_with("HTTP/1.1 431"));
}
