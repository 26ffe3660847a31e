//! envd's `process.Process`: the sandbox's daemon answers. Scripted sandboxes have no processes.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde_json::json;
use switchtower_e2b_wire::connect::{self, Code, Error};

use super::errors::Refusal;
use super::target;
use crate::fake::Fake;
use crate::sandbox::Envd;

pub(super) async fn call(
    State(fake): State<Fake>,
    Path(method): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let sandbox = target::delayed_sandbox_with_token(&fake, request.headers()).await?;
    if method == "Start" {
        fake.state.sandboxes.count(|counts| counts.commands += 1);
    }
    Ok(match (&sandbox.envd, method.as_str()) {
        (Envd::Daemon(daemon), _) => daemon.call(request).await,
        (Envd::Scripted(_), "List") => connect::unary(&json!({ "processes": [] })),
        (Envd::Scripted(_), _) => {
            Error::new(Code::Unimplemented, "scripted sandboxes run no commands").response(request.headers())
        }
    })
}
