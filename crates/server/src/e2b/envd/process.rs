//! The start of a process on the machine of a session: it sees the session's variables, as in a sandbox that was created
//! with them.

use std::collections::BTreeMap;

use axum::body::Bytes;
use serde_json::{Value, json};

/// A message's flags and length.
const HEAD: usize = 5;

/// The start of a process with the session's variables under its own. What cannot be read is left as it is: the machine
/// says what is wrong with it.
pub(super) fn start(body: &Bytes, env: &BTreeMap<String, String>) -> Bytes {
    if env.is_empty() {
        return body.clone();
    }
    told(body, env).unwrap_or_else(|| body.clone())
}

fn told(body: &Bytes, env: &BTreeMap<String, String>) -> Option<Bytes> {
    let (head, message) = body.split_at_checked(HEAD)?;
    let mut message: Value = serde_json::from_slice(message).ok()?;
    let process = message.get_mut("process")?.as_object_mut()?;
    let own = process.entry("envs").or_insert_with(|| json!({})).as_object_mut()?;
    for (name, value) in env {
        own.entry(name.clone()).or_insert_with(|| json!(value));
    }
    let message = message.to_string();
    let length = u32::try_from(message.len()).ok()?.to_be_bytes();
    Some([&head[..1], &length, message.as_bytes()].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(message: &Value) -> Bytes {
        let message = message.to_string();
        [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message.as_bytes()].concat().into()
    }

    #[test]
    fn a_process_sees_the_variables_of_its_session_under_its_own() {
        let env = [("A", "session"), ("B", "session")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let given = framed(&json!({ "process": { "cmd": "x", "envs": { "A": "own" } }, "stdin": false }));
        let wanted = json!({ "process": { "cmd": "x", "envs": { "A": "own", "B": "session" } }, "stdin": false });
        assert_eq!(start(&given, &env), framed(&wanted));
        for odd in [Bytes::new(), Bytes::from_static(b"\0\0\0\0\x02{}"), framed(&json!({ "process": 3 }))] {
            assert_eq!(start(&odd, &env), odd);
        }
    }
}
