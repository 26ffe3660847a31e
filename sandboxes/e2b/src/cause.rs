//! Why a call went wrong: one table from status and body to a cause, and from a cause to what follows.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use switchtower_contract::Fault;

use crate::transport::{Broken, Reached};

/// A call that did not do what it was to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct Trouble {
    pub cause: Cause,
    pub status: Option<u16>,
    pub message: String,
    pub retry_after: Option<Duration>,
    /// The call may have been carried out all the same.
    pub may_have_run: bool,
}

/// What lies behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The key is wrong, or may not do this.
    Authentication,
    /// No such template, or none that this key may use.
    Template,
    /// Too many calls of a kind.
    RateLimit,
    /// As many sandboxes run as the plan allows.
    ConcurrencyCap,
    /// E2B has no room.
    Capacity,
    /// The sandbox, or what was to be found in it, is not there any more.
    Gone,
    /// The sandbox is changing from one state to another.
    Transition,
    /// E2B failed.
    Server,
    /// No answer came.
    Network,
    /// We asked for something that E2B does not take.
    Ours,
    /// The service has no such path: it is older than the call.
    NoPath,
}

/// What a call was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Create,
    /// Anything else of the control plane.
    Control,
    /// A call into a sandbox that runs something.
    Execute,
    /// Another call into a sandbox.
    Sandbox,
}

/// A rate limit that does not say when to come back: the time that the SDKs' users settled on.
const WHEN_NOT_TOLD: Duration = Duration::from_secs(30);
/// When to come back to a sandbox that has as many connections as it may.
const WHEN_FULL: Duration = Duration::from_secs(1);

/// The body of an error, in either plane.
#[derive(Deserialize, Default)]
struct Body {
    code: Option<serde_json::Value>,
    message: Option<String>,
    error_code: Option<String>,
}

impl Trouble {
    /// From an answer that is no success.
    pub(crate) fn of(call: Call, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let parsed: Body = serde_json::from_slice(body).unwrap_or_default();
        let retry_after = retry_after(headers);
        let cause = cause(call, status.as_u16(), headers, &parsed);
        let text = parsed.message.clone().unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
        // A gateway that lost the sandbox's own answer says so with these; the proxy's own words have a code in them.
        let lost_behind = match call {
            Call::Execute => matches!(status.as_u16(), 502 | 504) && parsed.code.is_none(),
            // What failed while it was made may have been made.
            Call::Create => status.is_server_error(),
            Call::Control | Call::Sandbox => false,
        };
        Self { cause, status: Some(status.as_u16()), message: short(&text), retry_after, may_have_run: lost_behind }
    }

    /// From a call that broke.
    pub(crate) fn broken(broken: &Broken) -> Self {
        let full = broken.reached == Reached::Full;
        Self {
            cause: if full { Cause::RateLimit } else { Cause::Network },
            status: None,
            message: short(&broken.reason),
            retry_after: full.then_some(WHEN_FULL),
            may_have_run: broken.reached == Reached::Maybe,
        }
    }

    /// Our own refusal, before anything was sent.
    pub(crate) fn is_ours(&self) -> bool {
        self.status.is_none() && matches!(self.cause, Cause::RateLimit | Cause::ConcurrencyCap)
    }

    /// From an answer that is no answer.
    pub(crate) fn nonsense(what: &str) -> Self {
        let message = short(what);
        Self { cause: Cause::Server, status: None, message, retry_after: None, may_have_run: true }
    }

    /// What it means for a run. `executing`: the call was to start the program.
    pub(crate) fn fault(&self, executing: bool) -> Fault {
        let reason = self.text();
        match self.cause {
            Cause::Authentication | Cause::Template | Cause::Ours => Fault::Refused { reason, retry_after: None },
            Cause::RateLimit | Cause::ConcurrencyCap => {
                Fault::Refused { reason, retry_after: Some(self.retry_after.unwrap_or(WHEN_NOT_TOLD)) }
            }
            _ if executing && self.may_have_run => Fault::Lost { reason },
            Cause::Capacity | Cause::Gone | Cause::Transition | Cause::Server | Cause::Network | Cause::NoPath => {
                Fault::Unavailable { reason }
            }
        }
    }

    fn text(&self) -> String {
        let status = self.status.map_or_else(String::new, |status| format!(" ({status})"));
        let message = &self.message;
        match self.cause {
            Cause::Authentication => {
                format!("E2B refuses the key{status}: {message}; check that E2B_API_KEY holds a key of this account")
            }
            Cause::Template => format!(
                "E2B has no such template{status}: {message}; check E2B_TEMPLATE_ID, and that the template was built in this account"
            ),
            // Our own limiter's words, before anything was asked.
            Cause::RateLimit | Cause::ConcurrencyCap if self.status.is_none() => message.clone(),
            Cause::RateLimit => format!("E2B's rate limit{status}: {message}"),
            Cause::ConcurrencyCap => format!("E2B's cap of concurrent sandboxes{status}: {message}"),
            Cause::Capacity => format!("E2B has no room{status}: {message}"),
            Cause::Gone => format!("the sandbox is gone{status}: {message}"),
            Cause::Transition => format!("the sandbox is changing its state{status}: {message}"),
            Cause::Server => format!("E2B failed{status}: {message}"),
            Cause::Network => {
                format!("no answer from E2B: {message}; check the network, and E2B_API_URL where it is set")
            }
            Cause::Ours => format!("E2B does not take what was asked{status}: {message}"),
            Cause::NoPath => format!("this service does not know the call{status}: {message}"),
        }
    }
}

/// The table.
fn cause(call: Call, status: u16, headers: &HeaderMap, body: &Body) -> Cause {
    if let Some(code) = body.error_code.as_deref()
        && matches!(code, "sandbox_capacity_unavailable" | "sandbox_placement_timeout" | "sandbox_no_compatible_node")
    {
        return Cause::Capacity;
    }
    let control = matches!(call, Call::Create | Call::Control);
    // An answer of the API has a code; one of whatever stands before it, or of a router without the path, has none.
    let api = body.code.is_some();
    match status {
        400 if control && body.message.as_deref().is_some_and(|text| text.contains("no matching operation")) => {
            Cause::NoPath
        }
        401 if control => Cause::Authentication,
        403 if call == Call::Create => Cause::Template,
        403 if control => Cause::Authentication,
        // Into a sandbox: its own token is not taken, so it is not the one that we made.
        401 | 403 => Cause::Gone,
        404 | 405 if control && !api => Cause::NoPath,
        404 if call == Call::Create => Cause::Template,
        404 | 410 => Cause::Gone,
        409 => Cause::Transition,
        429 if call == Call::Create && is_cap(headers, body) => Cause::ConcurrencyCap,
        429 => Cause::RateLimit,
        502 if !control => Cause::Gone,
        503 => Cause::Capacity,
        400..=499 => Cause::Ours,
        _ => Cause::Server,
    }
}

/// Both come as 429. The limiter's own answers carry its headers; only where a proxy took them away does the text decide.
fn is_cap(headers: &HeaderMap, body: &Body) -> bool {
    let limiter = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after"];
    !limiter.iter().any(|name| headers.contains_key(*name))
        && body.message.as_deref().is_some_and(|text| text.contains("concurrent"))
}

/// `Retry-After` in seconds. A date is not sent by E2B and not understood.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(86_400.0)))
}

/// A message may be a whole page.
fn short(text: &str) -> String {
    const MOST: usize = 300;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
