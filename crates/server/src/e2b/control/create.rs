//! A new sandbox: what may be asked of it, and what cannot be promised.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::Value;
use switchtower_core::error::Error;
use switchtower_core::request::Caller;
use switchtower_core::session::{AtEnd, CreateSession};

use super::super::debug::{self, Debugged};
use super::super::response::{self, Refusal};
use super::{Door, bad, either, lasting, read, view};

/// Where no time-out was given: the old path.
const SHORT: f64 = 15.0;
/// Where no time-out was given: the new path.
pub(super) const LONG: f64 = 300.0;

/// What clients send. Of what is not here, nothing would change what a client can rely on.
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
    network: Option<BTreeMap<String, Value>>,
    mcp: Option<Value>,
    iam: Option<Value>,
    #[serde(rename = "volumeMounts")]
    volumes: Option<Value>,
}

pub(super) async fn short(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    debugged: Option<Extension<Debugged>>,
    body: Body,
) -> Response {
    either(create(&door, &caller, debugged.is_some(), body, SHORT).await)
}

pub(super) async fn long(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    debugged: Option<Extension<Debugged>>,
    body: Body,
) -> Response {
    either(create(&door, &caller, debugged.is_some(), body, LONG).await)
}

async fn create(
    door: &Door,
    caller: &Caller,
    debugged: bool,
    body: Body,
    otherwise: f64,
) -> Result<impl IntoResponse, Refusal> {
    let options: Options = read(door, caller, body).await?;
    let sessions = &door.parts.sessions;
    let asked = options.asked(otherwise, sessions.config().max_lifetime).map_err(|message| bad(&message))?;
    let session = if debugged {
        // In debug mode there is one sandbox, whatever was created.
        debug::session(door).await.map_err(|error| Box::new(response::refused(&error)))?
    } else {
        sessions.create(caller, asked).await.map_err(|error| refused(door, caller, &error))?
    };
    Ok((StatusCode::CREATED, Json(view::sandbox(&session))))
}

/// Where the caller has as many sandboxes as it may have, asking again does not help. A server that is full says when.
fn refused(door: &Door, caller: &Caller, error: &Error) -> Refusal {
    let most = door.parts.sessions.config().max_per_caller;
    if !matches!(error, Error::Overloaded { .. }) || door.parts.sessions.list(caller).len() < most {
        return Box::new(response::refused(error));
    }
    let message = format!("you have reached the maximum number of concurrent sandboxes ({most})");
    Box::new(response::finally(StatusCode::TOO_MANY_REQUESTS, &message))
}

impl Options {
    /// What a session is made with, or what is wrong.
    fn asked(self, otherwise: f64, most: Duration) -> Result<CreateSession, String> {
        self.keepable()?;
        let timeout = lasting(self.timeout.unwrap_or(otherwise.min(most.as_secs_f64())), most)?;
        if timeout.is_zero() {
            return Err("Timeout must be a number of seconds, 1 or more".to_owned());
        }
        // Nothing here reaches the network; a machine does.
        let offline = self.is_walled();
        let public = self.network.as_ref().and_then(|network| network.get("allowPublicTraffic"));
        let public_ports = public == Some(&Value::Bool(true));
        let env = self.env.unwrap_or_default();
        let is_wrong =
            |(name, value): (&String, &String)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0');
        if env.iter().any(is_wrong) {
            return Err("envVars have names without '=' and without NUL, not empty".to_owned());
        }
        let auto_resume = match self.auto_resume {
            Some(Value::Bool(enabled)) => enabled,
            Some(policy) => policy["enabled"].as_bool().unwrap_or_default(),
            None => false,
        };
        Ok(CreateSession {
            template: self.template,
            timeout,
            metadata: self.metadata.unwrap_or_default(),
            env,
            at_end: if self.auto_pause == Some(true) { AtEnd::Pause } else { AtEnd::Kill },
            auto_resume,
            offline,
            public_ports,
        })
    }

    /// Something of the internet is to be out of its reach.
    fn is_walled(&self) -> bool {
        let denied = self.network.as_ref().and_then(|network| network.get("denyOut"));
        self.allow_internet_access == Some(false) || denied.is_some_and(|denied| !is_nothing(denied))
    }

    /// Ignoring these would take away a wall, or lose data.
    fn keepable(&self) -> Result<(), String> {
        let refuse = |what: &str| Err(format!("{what} is not supported by Switchtower"));
        for (name, value) in [("mcp", &self.mcp), ("iam", &self.iam), ("volumeMounts", &self.volumes)] {
            if value.as_ref().is_some_and(|value| !is_nothing(value)) {
                return refuse(name);
            }
        }
        for (rule, value) in self.network.iter().flatten() {
            let harmless = match rule.as_str() {
                // What is denied is looked at once it is known whether the sandbox can reach anything.
                "allowOut" | "denyOut" | "maskRequestHost" => true,
                // Ports are closed to requests without a token where it is not set.
                "allowPublicTraffic" => value.is_boolean() || value.is_null(),
                _ => is_nothing(value),
            };
            if !harmless {
                return refuse(&format!("network.{rule}"));
            }
        }
        Ok(())
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(body: Value) -> Result<CreateSession, String> {
        let options: Options = serde_json::from_value(body).map_err(|wrong| wrong.to_string())?;
        options.asked(LONG, Duration::from_secs(3600))
    }

    #[test]
    fn what_clients_send_is_understood() {
        let least = asked(json!({ "templateID": "code-interpreter-v1" })).unwrap();
        assert_eq!((least.timeout, least.at_end, least.auto_resume), (Duration::from_secs(300), AtEnd::Kill, false));
        let old = asked(json!({
            "templateID": "t:prod", "allow_internet_access": true, "autoPause": true, "autoResume": { "enabled": true },
            "envVars": { "K": "V" }, "metadata": { "a": "b" }, "secure": true, "timeout": 60, "mcp": null,
            "volumeMounts": [], "network": { "allowOut": ["1.1.1.1"], "allowPublicTraffic": true, "denyOut": [] },
        }))
        .unwrap();
        assert_eq!((old.template.as_str(), old.timeout.as_secs(), old.at_end), ("t:prod", 60, AtEnd::Pause));
        assert!(old.auto_resume && old.public_ports && old.env["K"] == "V" && old.metadata["a"] == "b");
        let closed = asked(json!({ "templateID": "t", "network": { "allowPublicTraffic": false } })).unwrap();
        assert!(!least.public_ports && !closed.public_ports);
    }

    #[test]
    fn less_than_all_of_the_internet_is_a_wall() {
        let walled = |body: Value| serde_json::from_value::<Options>(body).unwrap().is_walled();
        assert!(walled(json!({ "templateID": "t", "allow_internet_access": false })));
        assert!(walled(json!({ "templateID": "t", "network": { "denyOut": ["0.0.0.0/0"], "allowOut": ["1.1.1.1"] } })));
        assert!(!walled(json!({ "templateID": "t", "network": { "denyOut": [] }, "allow_internet_access": true })));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_and_named() {
        let refused = |rest: Value| {
            let mut body = json!({ "templateID": "t" });
            if let (Value::Object(body), Value::Object(rest)) = (&mut body, rest) {
                body.extend(rest);
            }
            asked(body).unwrap_err()
        };
        assert!(refused(json!({ "network": { "rules": { "x": [] } } })).starts_with("network.rules"));
        assert!(refused(json!({ "network": { "allowPublicTraffic": 1 } })).starts_with("network.allowPublicTraffic"));
        assert!(refused(json!({ "mcp": { "x": {} } })).starts_with("mcp"));
        assert!(refused(json!({ "volumeMounts": [{ "name": "v" }] })).starts_with("volumeMounts"));
        assert!(refused(json!({ "envVars": { "A=B": "" } })).contains("envVars"));
        assert_eq!(refused(json!({ "timeout": 3601 })), "Timeout cannot be greater than 1 hours");
        assert!(refused(json!({ "timeout": 0 })).contains("1 or more"));
    }
}
