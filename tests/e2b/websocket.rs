//! WebSocket on the ports of a sandbox: bytes both ways, by the rules of HTTP requests. The network is simulated by pipes.

use std::time::Duration;

use serde_json::json;
use switchtower_server::service::{Config, Drained, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::harness::{Client, Sandbox};
use crate::pipes::Pipes;

struct TestServer {
    client: Client,
    connect: mpsc::Sender<DuplexStream>,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Drained>,
}

impl TestServer {
    fn start() -> Self {
        let client = Client::new();
        let (connect, pipes) = mpsc::channel(8);
        let (stop, stopped) = oneshot::channel();
        let app = client.app.clone();
        let done = tokio::spawn(async move {
            serve(Pipes(pipes), async { drop(stopped.await) }, app, &Config::default(), None).await
        });
        Self { client, connect, stop, done }
    }

    /// Asks for WebSocket on port 8000. Returns the connection and the head of the answer.
    async fn open(&self, sandbox: &Sandbox, path: &str, credentials: &str) -> (DuplexStream, String) {
        let (mut ours, theirs) = duplex(4096);
        self.connect.send(theirs).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\ne2b-sandbox-id: {}\r\ne2b-sandbox-port: 8000\r\nconnection: keep-alive, \
             Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-key: k\r\n{credentials}\r\n",
            sandbox.id
        );
        ours.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(ours.read_u8().await.unwrap());
        }
        (ours, String::from_utf8(head).unwrap())
    }
}

/// Sends bytes and reads them again.
async fn echo(connection: &mut DuplexStream) {
    let mut read = [0; 5];
    connection.write_all(b"hello").await.unwrap();
    connection.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"hello");
}

/// Waits for the end of a connection.
async fn ended(connection: &mut DuplexStream) {
    let read = timeout(Duration::from_secs(5), connection.read_u8()).await.expect("the connection ends");
    assert!(read.is_err());
}

fn traffic(sandbox: &Sandbox) -> String {
    format!("e2b-traffic-access-token: {}\r\n", sandbox.traffic)
}

#[tokio::test(start_paused = true)]
async fn a_websocket_reaches_the_program_with_the_rules_of_a_request_and_ends_with_the_sandbox() {
    let server = TestServer::start();
    let sandbox = server.client.create(json!({})).await;
    // Nothing listens without a machine, and a stranger learns nothing.
    let (_, closed) = server.open(&sandbox, "/socket", &traffic(&sandbox)).await;
    assert!(closed.starts_with("HTTP/1.1 502 "), "{closed}");
    let (_, stranger) = server.open(&sandbox, "/socket", "").await;
    assert!(stranger.starts_with("HTTP/1.1 401 "), "{stranger}");
    server.client.promote(&sandbox).await;
    let (mut open, head) = server.open(&sandbox, "/socket", &traffic(&sandbox)).await;
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: websocket\r\n"), "{head}");
    // The machine saw the client's key for the protocol, and no credentials.
    assert!(head.contains("x-sec-websocket-key: k\r\n") && !head.contains("traffic"), "{head}");
    echo(&mut open).await;
    // A program that has no such page refuses by an ordinary answer.
    let (_, page) = server.open(&sandbox, "/page", &traffic(&sandbox)).await;
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("x-answered-by: machine"), "{page}");
    server.client.call(&format!("DELETE /sandboxes/{}", sandbox.id), json!(null)).await;
    ended(&mut open).await;
}

#[tokio::test(start_paused = true)]
async fn a_websocket_keeps_its_machine_awake_while_something_is_sent() {
    let server = TestServer::start();
    let sandbox = server.client.create(json!({ "timeout": 3000 })).await;
    server.client.execute(&sandbox, "import pandas").await;
    let sleeps = async || {
        server.client.harness.machines.log();
        server.client.harness.run_maintenance(Duration::from_secs(300)).await;
        server.client.harness.machines.log().contains(&"asleep".to_owned())
    };
    let (mut open, _) = server.open(&sandbox, "/socket", &traffic(&sandbox)).await;
    for _ in 0..4 {
        echo(&mut open).await;
        assert!(!sleeps().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_closes_its_websockets_and_drains() {
    let server = TestServer::start();
    let sandbox = server.client.create(json!({})).await;
    server.client.promote(&sandbox).await;
    let (mut open, _) = server.open(&sandbox, "/socket", &traffic(&sandbox)).await;
    echo(&mut open).await;
    drop(server.stop);
    ended(&mut open).await;
    assert_eq!(server.done.await.unwrap(), Drained::Complete);
}
