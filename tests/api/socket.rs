//! Cells over a WebSocket. The network is simulated by pipes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use switchtower_core::session;
use switchtower_server::service::{Config, Drained, serve};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::api::harness::TestHarness;
use crate::kernels::ScriptedKernels;
use crate::pipes::Pipes;

struct TestServer {
    kernels: ScriptedKernels,
    connect: mpsc::Sender<DuplexStream>,
    path: String,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Drained>,
}

type Socket = WebSocketStream<DuplexStream>;

impl TestServer {
    /// Starts a server with one session.
    async fn start() -> Self {
        let kernels = ScriptedKernels::replayable();
        let config = Config::default();
        let tiers = vec![("wasm", Arc::new(kernels.clone()) as _)];
        let harness = TestHarness::with_sessions(&config, &session::Config::default(), tiers);
        let session = harness.post("/v1/sessions", &json!({})).await.json;
        let path = format!("/v1/sessions/{}/ws", session["id"].as_str().unwrap());
        let (connect, pipes) = mpsc::channel(8);
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(async move {
            serve(Pipes(pipes), async { drop(stopped.await) }, harness.app.clone(), &config, None).await
        });
        Self { kernels, connect, path, stop, done }
    }

    async fn open(&self) -> Socket {
        self.try_open(None).await.unwrap()
    }

    async fn try_open(&self, origin: Option<&str>) -> Result<Socket, Error> {
        let (ours, theirs) = duplex(16 << 10);
        self.connect.send(theirs).await.unwrap();
        let mut request = format!("ws://tower.test{}", self.path).into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        client_async(request, ours).await.map(|(socket, _)| socket)
    }
}

async fn send(socket: &mut Socket, cell: &Value) {
    socket.send(Message::text(cell.to_string())).await.unwrap();
}

/// Returns the next event; `None` at the end of the socket.
async fn next(socket: &mut Socket) -> Option<Value> {
    loop {
        match timeout(Duration::from_secs(60), socket.next()).await.expect("an event comes") {
            Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            Some(Ok(other)) => panic!("{other:?}"),
        }
    }
}

/// Reads the events of these cells to their ends. Returns the names of each, in the order of the cells' ids.
async fn events(socket: &mut Socket, mut cells: usize) -> String {
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while cells > 0 {
        let event = next(socket).await.expect("the socket is open");
        let name = event["event"].as_str().unwrap();
        cells -= usize::from(["end", "problem"].contains(&name));
        let detail = match name {
            "stdout" => event["data"]["text"].as_str().unwrap().trim_end(),
            "result" => event["data"]["data"]["text/plain"].as_str().unwrap(),
            "problem" => event["data"]["title"].as_str().unwrap(),
            "end" => event["data"]["exit"].as_str().unwrap(),
            _ => "",
        };
        seen.entry(event["id"].to_string()).or_default().push(format!("{name} {detail}").trim_end().to_owned());
    }
    seen.into_iter().map(|(id, names)| format!("{id}: {}", names.join(", "))).collect::<Vec<_>>().join("\n")
}

#[tokio::test(start_paused = true)]
async fn cells_of_one_socket_have_their_own_events_and_share_their_state() {
    let server = TestServer::start().await;
    let mut socket = server.open().await;
    send(&mut socket, &json!({ "id": "a", "code": "x = 1" })).await;
    send(&mut socket, &json!({ "id": 2, "code": "x" })).await;
    insta::assert_snapshot!(events(&mut socket, 2).await, @r#"
    "a": began, end finished
    2: began, result 1, end finished
    "#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_cells_of_a_context_run_in_the_order_of_their_messages() {
    let server = TestServer::start().await;
    for _ in 0..8 {
        let mut socket = server.open().await;
        let mut numbers = Vec::new();
        for id in 0..12 {
            send(&mut socket, &json!({ "id": id, "code": "x = 1" })).await;
        }
        while numbers.len() < 12 {
            let event = next(&mut socket).await.unwrap();
            if event["event"] == "began" {
                numbers.push((event["data"]["number"].as_u64().unwrap(), event["id"].as_u64().unwrap()));
            }
        }
        numbers.sort_unstable();
        assert!(numbers.is_sorted_by_key(|(_, id)| *id), "{numbers:?}");
        drop(socket);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_no_cell_is_refused_and_the_socket_stays_open() {
    let server = TestServer::start().await;
    let mut socket = server.open().await;
    let mut problems = Vec::new();
    for text in
        ["no json", "[1]", r#"{"code":"1"}"#, r#"{"id":1.5,"code":"1"}"#, r#"{"id":"a"}"#, r#"{"id":"b","cod":""}"#]
    {
        socket.send(Message::text(text)).await.unwrap();
        problems.push(events(&mut socket, 1).await);
    }
    insta::assert_snapshot!(problems.join("\n"), @r#"
    null: problem Malformed JSON
    null: problem Invalid field value
    null: problem Invalid field value
    null: problem Invalid field value
    "a": problem Invalid field value
    "b": problem Invalid field value
    "#);
    for id in 0..17 {
        send(&mut socket, &json!({ "id": id, "code": "sleep 1" })).await;
    }
    let ended = events(&mut socket, 17).await;
    assert_eq!(ended.matches("problem Limit reached").count(), 1, "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_closes_ends_its_cells_and_the_session_goes_on() {
    let server = TestServer::start().await;
    let mut socket = server.open().await;
    send(&mut socket, &json!({ "id": "a", "code": "sleep 20" })).await;
    assert_eq!(next(&mut socket).await.unwrap()["event"], "began");
    drop(socket);
    let mut socket = server.open().await;
    send(&mut socket, &json!({ "id": "b", "code": "print 2" })).await;
    let began = tokio::time::Instant::now();
    assert!(events(&mut socket, 1).await.contains("stdout 2"));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop(server.kernels);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_lets_cells_end_and_closes_the_socket() {
    let server = TestServer::start().await;
    let (mut socket, mut idle) = (server.open().await, server.open().await);
    send(&mut socket, &json!({ "id": "a", "code": "sleep 3" })).await;
    assert_eq!(next(&mut socket).await.unwrap()["event"], "began");
    drop(server.stop);
    assert_eq!(next(&mut idle).await, None);
    assert_eq!(events(&mut socket, 1).await, r#""a": end finished"#);
    assert_eq!(next(&mut socket).await, None);
    drop((socket, idle));
    assert_eq!(server.done.await.unwrap(), Drained::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_page_of_another_origin_opens_no_socket_and_one_that_answers_no_ping_is_closed() {
    let server = TestServer::start().await;
    let refused = server.try_open(Some("http://evil.test")).await.err().unwrap();
    assert!(matches!(&refused, Error::Http(answer) if answer.status() == 403), "{refused}");
    let mut own = server.try_open(Some("http://tower.test")).await.unwrap();
    // It reads, and so answers pings, for a while; then it does not.
    let answering = timeout(Duration::from_secs(300), own.next());
    assert!(answering.await.unwrap().unwrap().is_ok());
    sleep(Duration::from_secs(600)).await;
    let rest = async { while own.next().await.is_some_and(|message| message.is_ok()) {} };
    timeout(Duration::from_secs(1), rest).await.expect("the server has closed it");
}
