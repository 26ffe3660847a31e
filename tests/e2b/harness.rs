//! A client of the E2B API that sends the requests of the SDKs.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, Response};
use serde_json::{Value, json};
use switchtower_core::request::RequestLimits;
use switchtower_server::api;
use switchtower_server::e2b;
use switchtower_server::service::Config;
use tower::ServiceExt as _;

use crate::session::harness::{Plan, TestHarness};

pub(super) const ENVD: u16 = 49983;
pub(super) const INTERPRETER: u16 = 49999;

pub(super) struct Client {
    pub(super) harness: TestHarness,
    pub(super) app: axum::Router,
    pub(super) key: &'static str,
}

/// A sandbox with the tokens that its creation returned.
pub(super) struct Sandbox {
    pub(super) id: String,
    pub(super) token: String,
    pub(super) traffic: String,
}

impl Client {
    pub(super) fn new() -> Self {
        Self::over(TestHarness::new(), &Config::default())
    }

    pub(super) fn without_machines() -> Self {
        Self::over(TestHarness::without_machines(), &Config::default())
    }

    pub(super) fn with_plan(plan: Plan) -> Self {
        Self::over(TestHarness::with_plan(plan), &Config::default())
    }

    pub(super) fn over(harness: TestHarness, config: &Config) -> Self {
        let (request_limits, sessions) = (RequestLimits::default(), Some(harness.sessions.clone()));
        let state = api::AppState { request_limits: request_limits.clone(), sessions, ..api::AppState::default() };
        let native = api::app(harness.router.clone(), config, state);
        let app = e2b::app(native, harness.sessions.clone(), config, &request_limits);
        Self { harness, app, key: "e2b_one" }
    }

    /// Moves a sandbox to a machine, by a command.
    pub(super) async fn promote(&self, sandbox: &Sandbox) {
        let process = json!({ "process": { "cmd": "/bin/true" } });
        let started = self.send(sandbox.streamed("process.Process/Start", &process)).await;
        assert_eq!((started.status, started.header("x-answered-by")), (200, "machine"), "{}", started.text);
    }

    pub(super) async fn respond(&self, request: Request<Body>) -> Response<Body> {
        self.app.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
    }

    /// Sends a request to a port of debug mode.
    pub(super) async fn send_to_debug_port(&self, port: u16, request: Request<Body>) -> Answer {
        let app = e2b::debug::app(port, self.app.clone());
        Answer::read(app.oneshot(request).await.unwrap_or_else(|never| match never {})).await
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::read(self.respond(request).await).await
    }

    /// Sends a call to the control plane.
    pub(super) async fn call(&self, call: &str, body: Value) -> Answer {
        let (method, path) = call.split_once(' ').unwrap();
        let request = Request::builder().method(method).uri(path).header("x-api-key", self.key);
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.send(request.header("content-type", "application/json").body(body).unwrap()).await
    }

    pub(super) async fn create(&self, options: Value) -> Sandbox {
        let mut body = json!({ "templateID": "code-interpreter-v1" });
        body.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let answer = self.call("POST /v2/sandboxes", body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let text = |name: &str| answer.json[name].as_str().unwrap().to_owned();
        Sandbox { id: text("sandboxID"), token: text("envdAccessToken"), traffic: text("trafficAccessToken") }
    }

    /// Runs a cell and returns its rows in short, without their times.
    pub(super) async fn execute(&self, sandbox: &Sandbox, code: &str) -> String {
        let answer = self.send(sandbox.cell(&json!({ "code": code }))).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.lines()
    }
}

impl Sandbox {
    /// Returns a call to a port of the sandbox.
    pub(super) fn to(&self, port: u16, call: &str, body: impl Into<Body>) -> Request<Body> {
        let (method, path) = call.split_once(' ').unwrap();
        let request = Request::builder().method(method).uri(path).header("host", "localhost:3001");
        let request = request.header("e2b-sandbox-id", &self.id).header("e2b-sandbox-port", port);
        request.header("x-access-token", &self.token).body(body.into()).unwrap()
    }

    pub(super) fn cell(&self, body: &Value) -> Request<Body> {
        self.to(INTERPRETER, "POST /execute", body.to_string())
    }

    /// Returns a unary call to envd.
    pub(super) fn rpc(&self, method: &str, message: &Value) -> Request<Body> {
        with(self.to(ENVD, &format!("POST /{method}"), message.to_string()), "content-type", "application/json")
    }

    /// Returns a call to envd that is answered by a stream.
    pub(super) fn streamed(&self, method: &str, message: &Value) -> Request<Body> {
        let request = self.to(ENVD, &format!("POST /{method}"), framed(message));
        with(request, "content-type", "application/connect+json")
    }
}

pub(super) fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

pub(super) fn without(mut request: Request<Body>, name: &str) -> Request<Body> {
    request.headers_mut().remove(name);
    request
}

fn framed(message: &Value) -> Vec<u8> {
    let message = message.to_string();
    [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message.as_bytes()].concat()
}

/// Returns the messages of a stream as `flag message`.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<String> {
    let mut frames = Vec::new();
    while let Some(([flag, length @ ..], rest)) = bytes.split_first_chunk::<5>() {
        let (message, after) = rest.split_at(u32::from_be_bytes(*length) as usize);
        frames.push(format!("{flag} {}", String::from_utf8_lossy(message)));
        bytes = after;
    }
    frames
}

/// A response with its whole body.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) bytes: Vec<u8>,
    /// Empty if the body is not text.
    pub(super) text: String,
    /// Null if the body is not JSON.
    pub(super) json: Value,
}

impl Answer {
    async fn read(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        let text = String::from_utf8(bytes.clone()).unwrap_or_default();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Self { status: head.status.as_u16(), headers: head.headers, bytes, text, json }
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the status and the body: `200 text`.
    pub(super) fn status_and_body(&self) -> String {
        format!("{} {}", self.status, self.text)
    }

    /// Returns the rows of a cell in short: `number 1 | stdout a | result 3 | error N: v | end`.
    pub(super) fn lines(&self) -> String {
        let line = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| line[name].as_str().unwrap_or_default().trim_end().to_owned();
            match line["type"].as_str().unwrap() {
                "number_of_executions" => format!("number {}", line["execution_count"]),
                "error" => format!("error {}: {}", text("name"), text("value")),
                "end_of_execution" => "end".to_owned(),
                kind => format!("{kind} {}", text("text")).trim_end().to_owned(),
            }
        };
        self.text.lines().map(line).collect::<Vec<_>>().join(" | ")
    }
}
