//! A client that calls the stand-in as a service, without a port.

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use switchtower_fake_e2b::{Fake, KernelMode, Plan, Settings};
use tower::ServiceExt;

pub(crate) struct Client {
    pub(crate) fake: Fake,
}

/// A response, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// The body broke off before its end.
    pub(crate) cut: bool,
}

/// The id and the token of a sandbox.
#[derive(Debug, Clone)]
pub(crate) struct SandboxHandle {
    pub(crate) id: String,
    pub(crate) token: String,
}

/// Scripted kernels, no limits.
pub(crate) fn settings() -> Settings {
    Settings { plan: Plan::Unlimited, kernels: KernelMode::scripted(), ..Settings::default() }
}

impl Client {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { fake: Fake::new(settings) }
    }

    pub(crate) async fn with_faults(faults: &str) -> Self {
        Self::new(Settings { faults: faults.parse().unwrap(), ..settings() })
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, body, None).await
    }

    async fn send(&self, method: &str, path: &str, body: &Value, sandbox: Option<&SandboxHandle>) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("x-api-key", "e2b_any");
        request = request.header("content-type", "application/json");
        if let Some(sandbox) = sandbox {
            request = request.header("e2b-sandbox-id", &sandbox.id).header("e2b-sandbox-port", "49999");
            request = request.header("x-access-token", &sandbox.token);
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let response = self.fake.app().oneshot(request.body(body).unwrap()).await.unwrap();
        let (head, mut body) = response.into_parts();
        let mut answer = Answer { status: head.status, headers: head.headers, text: String::new(), cut: false };
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => answer.text.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap())),
                Err(_) => answer.cut = true,
            }
        }
        answer
    }

    pub(crate) async fn create(&self) -> Answer {
        self.create_with(json!({"templateID": "base"})).await
    }

    pub(crate) async fn create_with(&self, body: Value) -> Answer {
        self.call("POST", "/v2/sandboxes", &body).await
    }

    pub(crate) async fn open(&self) -> SandboxHandle {
        self.create().await.sandbox()
    }

    pub(crate) async fn call_sandbox(&self, sandbox: &SandboxHandle, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, body, Some(sandbox)).await
    }

    pub(crate) async fn run(&self, sandbox: &SandboxHandle, code: &str) -> Answer {
        self.call_sandbox(sandbox, "POST", "/execute", &json!({ "code": code })).await
    }

    pub(crate) async fn get(&self, sandbox: &SandboxHandle) -> Answer {
        self.call("GET", &format!("/sandboxes/{}", sandbox.id), &Value::Null).await
    }

    pub(crate) async fn kill(&self, sandbox: &SandboxHandle) -> Answer {
        self.call("DELETE", &format!("/sandboxes/{}", sandbox.id), &Value::Null).await
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub(crate) fn rows(&self) -> Vec<Value> {
        self.text.lines().map(|row| serde_json::from_str(row).unwrap()).collect()
    }

    pub(crate) fn row_types(&self) -> Vec<String> {
        self.rows().iter().map(|line| line["type"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn sandbox(&self) -> SandboxHandle {
        assert_eq!(self.status, StatusCode::CREATED, "{}", self.text);
        let text = |name: &str| self.json()[name].as_str().unwrap().to_owned();
        SandboxHandle { id: text("sandboxID"), token: text("envdAccessToken") }
    }
}
