//! Starts of processes on the machine of a session. The machine was created without the session's environment
//! variables, so they are added to each request.

use std::collections::BTreeMap;

use axum::body::Bytes;
use serde_json::{Value, json};
use switchtower_e2b_wire::connect::{Frame, frame, frames};

/// Returns the request with the session's variables added; its own take precedence. A malformed request is returned
/// unchanged, so that the machine refuses it.
pub(super) fn add_session_env(body: &Bytes, env: &BTreeMap<String, String>) -> Bytes {
    if env.is_empty() {
        return body.clone();
    }
    try_add(body, env).unwrap_or_else(|| body.clone())
}

fn try_add(body: &Bytes, env: &BTreeMap<String, String>) -> Option<Bytes> {
    let mut frames = frames(body);
    let (Some(Ok(Frame::Message(message))), None) = (frames.next(), frames.next()) else { return None };
    let mut message: Value = serde_json::from_slice(message).ok()?;
    let process = message.get_mut("process")?.as_object_mut()?;
    let own = process.entry("envs").or_insert_with(|| json!({})).as_object_mut()?;
    for (name, value) in env {
        own.entry(name.clone()).or_insert_with(|| json!(value));
    }
    Some(frame(&message))
}

/// Returns the line for a shell that a request starts; the program with its arguments where it is no shell.
pub(super) fn command_line(body: &Bytes) -> Option<String> {
    let mut frames = frames(body);
    let Some(Ok(Frame::Message(message))) = frames.next() else { return None };
    let message: Value = serde_json::from_slice(message).ok()?;
    let process = message.get("process")?;
    let program = process.get("cmd")?.as_str()?;
    let args: Vec<&str> = process["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let is_shell = matches!(program.rsplit('/').next(), Some("bash" | "sh"));
    match args.as_slice() {
        [.., "-c", line] if is_shell => Some((*line).to_owned()),
        _ => Some([&[program][..], &args].concat().join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(message: &Value) -> Bytes {
        let message = message.to_string();
        [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message.as_bytes()].concat().into()
    }

    #[test]
    fn a_process_gets_the_variables_of_its_session_and_its_own_take_precedence() {
        let env = [("A", "session"), ("B", "session")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let given = framed(&json!({ "process": { "cmd": "x", "envs": { "A": "own" } }, "stdin": false }));
        let wanted = json!({ "process": { "cmd": "x", "envs": { "A": "own", "B": "session" } }, "stdin": false });
        assert_eq!(add_session_env(&given, &env), framed(&wanted));
        for odd in [Bytes::new(), Bytes::from_static(b"\0\0\0\0\x02{}"), framed(&json!({ "process": 3 }))] {
            assert_eq!(add_session_env(&odd, &env), odd);
        }
    }
}
