//! The executors' protocol. The network is simulated by pipes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use switchtower_contract::scripted::{Scripted, Settings};
use switchtower_contract::{Language, Languages, Modules};
use switchtower_core::quota;
use switchtower_core::request::RequestLimits;
use switchtower_core::router::Router;
use switchtower_server::api::executors::{self, Config};
use switchtower_server::api::{self};
use switchtower_server::service::{self, Drained, serve};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::api::harness::TestHarness;
use crate::pipes::Pipes;

const KEY: &str = "0123456789abcdef";

type Socket = WebSocketStream<DuplexStream>;

/// A server of the protocol, with a tier for each language.
struct TestServer {
    router: Arc<Router>,
    connect: mpsc::Sender<DuplexStream>,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Drained>,
}

impl TestServer {
    async fn start() -> Self {
        Self::start_with(Config::default(), service::Config::default(), quota::Config::default()).await
    }

    async fn start_with(config: Config, http: service::Config, quota: quota::Config) -> Self {
        let tiers = [Language::Python, Language::JavaScript, Language::Cpp].map(|language| {
            let mut settings = Settings::default();
            settings.offer.languages = Languages::only(language, Modules::Any);
            (language.name(), Arc::new(Scripted::new(1, settings)) as _)
        });
        let router = TestHarness::with_tiers(&quota, tiers.into()).router;
        let request_limits = RequestLimits { code: 1000, stdin: 1000, ..RequestLimits::default() };
        let state = api::AppState { request_limits, ..api::AppState::default() };
        let app = executors::app(Arc::clone(&router), &http, &config, state);
        let (connect, pipes) = mpsc::channel(8);
        let (stop, stopped) = oneshot::channel();
        let done =
            tokio::spawn(async move { serve(Pipes(pipes), async { drop(stopped.await) }, app, &http, None).await });
        Self { router, connect, stop, done }
    }

    async fn open(&self, path: &str) -> Socket {
        self.try_open(path, &[]).await.unwrap()
    }

    async fn try_open(&self, path: &str, headers: &[(&'static str, &'static str)]) -> Result<Socket, Error> {
        let (ours, theirs) = duplex(256 << 10);
        self.connect.send(theirs).await.unwrap();
        let mut request = format!("ws://tower.test{path}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        client_async(request, ours).await.map(|(socket, _)| socket)
    }

    /// Returns the status and the detail of a refusal.
    async fn refusal(&self, path: &str, headers: &[(&'static str, &'static str)]) -> String {
        match self.try_open(path, headers).await.expect_err("it is refused") {
            Error::Http(answer) => {
                let body: Value =
                    serde_json::from_slice(answer.body().as_deref().unwrap_or_default()).unwrap_or_default();
                format!("{} {}", answer.status().as_u16(), body["detail"].as_str().unwrap_or_default())
            }
            other => panic!("{other:?}"),
        }
    }

    /// Returns the language and the user of each request so far.
    fn records(&self) -> Vec<(Language, String)> {
        self.router.recorder().ledger().all().iter().map(|record| (record.language, record.user.to_string())).collect()
    }
}

async fn send(socket: &mut Socket, message: &Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

/// Returns the next answer; at the end of the socket how it was closed.
async fn next(socket: &mut Socket) -> Result<Value, Option<CloseCode>> {
    loop {
        match timeout(Duration::from_secs(600), socket.next()).await.expect("an answer comes") {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code)),
            Some(Err(_)) | None => return Err(None),
            Some(Ok(other)) => panic!("{other:?}"),
        }
    }
}

async fn ask(socket: &mut Socket, message: &Value) -> Value {
    send(socket, message).await;
    next(socket).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_connection_are_answered_in_their_order() {
    let server = TestServer::start().await;
    let mut socket = server.open("/python").await;
    for (code, input) in
        [("sleep 3s; print Enter your name:; read", Some("Alice")), ("print 2; eprint careful", None), ("read", None)]
    {
        send(&mut socket, &json!({ "code": code, "input": input })).await;
    }
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(next(&mut socket).await.unwrap());
    }
    assert_eq!(answers[0], json!({ "status": "success", "output": "Enter your name:\nAlice", "error": "" }));
    assert_eq!(answers[1], json!({ "status": "success", "output": "2\ncareful", "error": "" }));
    assert_eq!((&answers[2]["status"], &answers[2]["output"]), (&json!("error"), &json!("")));
    assert!(answers[2]["error"].as_str().unwrap().contains("EOFError"), "{}", answers[2]);
}

#[tokio::test(start_paused = true)]
async fn every_end_of_a_program_but_success_is_an_error_with_its_reason() {
    let server = TestServer::start().await;
    let mut socket = server.open("/").await;
    let mut ends = Vec::new();
    for code in ["print a; raise ValueError b", "print a; exit 3", "alloc 4000", "spin", "kill", "fault unavailable"] {
        let answer = ask(&mut socket, &json!({ "code": code })).await;
        let last = answer["error"].as_str().unwrap().lines().last().unwrap_or_default().to_owned();
        ends.push(format!("{} {} | {last}", answer["status"].as_str().unwrap(), answer["output"]));
    }
    insta::assert_snapshot!(ends.join("\n"), @r#"
    error "a" | ValueError: b
    error "a" | the program ended with the exit code 3
    error "" | the program exceeded its memory limit
    error "" | the program exceeded its time limit
    error "" | the program was ended by a signal, or destroyed its own interpreter
    error "" | unavailable: python: unavailable: as scripted
    "#);
}

#[tokio::test(start_paused = true)]
async fn the_path_or_the_message_chooses_the_language() {
    let server = TestServer::start().await;
    for path in ["/", "/python", "/javascript", "/js", "/cpp"] {
        ask(&mut server.open(path).await, &json!({ "code": "print 1" })).await;
    }
    let mut any = server.open("/").await;
    for language in ["c++", "javascript", "python"] {
        ask(&mut any, &json!({ "code": "print 1", "language": language })).await;
    }
    use Language::{Cpp, JavaScript, Python};
    let languages: Vec<Language> = server.records().into_iter().map(|(language, _)| language).collect();
    assert_eq!(languages, [Python, Python, JavaScript, JavaScript, Cpp, Cpp, JavaScript, Python]);

    let mut problems = vec![
        ask(&mut any, &json!({ "code": "1", "language": "ruby" })).await["error"].clone(),
        ask(&mut any, &json!({ "code": "1", "language": "bash" })).await["error"].clone(),
    ];
    let mut python = server.open("/python").await;
    problems.push(ask(&mut python, &json!({ "code": "1", "language": "cpp" })).await["error"].clone());
    problems.push(server.refusal("/bash", &[]).await.into());
    problems.push(server.refusal("/python/2", &[]).await.into());
    let problems: Vec<&str> = problems.iter().map(|problem| problem.as_str().unwrap()).collect();
    insta::assert_snapshot!(problems.join("\n"), @r#"
    language must be one of python, javascript, cpp, not "ruby"
    language must be one of python, javascript, cpp, not "bash"
    language must be python on /python: leave it out, or connect to another path
    404 there is no executor at /bash: the paths are /, /python, /javascript, /cpp
    404 there is no executor at /python/2: the paths are /, /python, /javascript, /cpp
    "#);
    assert_eq!(ask(&mut python, &json!({ "code": "print 1", "language": "py" })).await["output"], "1");
}

#[tokio::test(start_paused = true)]
async fn a_bad_message_is_answered_and_the_connection_stays() {
    let server = TestServer::start().await;
    let mut socket = server.open("/").await;
    let long = json!({ "code": "#".repeat(1001) }).to_string();
    let mut problems = Vec::new();
    for text in ["no json", "[1]", "{}", r#"{"code":1}"#, r#"{"code":"1","stdin":""}"#, long.as_str()] {
        socket.send(Message::text(text)).await.unwrap();
        let answer = next(&mut socket).await.unwrap();
        assert_eq!((&answer["status"], &answer["output"]), (&json!("error"), &json!("")));
        problems.push(answer["error"].as_str().unwrap().to_owned());
    }
    socket.send(Message::binary("{}")).await.unwrap();
    problems.push(next(&mut socket).await.unwrap()["error"].as_str().unwrap().to_owned());
    insta::assert_snapshot!(problems.join("\n"), @r#"
    the message is not JSON: expected ident at line 1 column 2
    the body must be an object, not a list
    code must be a string; it is missing
    code must be a string, not 1
    there is no field stdin: known here are code, language, input
    code must be at most 1000 bytes, this has 1001
    a message must be text: a JSON object with code, and input if it has any
    "#);
    assert_eq!(ask(&mut socket, &json!({ "code": "print 1" })).await["status"], "success");
    assert_eq!(server.records().len(), 1, "none of the others became a request");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_long_is_answered_after_those_before_it_and_closes_the_connection() {
    let server = TestServer::start().await;
    let mut socket = server.open("/").await;
    send(&mut socket, &json!({ "code": "sleep 2s; print 1" })).await;
    send(&mut socket, &json!({ "code": "#".repeat(80_000) })).await;
    assert_eq!(next(&mut socket).await.unwrap()["output"], "1");
    let refused = next(&mut socket).await.unwrap();
    assert_eq!(refused, json!({ "status": "error", "output": "", "error": "the message has more than 69536 bytes" }));
    assert_eq!(next(&mut socket).await, Err(Some(CloseCode::Size)));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_disconnects_ends_its_program() {
    let server = TestServer::start().await;
    let running = || server.router.tiers().statuses().iter().map(|status| status.running).sum::<usize>();
    // Also where so many messages wait that no more are read.
    for messages in [1, 20] {
        let mut socket = server.open("/").await;
        for _ in 0..messages {
            send(&mut socket, &json!({ "code": "spin" })).await;
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(running(), 1);
        drop(socket);
        sleep(Duration::from_secs(3)).await;
        assert_eq!(running(), 0, "{messages} messages");
    }
}

#[tokio::test(start_paused = true)]
async fn connections_of_a_caller_and_of_all_are_limited_and_need_its_key() {
    let keys = [("ada".to_owned(), KEY.to_owned()), ("bob".to_owned(), "fedcba9876543210".to_owned())].into();
    let http = service::Config { keys, ..service::Config::default() };
    let config = Config { max_connections: 3, max_connections_per_caller: 2, ..Config::default() };
    let server = TestServer::start_with(config, http, quota::Config::default()).await;
    let (ada, bob) = ([("x-api-key", KEY)], [("authorization", "Bearer fedcba9876543210")]);
    let mut problems = vec![server.refusal("/", &[]).await, server.refusal("/", &[("x-api-key", "wrong")]).await];
    let mut first = server.try_open("/", &ada).await.unwrap();
    let _second = server.try_open("/python", &ada).await.unwrap();
    problems.push(server.refusal("/", &ada).await);
    let _third = server.try_open("/", &bob).await.unwrap();
    problems.push(server.refusal("/", &bob).await);
    insta::assert_snapshot!(problems.join("\n"), @r#"
    401 send Authorization: Bearer KEY, or X-API-Key: KEY
    401 unknown API key
    429 2 WebSockets of this caller are open, which is the limit (executors.max_connections_per_caller): close one
    503 3 WebSockets are open, which is the limit (executors.max_connections)
    "#);
    assert_eq!(ask(&mut first, &json!({ "code": "print 1" })).await["output"], "1");
    assert_eq!(server.records()[0].1, "ada");
    // One that closes makes place for another.
    first.close(None).await.unwrap();
    assert!(next(&mut first).await.is_err());
    sleep(Duration::from_secs(1)).await;
    server.try_open("/", &bob).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn messages_count_in_the_rate_limit_of_their_caller() {
    let quota = quota::Config { per_minute: 1, burst: 2 };
    let server = TestServer::start_with(Config::default(), service::Config::default(), quota).await;
    let mut socket = server.open("/").await;
    for _ in 0..2 {
        assert_eq!(ask(&mut socket, &json!({ "code": "print 1" })).await["status"], "success");
    }
    let refused = ask(&mut socket, &json!({ "code": "print 1" })).await;
    assert!(refused["error"].as_str().unwrap().starts_with("rate limit exceeded; retry after"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_lets_a_program_end_refuses_what_waits_and_closes() {
    let server = TestServer::start().await;
    let (mut busy, mut idle) = (server.open("/").await, server.open("/").await);
    for code in ["sleep 3s; print 1", "print 2"] {
        send(&mut busy, &json!({ "code": code })).await;
    }
    sleep(Duration::from_secs(1)).await;
    drop(server.stop);
    assert_eq!(next(&mut idle).await, Err(Some(CloseCode::Away)));
    assert_eq!(next(&mut busy).await.unwrap()["output"], "1");
    assert_eq!(next(&mut busy).await.unwrap()["error"], "the server is shutting down");
    assert_eq!(next(&mut busy).await, Err(Some(CloseCode::Away)));
    drop((busy, idle));
    assert_eq!(server.done.await.unwrap(), Drained::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_does_not_end_is_ended_with_its_server_and_its_client_is_told() {
    let server = TestServer::start().await;
    let mut socket = server.open("/").await;
    send(&mut socket, &json!({ "code": "sleep 20s; print 1" })).await;
    sleep(Duration::from_secs(1)).await;
    drop(server.stop);
    let answer = next(&mut socket).await.unwrap();
    assert!(answer["error"].as_str().unwrap().contains("the program was ended before its own end"), "{answer}");
    assert_eq!(next(&mut socket).await, Err(Some(CloseCode::Away)));
}

#[tokio::test(start_paused = true)]
async fn a_page_of_another_origin_opens_none_and_one_that_answers_no_ping_is_closed() {
    let server = TestServer::start().await;
    assert!(server.refusal("/", &[("origin", "http://evil.test")]).await.starts_with("403 "));
    let mut own = server.try_open("/", &[("origin", "http://tower.test")]).await.unwrap();
    // It reads, and so answers pings, for a while; then it does not.
    let answering = timeout(Duration::from_secs(300), own.next());
    assert!(answering.await.unwrap().unwrap().is_ok());
    sleep(Duration::from_secs(600)).await;
    let began = Instant::now();
    while own.next().await.is_some_and(|message| message.is_ok()) {}
    assert!(began.elapsed() < Duration::from_secs(1), "the server has closed it");
}
