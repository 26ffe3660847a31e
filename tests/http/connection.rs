//! Connections: how they are shared, how slow they may be, how they end. The network is a pair of pipes.

use std::time::Duration;

use serde_json::json;
use switchtower::http::{Config, Drained, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::http::house::House;

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

/// A door that is being served.
struct Served {
    house: House,
    connect: mpsc::Sender<DuplexStream>,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Drained>,
}

impl Served {
    fn with(config: Config) -> Self {
        let house = House::with(config.clone());
        let (connect, pipes) = mpsc::channel(8);
        let (stop, stopped) = oneshot::channel();
        let app = house.app.clone();
        let done = tokio::spawn(async move { serve(Pipes(pipes), async { drop(stopped.await) }, app, &config).await });
        Self { house, connect, stop, done }
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
        while self.house.backend.counts().running != programs {
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
async fn draining_answers_what_runs_and_takes_nothing_new() {
    let served = Served::with(Config::default());
    let mut idle = served.connect().await;
    let mut busy = served.ask("#: sleep 5s\n#: print done").await;
    served.running(1).await;
    drop(served.stop);
    assert_eq!(timeout(Duration::from_secs(1), rest(&mut idle)).await.unwrap(), "");
    assert!(rest(&mut busy).await.contains(r#""stdout":"done\n""#));
    assert_eq!(served.done.await.unwrap(), Drained::Whole);
    assert!(served.connect.is_closed());
}

#[tokio::test(start_paused = true)]
async fn what_still_runs_at_the_end_of_the_drain_is_cancelled() {
    let served = Served::with(Config { drain: Duration::from_secs(2), ..Config::default() });
    let _busy = served.ask("#: sleep 25s").await;
    served.running(1).await;
    drop(served.stop);
    assert_eq!(served.done.await.unwrap(), Drained::Cut(1));
    let counts = served.house.backend.counts();
    assert_eq!((counts.running, counts.live), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn slow_clients_lose_their_connection_and_make_room() {
    let served = Served::with(Config { connections: 1, patience: Duration::from_secs(5), ..Config::default() });
    let mut slow = served.connect().await;
    slow.write_all(b"POST /v1/execute HTTP/1.1\r\nhost:").await.unwrap();
    let mut next = served.ask("#: print in").await;
    // The second is not served before the first is given up.
    assert!(timeout(Duration::from_secs(4), next.read_u8()).await.is_err());
    assert_eq!(next.read_u8().await.unwrap(), b'H');
    drop(next);

    // A client that does not read what it asked for.
    let mut deaf = served.ask("#: flood 500000").await;
    served.running(0).await;
    sleep(Duration::from_secs(6)).await;
    assert!(rest(&mut deaf).await.len() < 500_000);
    let mut last = served.ask("#: print in").await;
    assert_eq!(last.read_u8().await.unwrap(), b'H');
}
