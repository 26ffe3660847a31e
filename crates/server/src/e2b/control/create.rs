//! Creates sandboxes, and refuses options that this server cannot keep.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::Value;
use switchtower_core::error::{Error, Kind};
use switchtower_core::session::{AtEnd, CreateSession};
use switchtower_e2b_wire::control::{LONG_TIMEOUT_SECONDS, SHORT_TIMEOUT_SECONDS};

use super::super::debug::{self, DebugPort};
use super::super::response::{self, Refusal};
use super::super::state::E2bState;
use super::network::NetworkOptions;
use super::request::{ControlRequest, bad_request, check_rest, into_response, parse_timeout, unsupported};
use super::view;

/// What differs between the versions of the path.
#[derive(Clone, Copy)]
struct Version {
    /// The default time-out, in seconds.
    timeout: u64,
    /// Whether cells need no token where the request does not say so and the server allows that. Clients of that time send
    /// none.
    is_open: bool,
}

/// `POST /sandboxes`.
const V1: Version = Version { timeout: SHORT_TIMEOUT_SECONDS, is_open: true };
/// `POST /v2/sandboxes`.
const V2: Version = Version { timeout: LONG_TIMEOUT_SECONDS, is_open: false };

/// The body of a request for a sandbox.
#[derive(Deserialize)]
struct Options {
    #[serde(rename = "templateID")]
    template: String,
    timeout: Option<f64>,
    metadata: Option<BTreeMap<String, String>>,
    #[serde(rename = "envVars")]
    env: Option<BTreeMap<String, String>>,
    #[serde(rename = "autoPause")]
    auto_pause: Option<bool>,
    /// `true`, or a policy with `enabled`.
    #[serde(rename = "autoResume")]
    auto_resume: Option<Value>,
    allow_internet_access: Option<bool>,
    /// Whether calls need the sandbox's token.
    secure: Option<bool>,
    network: Option<NetworkOptions>,
    mcp: Option<Value>,
    /// Whether memory is kept over the pause at the end of its time. It always is.
    #[serde(rename = "autoPauseMemory")]
    auto_pause_memory: Option<bool>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

pub(super) async fn create_v1(
    State(state): State<Arc<E2bState>>,
    debug_port: Option<Extension<DebugPort>>,
    request: ControlRequest,
) -> Response {
    into_response(create(&state, debug_port, request, V1).await)
}

pub(super) async fn create_v2(
    State(state): State<Arc<E2bState>>,
    debug_port: Option<Extension<DebugPort>>,
    request: ControlRequest,
) -> Response {
    into_response(create(&state, debug_port, request, V2).await)
}

async fn create(
    state: &E2bState,
    debug_port: Option<Extension<DebugPort>>,
    mut request: ControlRequest,
    version: Version,
) -> Result<impl IntoResponse, Refusal> {
    if request.headers.contains_key("idempotency-key") {
        return Err(bad_request(&unsupported("the header Idempotency-Key")));
    }
    let mut options: Options = request.json(state).await?;
    if state.public_ports {
        options.network.get_or_insert_default().allow_public_traffic.get_or_insert(true);
    }
    let sessions = &state.sessions;
    let open_interpreter = options.is_open(version, state.allows_open_interpreters);
    let options = open_interpreter
        .and_then(|open_interpreter| options.into_session(version, sessions.config().max_lifetime, open_interpreter));
    let options = options.map_err(|message| bad_request(&message))?;
    let session = if debug_port.is_some() {
        // In debug mode there is one sandbox, and the options are ignored.
        debug::session(state).await.map_err(|error| Box::new(response::refused(&error)))?
    } else {
        sessions.create(&request.caller, options).await.map_err(|error| refused(state, &error))?
    };
    state.recent_sandboxes.record_use(&session);
    Ok((StatusCode::CREATED, Json(view::connection(&session, &request.domain))))
}

/// Returns the answer to a failed creation. At the caller's own limit a retry does not help, so it is not offered.
fn refused(state: &E2bState, error: &Error) -> Refusal {
    if error.kind() != Kind::LimitReached {
        return Box::new(response::refused(error));
    }
    let max = state.sessions.config().max_per_caller;
    let message = format!("you have reached the maximum number of concurrent sandboxes ({max})");
    Box::new(response::permanent_of(Kind::LimitReached, &message))
}

impl Options {
    /// Returns whether the interpreter answers without a token.
    ///
    /// # Errors
    /// That is requested, and not allowed.
    fn is_open(&self, version: Version, is_allowed: bool) -> Result<bool, String> {
        match self.secure {
            Some(false) if !is_allowed => {
                Err("secure: false is disabled on this server, whose cells need the token of their sandbox \
                     (http.open_interpreters): leave it out"
                    .to_owned())
            }
            Some(secure) => Ok(!secure),
            None => Ok(version.is_open && is_allowed),
        }
    }

    /// Returns the options of the session.
    ///
    /// # Errors
    /// An option is invalid or cannot be kept.
    fn into_session(
        self,
        version: Version,
        max_timeout: Duration,
        open_interpreter: bool,
    ) -> Result<CreateSession, String> {
        self.check_supported()?;
        let default = Duration::from_secs(version.timeout).min(max_timeout);
        let timeout = self.timeout.map_or(Ok(default), |seconds| parse_timeout(seconds, max_timeout))?;
        if timeout.is_zero() {
            return Err("Timeout must be a number of seconds, 1 or more".to_owned());
        }
        let network = self.network.unwrap_or_default();
        let public_ports = network.allow_public_traffic == Some(true);
        let network = network.into_policy(self.allow_internet_access)?;
        let env = self.env.unwrap_or_default();
        let is_invalid =
            |(name, value): (&String, &String)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0');
        if env.iter().any(is_invalid) {
            return Err("envVars must have names that are not empty and contain neither '=' nor NUL".to_owned());
        }
        let auto_resume = match &self.auto_resume {
            Some(policy) => read_auto_resume(policy)?,
            None => false,
        };
        Ok(CreateSession {
            template: self.template,
            timeout,
            metadata: self.metadata.unwrap_or_default(),
            env,
            at_end: if self.auto_pause == Some(true) { AtEnd::Pause } else { AtEnd::Kill },
            auto_resume,
            network,
            public_ports,
            open_interpreter,
        })
    }

    /// Refuses options whose omission would weaken isolation or lose data.
    fn check_supported(&self) -> Result<(), String> {
        check_rest("", &self.rest)?;
        if self.mcp.as_ref().is_some_and(|mcp| !mcp.is_null()) {
            // The words with which the SDKs report a gateway that does not start.
            return Err(format!("Failed to start MCP gateway: {}", unsupported("mcp")));
        }
        if self.auto_pause_memory == Some(false) && self.auto_pause == Some(true) {
            return Err(
                "autoPauseMemory: false is not supported by Switchtower, which always keeps the memory of a paused \
                        sandbox: leave it out"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

/// Reads `autoResume`: a boolean, or an object with the boolean `enabled` and no other field.
fn read_auto_resume(policy: &Value) -> Result<bool, String> {
    let enabled = match policy {
        Value::Bool(enabled) => Some(*enabled),
        Value::Object(fields) if fields.len() == 1 => fields.get("enabled").and_then(Value::as_bool),
        _ => None,
    };
    enabled.ok_or_else(|| r#"autoResume must be {"enabled": true} or {"enabled": false}"#.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn session_options(body: Value) -> Result<CreateSession, String> {
        let options: Options = serde_json::from_value(body).map_err(|wrong| wrong.to_string())?;
        options.into_session(V2, Duration::from_secs(3600), false)
    }

    #[test]
    fn options_of_old_and_new_clients_are_read() {
        let minimal = session_options(json!({ "templateID": "code-interpreter-v1" })).unwrap();
        assert_eq!(
            (minimal.timeout, minimal.at_end, minimal.auto_resume),
            (Duration::from_secs(300), AtEnd::Kill, false)
        );
        let old = session_options(json!({
            "templateID": "t:prod", "allow_internet_access": true, "autoPause": true, "autoResume": { "enabled": true },
            "envVars": { "K": "V" }, "metadata": { "a": "b" }, "secure": true, "timeout": 60, "mcp": null,
            "volumeMounts": [], "network": { "allowOut": ["1.1.1.1"], "allowPublicTraffic": true, "denyOut": [] },
        }))
        .unwrap();
        assert_eq!((old.template.as_str(), old.timeout.as_secs(), old.at_end), ("t:prod", 60, AtEnd::Pause));
        assert!(old.auto_resume && old.public_ports && old.env["K"] == "V" && old.metadata["a"] == "b");
        let closed = session_options(json!({ "templateID": "t", "network": { "allowPublicTraffic": false } })).unwrap();
        assert!(!minimal.public_ports && !closed.public_ports);
    }

    #[test]
    fn an_option_that_cannot_be_kept_is_refused_by_name() {
        let refused = |rest: Value| {
            let mut body = json!({ "templateID": "t" });
            if let (Value::Object(body), Value::Object(rest)) = (&mut body, rest) {
                body.extend(rest);
            }
            session_options(body).unwrap_err()
        };
        assert!(refused(json!({ "network": { "rules": { "x": [] } } })).starts_with("network.rules"));
        // An empty gateway is one, too.
        for mcp in [json!({ "x": {} }), json!({})] {
            assert!(refused(json!({ "mcp": mcp })).starts_with("Failed to start MCP gateway: mcp"));
        }
        assert!(refused(json!({ "iam": { "tokens": { "a": {} } } })).starts_with("iam"));
        assert!(refused(json!({ "autoPause": true, "autoPauseMemory": false })).starts_with("autoPauseMemory"));
        assert!(refused(json!({ "autoResume": { "enabled": true, "onlyFor": "me" } })).starts_with("autoResume"));
        assert!(refused(json!({ "anythingNew": 1 })).starts_with("anythingNew"));
        assert!(refused(json!({ "volumeMounts": [{ "name": "v" }] })).starts_with("volumeMounts"));
        assert!(refused(json!({ "envVars": { "A=B": "" } })).contains("envVars"));
        assert_eq!(refused(json!({ "timeout": 3601 })), "Timeout cannot be greater than 1 hours");
        assert!(refused(json!({ "timeout": 0 })).contains("1 or more"));
    }
}
