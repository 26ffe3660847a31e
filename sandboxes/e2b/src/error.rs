//! Why a call failed: one table from status and body to a cause, and from a cause to a fault.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use switchtower_contract::Fault;

use crate::limits::{AccountLimits, CallClass, LimitExceeded};
use crate::transport::{Delivery, TransportError};

/// A call to E2B that failed, or that the limits of this process refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct CallError {
    pub cause: Cause,
    pub status: Option<u16>,
    pub message: String,
    pub retry_after: Option<Duration>,
    /// Whether E2B may have executed the call.
    pub may_have_run: bool,
}

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The key is wrong, or may not do this.
    Authentication,
    /// The template does not exist, or this key may not use it.
    Template,
    /// Too many calls of this class.
    RateLimit,
    /// The plan's number of concurrent sandboxes is reached.
    ConcurrencyCap,
    /// E2B has no capacity.
    Capacity,
    /// The sandbox, or a file or context in it, does not exist any more.
    Gone,
    /// The sandbox is changing from one state to another.
    Transition,
    /// E2B failed.
    Server,
    /// No response arrived.
    Network,
    /// E2B does not accept the request.
    InvalidRequest,
    /// The service does not have the path: it is older than this client.
    UnknownPath,
}

/// What a call does, as far as its failures depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    Create,
    /// Another call of the control plane.
    Control,
    /// A call into a sandbox that starts a program.
    Execute,
    /// Another call into a sandbox.
    Sandbox,
}

/// The wait after a rate limit without `Retry-After`, as users of the SDKs recommend.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(30);
/// The wait before another connection to a sandbox at its limit of connections.
const CONNECTION_RETRY_AFTER: Duration = Duration::from_secs(1);

/// The body of an error, of the control plane or of the proxy.
#[derive(Deserialize, Default)]
struct Body {
    code: Option<serde_json::Value>,
    message: Option<String>,
    error_code: Option<String>,
}

impl CallError {
    /// Returns the error of a response that is no success.
    pub(crate) fn from_response(call: CallKind, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let parsed: Body = serde_json::from_slice(body).unwrap_or_default();
        let retry_after = retry_after(headers);
        let cause = cause(call, status.as_u16(), headers, &parsed);
        let text = parsed.message.clone().unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
        // A gateway that lost the sandbox's response answers with these; bodies of E2B's own proxy have a code.
        let may_have_run = match call {
            CallKind::Execute => matches!(status.as_u16(), 502 | 504) && parsed.code.is_none(),
            // The sandbox may exist nevertheless.
            CallKind::Create => status.is_server_error(),
            CallKind::Control | CallKind::Sandbox => false,
        };
        Self { cause, status: Some(status.as_u16()), message: short(&text), retry_after, may_have_run }
    }

    /// Returns the error of a call without a whole response.
    pub(crate) fn from_transport(error: &TransportError) -> Self {
        let full = error.delivery == Delivery::TooManyConnections;
        Self {
            cause: if full { Cause::RateLimit } else { Cause::Network },
            status: None,
            message: short(&error.reason),
            retry_after: full.then_some(CONNECTION_RETRY_AFTER),
            may_have_run: error.delivery == Delivery::Unknown,
        }
    }

    /// Returns whether the limits of this process refused the call before anything was sent.
    pub(crate) fn is_local_refusal(&self) -> bool {
        self.status.is_none() && matches!(self.cause, Cause::RateLimit | Cause::ConcurrencyCap)
    }

    /// Returns the error of a response that does not follow the protocol.
    pub(crate) fn unexpected(what: &str) -> Self {
        let message = short(what);
        Self { cause: Cause::Server, status: None, message, retry_after: None, may_have_run: true }
    }

    /// Returns the error of a call to a sandbox that this process has ended.
    pub(crate) fn ended() -> Self {
        let message = "this server has ended it".to_owned();
        Self { cause: Cause::Gone, status: None, message, retry_after: None, may_have_run: false }
    }

    /// Returns what the error means for a run, where the call did not start the program.
    pub fn fault(&self) -> Fault {
        self.fault_of(CallKind::Sandbox)
    }

    /// Returns what the error means for a run, where the call was to start the program.
    pub(crate) fn execution_fault(&self) -> Fault {
        self.fault_of(CallKind::Execute)
    }

    fn fault_of(&self, call: CallKind) -> Fault {
        let reason = self.text();
        match self.cause {
            Cause::Authentication | Cause::Template | Cause::InvalidRequest => {
                Fault::Refused { reason, retry_after: None }
            }
            Cause::RateLimit | Cause::ConcurrencyCap => {
                Fault::Refused { reason, retry_after: Some(self.retry_after.unwrap_or(DEFAULT_RETRY_AFTER)) }
            }
            _ if call == CallKind::Execute && self.may_have_run => Fault::Lost { reason },
            Cause::Capacity | Cause::Gone | Cause::Transition | Cause::Server | Cause::Network | Cause::UnknownPath => {
                Fault::Unavailable { reason }
            }
        }
    }

    fn text(&self) -> String {
        let status = self.status.map_or_else(String::new, |status| format!(" ({status})"));
        let message = &self.message;
        match self.cause {
            Cause::Authentication => {
                format!("E2B refused the key{status}: {message}; check that E2B_API_KEY holds a key of this account")
            }
            Cause::Template => format!(
                "E2B does not have the template{status}: {message}; check E2B_TEMPLATE_ID, and that the template was built in this account"
            ),
            // The message of this process's limits: nothing was sent.
            Cause::RateLimit | Cause::ConcurrencyCap if self.status.is_none() => message.clone(),
            Cause::RateLimit => format!("E2B's rate limit{status}: {message}"),
            Cause::ConcurrencyCap => format!("E2B's cap of concurrent sandboxes{status}: {message}"),
            Cause::Capacity => format!("E2B has no capacity{status}: {message}"),
            Cause::Gone => format!("the sandbox is gone{status}: {message}"),
            Cause::Transition => format!("the sandbox is changing state{status}: {message}"),
            Cause::Server => format!("E2B failed{status}: {message}"),
            Cause::Network => {
                format!("no response from E2B: {message}; check the network, and E2B_API_URL where it is set")
            }
            Cause::InvalidRequest => format!("E2B does not accept the request{status}: {message}"),
            Cause::UnknownPath => format!("the service does not have this path{status}: {message}"),
        }
    }
}

/// Returns the cause of a response. This is the table.
fn cause(call: CallKind, status: u16, headers: &HeaderMap, body: &Body) -> Cause {
    if let Some(code) = body.error_code.as_deref()
        && matches!(code, "sandbox_capacity_unavailable" | "sandbox_placement_timeout" | "sandbox_no_compatible_node")
    {
        return Cause::Capacity;
    }
    let is_control = matches!(call, CallKind::Create | CallKind::Control);
    // Bodies of the API have a code; those of proxies in front of it, or of a router without the path, have none.
    let has_code = body.code.is_some();
    match status {
        400 if is_control && body.message.as_deref().is_some_and(|text| text.contains("no matching operation")) => {
            Cause::UnknownPath
        }
        401 if is_control => Cause::Authentication,
        403 if call == CallKind::Create => Cause::Template,
        403 if is_control => Cause::Authentication,
        // A sandbox that refuses its own token is not the one that was created.
        401 | 403 => Cause::Gone,
        404 | 405 if is_control && !has_code => Cause::UnknownPath,
        404 if call == CallKind::Create => Cause::Template,
        404 | 410 => Cause::Gone,
        409 => Cause::Transition,
        429 if call == CallKind::Create && is_concurrency_cap(headers, body) => Cause::ConcurrencyCap,
        429 => Cause::RateLimit,
        502 if !is_control => Cause::Gone,
        503 => Cause::Capacity,
        400..=499 => Cause::InvalidRequest,
        _ => Cause::Server,
    }
}

/// Whether a 429 is for the cap of concurrent sandboxes. Refusals for the rate carry its headers; the text decides only
/// where none of these is there.
fn is_concurrency_cap(headers: &HeaderMap, body: &Body) -> bool {
    let rate_headers = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after"];
    !rate_headers.iter().any(|name| headers.contains_key(*name))
        && body.message.as_deref().is_some_and(|text| text.contains("concurrent"))
}

/// Reads `Retry-After` in seconds. E2B sends no dates, and they are ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(86_400.0)))
}

/// Returns the beginning of a message, which may be a whole page.
fn short(text: &str) -> String {
    const MAX_CHARS: usize = 300;
    match text.char_indices().nth(MAX_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

impl AccountLimits {
    /// Records how a call ended, so that the limits follow E2B's refusals and failures.
    pub(crate) fn record_outcome(&self, class: CallClass, error: Option<&CallError>) {
        let Some(error) = error else { return self.succeeded(class) };
        if error.is_local_refusal() {
            return;
        }
        match error.cause {
            Cause::RateLimit => self.rate_limited(class, error.retry_after),
            Cause::ConcurrencyCap => self.concurrency_capped(),
            Cause::Capacity | Cause::Server | Cause::Network => self.failed(class),
            // These are about the request, not about the account.
            Cause::Authentication
            | Cause::Template
            | Cause::Gone
            | Cause::Transition
            | Cause::InvalidRequest
            | Cause::UnknownPath => {}
        }
    }
}

/// A refusal by the limits of this process, in the form of E2B's.
impl From<LimitExceeded> for CallError {
    fn from(exceeded: LimitExceeded) -> Self {
        let cause = match exceeded {
            LimitExceeded::Concurrency { .. } => Cause::ConcurrencyCap,
            LimitExceeded::Rate { .. } | LimitExceeded::Budget { .. } => Cause::RateLimit,
        };
        let (retry_after, message) = (Some(exceeded.retry_after()), exceeded.to_string());
        Self { cause, status: None, message, retry_after, may_have_run: false }
    }
}

#[cfg(test)]
mod tests;
