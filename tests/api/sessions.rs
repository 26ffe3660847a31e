//! Sessions through the native API, over scripted kernels. Every answer is validated against the OpenAPI document.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use switchtower_core::memory::{self, MemoryAccount};
use switchtower_core::session;
use switchtower_server::service::Config;
use tokio::time::{Instant, sleep, timeout};

use crate::api::harness::{Answer, TestHarness};
use crate::api::openapi::{assert_events_match, assert_matches, document};
use crate::kernels::ScriptedKernels;

const ADA: &str = "key-of-ada-0123456789";
const BOB: &str = "key-of-bob-0123456789";

/// A client of a harness with sessions, with the key that it sends.
struct Client {
    harness: TestHarness,
    kernels: ScriptedKernels,
    document: Value,
    key: &'static str,
}

impl Client {
    fn new() -> Self {
        Self::with(&session::Config::default())
    }

    fn with(settings: &session::Config) -> Self {
        let kernels = ScriptedKernels::replayable();
        let keys = [("ada", ADA), ("bob", BOB)].map(|(name, key)| (name.to_owned(), key.to_owned()));
        let config = Config { keys: keys.into(), ..Config::default() };
        let harness = TestHarness::with_sessions(&config, settings, vec![("wasm", Arc::new(kernels.clone()))]);
        Self { harness, kernels, document: document(), key: ADA }
    }

    /// A client of a server on which each caller may hold this many bytes.
    fn with_share(per_caller: u64) -> Self {
        let kernels = ScriptedKernels::replayable();
        let keys = [("ada", ADA), ("bob", BOB)].map(|(name, key)| (name.to_owned(), key.to_owned()));
        let config = Config { keys: keys.into(), ..Config::default() };
        let memory = MemoryAccount::new(&memory::Config { total: 4 * per_caller, per_caller });
        let tiers: Vec<(&str, Arc<dyn switchtower_contract::Backend>)> = vec![("wasm", Arc::new(kernels.clone()))];
        let harness = TestHarness::with_memory(&config, &session::Config::default(), memory, tiers);
        Self { harness, kernels, document: document(), key: ADA }
    }

    fn with_machines() -> Self {
        let (kernels, machines) = (ScriptedKernels::replayable(), ScriptedKernels::machines());
        let tiers: Vec<(&str, Arc<dyn switchtower_contract::Backend>)> =
            vec![("wasm", Arc::new(kernels.clone())), ("e2b", Arc::new(machines))];
        let harness = TestHarness::with_sessions(&Config::default(), &session::Config::default(), tiers);
        Self { harness, kernels, document: document(), key: ADA }
    }

    fn request(&self, method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
        let request = Request::builder().method(method).uri(path).header("x-api-key", self.key);
        request.header("content-type", "application/json").body(body.into()).unwrap()
    }

    async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        let answer = self.harness.send(self.request(method, path, body)).await;
        assert_matches(&self.document, &method.to_lowercase(), &path_template(path), &answer);
        answer
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Body::empty()).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, Body::empty()).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, body.to_string()).await
    }

    /// Opens a session and returns its path.
    async fn open(&self, body: Value) -> String {
        let answer = self.post("/v1/sessions", body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let path = answer.header("location").to_owned();
        assert_eq!(path, format!("/v1/sessions/{}", answer.json["id"].as_str().unwrap()));
        path
    }

    async fn execute(&self, session: &str, body: Value) -> Answer {
        self.post(&format!("{session}/execute"), body).await
    }

    /// Runs a cell that must finish, and returns its result or else its output.
    async fn run(&self, session: &str, code: &str) -> String {
        let answer = self.execute(session, json!({ "code": code })).await;
        assert_eq!((answer.status, &answer.json["exit"]), (200, &json!("finished")), "{}", answer.text);
        let shown = answer.json["results"][0]["data"]["text/plain"].as_str();
        shown.or(answer.json["stdout"].as_str()).unwrap().to_owned()
    }
}

/// Returns the path as the OpenAPI document has it, with names for the ids.
fn path_template(path: &str) -> String {
    let mut steps: Vec<&str> = path.split('?').next().unwrap().split('/').collect();
    for (at, name) in [(3, "{id}"), (5, "{context}")] {
        if let Some(step) = steps.get_mut(at) {
            *step = name;
        }
    }
    steps.join("/")
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_new_session_is_described_in_full_and_needs_no_body() {
    let client = Client::new();
    let body = json!({ "idle_ms": 60_000, "env": { "WHO": "ada" }, "metadata": { "project": "engine" } });
    let answer = client.post("/v1/sessions", body).await;
    let mut body = answer.json.clone();
    for id in ["/id", "/contexts/0/id"] {
        let id = body.pointer_mut(id).unwrap();
        assert!(id.as_str().is_some_and(|id| id.len() > 20), "{id}");
        *id = json!("…");
    }
    insta::assert_snapshot!(serde_json::to_string(&body).unwrap(), @r#"
{"contexts":[{"folder":"/home/user","id":"…"}],"created_at":"2025-07-31T02:14:51.023Z","expires_at":"2025-07-31T02:15:51.023Z","id":"…","idle_ms":60000,"metadata":{"project":"engine"},"state":"running","tier":"local"}
"#);
    let path = answer.header("location").to_owned();
    assert_eq!(client.get(&path).await.json, answer.json);
    assert_eq!(client.run(&path, "env WHO").await, "ada\n");

    let bare = Request::post("/v1/sessions").header("x-api-key", ADA).body(Body::empty()).unwrap();
    let bare = client.harness.send(bare).await;
    assert_eq!((bare.status, &bare.json["idle_ms"]), (201, &json!(900_000)));
    assert_eq!(client.kernels.opened(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_session_keeps_a_state_of_its_own_from_cell_to_cell() {
    let client = Client::new();
    let (one, other) = (client.open(json!({})).await, client.open(json!({})).await);
    client.run(&one, "x = 3").await;
    client.run(&other, "x = 4").await;
    assert_eq!((client.run(&one, "x").await, client.run(&other, "x").await), ("3".to_owned(), "4".to_owned()));
    let answer = client.execute(&one, json!({ "code": "print so far\nraise KeyError: none" })).await;
    let mut body = answer.json.clone();
    body["id"] = json!("…");
    insta::assert_snapshot!(serde_json::to_string_pretty(&body).unwrap(), @r#"
{
  "decision": {
    "class": "unknown",
    "reason": "the program does not parse; the cheapest tier reports the error",
    "route": [
      {
        "budget_ms": null,
        "tier": "wasm"
      }
    ],
    "rule": "default.unreadable",
    "score": 0.0
  },
  "error": {
    "line": 2,
    "name": "KeyError",
    "traceback": "line 2\nKeyError: none\n",
    "value": "none"
  },
  "exit": "raised",
  "exit_code": 1,
  "id": "…",
  "moved": null,
  "note": null,
  "number": 3,
  "restarted": false,
  "results": [],
  "stderr": "",
  "stdout": "so far\n",
  "tier": "wasm",
  "truncated": false,
  "usage": {
    "cpu_ms": 0.0,
    "memory_mb": 1.0,
    "wall_ms": 0.0
  }
}
"#);
    assert_eq!(client.run(&one, "x").await, "3");
}

#[tokio::test(start_paused = true)]
async fn a_cell_gets_its_input_variables_and_files() {
    let client = Client::new();
    let session = client.open(json!({ "env": { "A": "session" } })).await;
    let body = json!({
        "code": "env A\ninput\nread /home/user/in.txt\nread /tmp/b", "env": { "A": "cell" }, "stdin": "typed\n",
        "files": [{ "path": "in.txt", "content": "one\n" }, { "path": "/tmp/b", "base64": "dHdvCg==" }],
    });
    let answer = client.execute(&session, body).await;
    assert_eq!(answer.json["stdout"], "cell\ntyped\none\ntwo\n", "{}", answer.text);
    assert_eq!(client.run(&session, "env A\nread /tmp/b").await, "session\ntwo\n");
}

#[tokio::test(start_paused = true)]
async fn a_caller_cannot_use_the_sessions_of_another() {
    let mut client = Client::new();
    let first = client.open(json!({})).await;
    sleep(seconds(1)).await;
    let second = client.open(json!({})).await;
    let mine = client.get("/v1/sessions").await;
    let ids = |answer: &Answer| {
        let all = answer.json["sessions"].as_array().unwrap().iter();
        all.map(|session| format!("/v1/sessions/{}", session["id"].as_str().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(ids(&mine), [second, first.clone()]);
    client.key = BOB;
    assert!(ids(&client.get("/v1/sessions").await).is_empty());
    assert_eq!(client.get(&first).await.status, 404);
    assert_eq!(client.delete(&first).await.status, 404);
    assert_eq!(client.execute(&first, json!({ "code": "x" })).await.status, 404);
    assert_eq!(client.get(&format!("{first}/files?path=/tmp/a")).await.status, 404);
    client.key = "nobody";
    assert_eq!(client.get("/v1/sessions").await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_ends_after_its_timeout_and_a_used_one_does_not() {
    let client = Client::new();
    let (used, idle) =
        (client.open(json!({ "idle_ms": 60_000 })).await, client.open(json!({ "idle_ms": 60_000 })).await);
    sleep(seconds(59)).await;
    // Reading a session does not count as use.
    assert_eq!(client.get(&idle).await.status, 200);
    client.run(&used, "x = 3").await;
    sleep(seconds(2)).await;
    assert_eq!(client.get(&idle).await.status, 410);
    // A running cell counts as use.
    let long = client.execute(&used, json!({ "code": "sleep 200", "timeout_ms": 300_000 })).await;
    assert_eq!(long.json["exit"], "finished", "{}", long.text);
    sleep(seconds(59)).await;
    assert_eq!(client.run(&used, "x").await, "3");
    sleep(seconds(61)).await;
    let ended = client.execute(&used, json!({ "code": "x" })).await;
    assert_eq!((ended.status, ended.json["type"].as_str().unwrap()), (410, "urn:switchtower:problem:gone"));
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_answers_410_and_an_unknown_one_404() {
    let client = Client::new();
    let session = client.open(json!({})).await;
    let running = client.execute(&session, json!({ "code": "sleep 20" }));
    let ended = async {
        sleep(seconds(1)).await;
        assert_eq!(client.kernels.running(), 1);
        client.delete(&session).await.status
    };
    let (running, ended) = tokio::join!(running, ended);
    assert_eq!((running.status, ended, client.kernels.running()), (410, 204, 0));
    for (method, path) in [("GET", ""), ("DELETE", ""), ("POST", "/contexts"), ("GET", "/files?path=/tmp/a")] {
        let answer = client.send(method, &format!("{session}{path}"), Body::empty()).await;
        assert_eq!(answer.status, 410, "{method} {path}");
        let never = client.send(method, &format!("/v1/sessions/never{path}"), Body::empty()).await;
        assert_eq!((never.status, &never.json["detail"]), (404, &json!("there is no session never")));
    }
    assert!(client.get("/v1/sessions").await.json["sessions"].as_array().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn cells_of_one_context_run_in_sequence_and_those_of_two_concurrently() {
    let client = Client::new();
    let session = client.open(json!({})).await;
    let context = client.post(&format!("{session}/contexts"), json!({ "folder": "work" })).await;
    assert_eq!((context.status, &context.json["folder"]), (201, &json!("/home/user/work")));
    let cell = json!({ "code": "sleep 5" });
    let mut in_context = cell.clone();
    in_context["context"] = context.json["id"].clone();

    let began = Instant::now();
    let (one, two) = tokio::join!(client.execute(&session, cell.clone()), client.execute(&session, cell.clone()));
    assert_eq!((&one.json["number"], &two.json["number"]), (&json!(1), &json!(2)));
    assert_eq!(began.elapsed(), seconds(10));

    let began = Instant::now();
    let (one, two) = tokio::join!(client.execute(&session, cell), client.execute(&session, in_context));
    assert_eq!((&one.json["number"], &two.json["number"]), (&json!(3), &json!(1)));
    assert_eq!(began.elapsed(), seconds(5));
}

#[tokio::test(start_paused = true)]
async fn contexts_have_variables_of_their_own_and_are_restarted_and_closed() {
    let client = Client::new();
    let session = client.open(json!({})).await;
    let id = client.post(&format!("{session}/contexts"), json!({})).await.json["id"].as_str().unwrap().to_owned();
    let path = format!("{session}/contexts/{id}");
    let in_context = |code: &str| json!({ "code": code, "context": id });
    client.run(&session, "x = 3").await;
    client.execute(&session, in_context("x = 4")).await;
    assert_eq!(client.run(&session, "x").await, "3");
    assert_eq!(client.send("POST", &format!("{path}/restart"), Body::empty()).await.status, 204);
    let answer = client.execute(&session, in_context("x")).await;
    assert_eq!((&answer.json["error"]["name"], &answer.json["number"]), (&json!("NameError"), &json!(1)));
    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(client.delete(&path).await.status, 404);
    assert_eq!(client.send("POST", &format!("{path}/restart"), Body::empty()).await.status, 404);
    let answer = client.execute(&session, in_context("x")).await;
    assert_eq!((answer.status, &answer.json["field"]), (422, &json!("context")));
    for _ in 1..16 {
        assert_eq!(client.post(&format!("{session}/contexts"), json!({})).await.status, 201);
    }
    let refused = client.post(&format!("{session}/contexts"), json!({})).await;
    assert_eq!((refused.status, &refused.json["type"]), (429, &json!("urn:switchtower:problem:limit-reached")));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_disconnects_ends_its_cell_and_the_session_keeps_its_state() {
    let client = Client::new();
    let session = client.open(json!({})).await;
    client.run(&session, "x = 3").await;
    let cell = json!({ "code": "x = 4\nprint changed\nsleep 20" });
    assert!(timeout(seconds(2), client.execute(&session, cell.clone())).await.is_err());
    assert_eq!((client.kernels.running(), client.kernels.opened()), (0, 1));
    assert_eq!(client.run(&session, "x").await, "3");
    assert_eq!(client.kernels.opened(), 2);

    let mut events =
        client.harness.respond(event_stream(&client, &session, &cell)).await.into_body().into_data_stream();
    assert!(events.next().await.unwrap().unwrap().starts_with(b"event: began"));
    assert!(events.next().await.unwrap().unwrap().starts_with(b"event: stdout"));
    assert_eq!(client.kernels.running(), 1);
    drop(events);
    assert_eq!(client.kernels.running(), 0);
    assert_eq!(client.run(&session, "x").await, "3");
}

fn event_stream(client: &Client, session: &str, body: &Value) -> Request<Body> {
    let mut request = client.request("POST", &format!("{session}/execute"), body.to_string());
    request.headers_mut().insert("accept", "text/event-stream".parse().unwrap());
    request
}

#[tokio::test(start_paused = true)]
async fn the_event_stream_has_the_number_then_the_events_then_the_end() {
    let client = Client::new();
    let session = client.open(json!({})).await;
    client.run(&session, "x = 3").await;
    let cell = json!({ "code": "print one\nsleep 2\nx\nraise KeyError: four" });
    let answer = client.harness.send(event_stream(&client, &session, &cell)).await;
    assert_events_match(&client.document, "/v1/sessions/{id}/execute", &answer);
    insta::assert_snapshot!(answer.text, @r#"
event: began
data: {"number":2}

event: stdout
data: {"text":"one\n"}

event: result
data: {"data":{"text/plain":"3"},"main":true}

event: error
data: {"name":"KeyError","value":"four","traceback":"line 4\nKeyError: four\n","line":4}

event: end
data: {"id":"785403fedb0112b495692e3ef80f0fe7","number":2,"exit":"raised","exit_code":1,"truncated":false,"tier":"wasm","moved":null,"restarted":false,"decision":{"class":"unknown","score":0.0,"route":[{"tier":"wasm","budget_ms":null}],"rule":"default.unreadable","reason":"the program does not parse; the cheapest tier reports the error"},"usage":{"wall_ms":2000.0,"cpu_ms":0.0,"memory_mb":1.0},"note":null}
"#);
    // A refusal before the cell starts is a status; a failure after it is an event.
    let refused =
        client.harness.send(event_stream(&client, &session, &json!({ "code": "x", "context": "none" }))).await;
    assert_eq!((refused.status, refused.header("content-type")), (422, "application/problem+json"));
    let lost = client.harness.send(event_stream(&client, &session, &json!({ "code": "die" }))).await;
    assert_events_match(&client.document, "/v1/sessions/{id}/execute", &lost);
    assert!(lost.text.starts_with("event: began\n") && lost.text.contains("\n\nevent: problem\n"), "{}", lost.text);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_sessions_is_limited() {
    let mut client =
        Client::with(&session::Config { max_sessions: 3, max_per_caller: 2, ..session::Config::default() });
    let first = client.open(json!({})).await;
    client.open(json!({})).await;
    let refused = client.post("/v1/sessions", json!({})).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "5"));
    assert!(refused.json["detail"].as_str().unwrap().contains("one caller may have 2 sessions"), "{}", refused.text);
    client.key = BOB;
    client.open(json!({})).await;
    let refused = client.post("/v1/sessions", json!({})).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "5"));
    client.key = ADA;
    assert_eq!(client.delete(&first).await.status, 204);
    client.open(json!({})).await;
}

#[tokio::test(start_paused = true)]
async fn files_are_written_and_read_and_cells_see_them() {
    let client = Client::with(&session::Config { max_files_size: 1000, ..session::Config::default() });
    let session = client.open(json!({})).await;
    let at = |path: &str| format!("{session}/files?path={path}");
    assert_eq!(client.send("PUT", &at("/tmp/a"), "given").await.status, 204);
    assert_eq!(client.run(&session, "read /tmp/a").await, "given");
    client.run(&session, "write /home/user/b%41 made").await;
    let read = client.get(&at("b%2541")).await;
    assert_eq!(
        (read.status, read.text.as_str(), read.header("content-type")),
        (200, "made", "application/octet-stream")
    );
    for (method, path, status) in [
        ("GET", "/tmp/none", 404),
        ("GET", "/etc/hosts", 404),
        ("PUT", "/etc/hosts", 422),
        ("PUT", "/tmp/../etc/hosts", 422),
        ("GET", "/tmp", 422),
        ("PUT", "/tmp", 422),
    ] {
        assert_eq!(client.send(method, &at(path), "x").await.status, status, "{method} {path}");
    }
    let outside = client.send("PUT", &at("/etc/hosts"), "x").await;
    assert_eq!((&outside.json["field"], &outside.json["allowed"]), (&json!("path"), &json!(["/home/user", "/tmp"])));
    assert_eq!(client.send("PUT", &at("/tmp/c"), "x".repeat(1001)).await.status, 413);
    assert_eq!(client.send("PUT", &at("/tmp/c"), "x".repeat(1000)).await.status, 413);
    let unnamed = client.get(&format!("{session}/files")).await;
    assert_eq!((unnamed.status, &unnamed.json["field"]), (422, &json!("path")));
    let other = client.get(&format!("{}&user=root", at("/tmp/a"))).await;
    assert_eq!((other.status, &other.json["allowed"]), (422, &json!(["path"])));
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_kernel_was_lost_is_rebuilt_from_its_history() {
    let client = Client::new();
    let session = client.open(json!({})).await;
    client.run(&session, "x = 3\nwrite /tmp/a kept").await;
    // Lost while a cell runs: the kernel is rebuilt and the cell runs again.
    assert_eq!(client.run(&session, "die once\nx").await, "3");
    assert_eq!(client.kernels.opened(), 2);
    // Lost again by the same cell: the answer says so, and the session stays usable.
    assert_eq!(client.execute(&session, json!({ "code": "x = 4\ndie" })).await.status, 503);
    assert_eq!(client.run(&session, "x").await, "3");
    assert_eq!(client.run(&session, "read /tmp/a").await, "kept");
    // A kernel that ended itself loses its names.
    let end = client.execute(&session, json!({ "code": "exit" })).await;
    assert_eq!((&end.json["exit"], &end.json["restarted"]), (&json!("killed"), &json!(true)));
    let anew = client.execute(&session, json!({ "code": "x" })).await;
    assert_eq!((&anew.json["error"]["name"], &anew.json["number"]), (&json!("NameError"), &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_exceeds_its_time_limit_leaves_the_session_unchanged() {
    let client = Client::new();
    let session = client.open(json!({})).await;
    client.run(&session, "x = 3").await;
    let late = client.execute(&session, json!({ "code": "x = 4\nsleep 20", "timeout_ms": 1000 })).await;
    assert_eq!((&late.json["exit"], &late.json["restarted"]), (&json!("timed_out"), &json!(false)));
    assert_eq!(client.run(&session, "x").await, "3");
}

#[tokio::test(start_paused = true)]
async fn a_missing_module_is_an_exception_of_the_cell_with_a_note() {
    let client = Client::new();
    let session = client.open(json!({})).await;
    let answer = client.execute(&session, json!({ "code": "import pandas" })).await;
    assert_eq!((answer.status, &answer.json["error"]["name"]), (200, &json!("ModuleNotFoundError")));
    assert!(answer.json["note"].is_string(), "{}", answer.text);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_needs_a_machine_is_promoted_with_its_files() {
    let client = Client::with_machines();
    let session = client.open(json!({})).await;
    let at = |path: &str| format!("{session}/files?path={path}");
    client.send("PUT", &at("/tmp/a"), "given").await;
    assert_eq!(client.get(&session).await.json["tier"], "local");
    let moved = client.execute(&session, json!({ "code": "import pandas" })).await;
    assert_eq!((moved.status, &moved.json["tier"]), (200, &json!("e2b")), "{}", moved.text);
    assert!(moved.json["moved"].is_string(), "{}", moved.text);
    assert_eq!(client.get(&session).await.json["tier"], "e2b");
    assert_eq!(client.run(&session, "read /tmp/a\nwrite /etc/made there").await, "given");
    assert_eq!(client.get(&at("/etc/made")).await.text, "there");
    assert_eq!(client.send("PUT", &at("/etc/b"), "put").await.status, 204);
    let given = json!({ "code": "read /etc/b\nread /home/user/c", "files": [{ "path": "c", "content": " given" }] });
    let answer = client.execute(&session, given).await;
    assert_eq!((&answer.json["stdout"], &answer.json["moved"]), (&json!("put given"), &Value::Null));
    assert_eq!(client.get(&at("/etc/none")).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_the_field_and_what_is_allowed() {
    let client = Client::new();
    let session = client.open(json!({})).await;
    let (cells, contexts) = (format!("{session}/execute"), format!("{session}/contexts"));
    let mut text = String::new();
    for (path, body) in [
        ("/v1/sessions", json!({ "timeout_ms": 5 })),
        ("/v1/sessions", json!({ "idle_ms": 999 })),
        ("/v1/sessions", json!({ "idle_ms": 86_400_001 })),
        ("/v1/sessions", json!({ "env": { "A=": "" } })),
        ("/v1/sessions", json!({ "metadata": { "a": "x".repeat(64 << 10) } })),
        (&cells, json!({ "code": "x", "cache": "use" })),
        (&cells, json!({})),
        (&cells, json!({ "code": "x", "timeout_ms": 0 })),
        (&cells, json!({ "code": "x".repeat((1 << 20) + 1) })),
        (&cells, json!({ "code": "x", "files": [{ "path": "../a", "content": "" }] })),
        (&contexts, json!({ "cwd": "/" })),
        (&contexts, json!({ "folder": 3 })),
    ] {
        let answer = client.post(path, body).await;
        assert_eq!(answer.status, 422, "{path}: {}", answer.text);
        text.push_str(&format!("{} {}: {}\n", path_template(path), answer.json["field"], answer.json["detail"]));
    }
    insta::assert_snapshot!(text, @r#"
/v1/sessions "timeout_ms": "there is no field timeout_ms: known here are idle_ms, env, metadata"
/v1/sessions "idle_ms": "idle_ms must be between 1000 and 86400000"
/v1/sessions "idle_ms": "idle_ms must be between 1000 and 86400000"
/v1/sessions "env": "env must be variables whose names are not empty and contain neither '=' nor NUL"
/v1/sessions "metadata": "metadata must be at most 65536 bytes, this has 65537"
/v1/sessions/{id}/execute "cache": "there is no field cache: known here are code, context, language, env, stdin, timeout_ms, files"
/v1/sessions/{id}/execute "code": "code must be a string; it is missing"
/v1/sessions/{id}/execute "timeout_ms": "timeout_ms must be between 1 and 300000"
/v1/sessions/{id}/execute "code": "code must be at most 1048576 bytes, this has 1048577"
/v1/sessions/{id}/execute "files": "files must be at paths that are not empty and contain neither NUL nor '..'"
/v1/sessions/{id}/contexts "cwd": "there is no field cwd: known here are language, folder"
/v1/sessions/{id}/contexts "folder": "folder must be a string, not 3"
"#);
    for (call, field) in [
        ("GET /v1/sessions/%ff", "id"),
        ("DELETE /v1/sessions/a%C3", "id"),
        ("POST /v1/sessions/%ff/execute", "id"),
        ("POST /v1/sessions/%ff/contexts", "id"),
        ("DELETE /v1/sessions/a/contexts/%ff", "context"),
        ("POST /v1/sessions/a/contexts/%ff/restart", "context"),
        ("GET /v1/sessions/%ff/files?path=/tmp/a", "id"),
        ("PUT /v1/sessions/%ff/files?path=/tmp/a", "id"),
    ] {
        let (method, path) = call.split_once(' ').unwrap();
        let answer = client.send(method, path, "{}").await;
        assert_eq!((answer.status, &answer.json["field"]), (422, &json!(field)), "{call}: {}", answer.text);
        assert_eq!(answer.json["detail"], format!("{field} must be UTF-8 after percent-decoding"), "{call}");
    }
    for path in ["/v1/sessions/%00", "/v1/sessions/%2F..%2F", "/v1/sessions/%F0%9F%98%80", "/v1/sessions/%zz"] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
    let answer = client.harness.send(client.request("PATCH", &session, Body::empty())).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD, DELETE"));
}

#[tokio::test(start_paused = true)]
async fn a_caller_beyond_its_share_gets_all_numbers_and_others_are_unaffected() {
    let mut client = Client::with_share(200_000);
    let session = client.open(json!({})).await;
    let write = format!("{session}/files?path=a");
    assert_eq!(client.send("PUT", &write, vec![7; 100_000]).await.status, 204);
    let refused = client.send("PUT", &format!("{session}/files?path=b"), vec![7; 100_000]).await;
    assert_eq!((refused.status, &refused.json["type"]), (507, &json!("urn:switchtower:problem:no-space")));
    let number = |name: &str| refused.json[name].as_u64().unwrap();
    assert_eq!(number("allowed"), 200_000);
    assert!(number("held") > 100_000 && number("wanted") >= 67_000, "{}", refused.text);
    // A program with files of that size is refused too, before it runs.
    let file = json!({ "path": "f", "content": "x".repeat(70_000) });
    let refused = client.post("/v1/execute", json!({ "code": "1", "files": [file] })).await;
    assert_eq!(refused.status, 507);
    // A small cell still runs, and can free memory.
    assert_eq!(client.run(&session, "x = 1\nx").await, "1");
    client.key = BOB;
    let other = client.open(json!({})).await;
    assert_eq!(client.send("PUT", &format!("{other}/files?path=a"), vec![7; 100_000]).await.status, 204);
    client.key = ADA;
    client.delete(&session).await;
    let session = client.open(json!({})).await;
    assert_eq!(client.send("PUT", &format!("{session}/files?path=b"), vec![7; 100_000]).await.status, 204);
}
