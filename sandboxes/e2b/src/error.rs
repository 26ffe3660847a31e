//! Why a call failed: one table from status and body to a cause, and from a cause to a fault.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use switchtower_contract::{Fault, rounded};

use crate::limits::{AccountLimits, CallClass, LimitExceeded};
use crate::transport::{Delivery, TransportError, TransportErrorKind};

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
    /// The template has not the content that is expected: another build tag, or not all modules.
    TemplateContent,
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
    Network(TransportErrorKind),
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
            cause: if full { Cause::RateLimit } else { Cause::Network(error.kind) },
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

    /// Returns the error of a check that this service did not answer within `most`.
    pub fn timed_out(api: &str, most: Duration) -> Self {
        let cause = Cause::Network(TransportErrorKind::TimedOut);
        let message = format!("{api}, within {}", rounded(most));
        Self { cause, status: None, message, retry_after: None, may_have_run: false }
    }

    /// Returns the error of a response that does not follow the protocol.
    pub(crate) fn unexpected(what: &str) -> Self {
        let message = short(what);
        Self { cause: Cause::Server, status: None, message, retry_after: None, may_have_run: true }
    }

    /// Returns the error of a sandbox whose template does not have the content that the settings expect.
    pub(crate) fn template_content(what: &str) -> Self {
        let message = short(what);
        Self { cause: Cause::TemplateContent, status: None, message, retry_after: None, may_have_run: false }
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
            Cause::Authentication | Cause::Template | Cause::TemplateContent | Cause::InvalidRequest => {
                Fault::Refused { reason, retry_after: None }
            }
            Cause::RateLimit | Cause::ConcurrencyCap => {
                Fault::Refused { reason, retry_after: Some(self.retry_after.unwrap_or(DEFAULT_RETRY_AFTER)) }
            }
            _ if call == CallKind::Execute && self.may_have_run => Fault::Lost { reason },
            Cause::Capacity
            | Cause::Gone
            | Cause::Transition
            | Cause::Server
            | Cause::Network(_)
            | Cause::UnknownPath => Fault::Unavailable { reason },
        }
    }

    fn text(&self) -> String {
        match self.cause.remedy().filter(|_| !self.is_local_refusal()) {
            Some(remedy) => format!("{}; {remedy}", self.finding()),
            None => self.finding(),
        }
    }

    /// Returns what is wrong, without what can be done.
    pub fn finding(&self) -> String {
        let status = self.status.map_or_else(String::new, |status| format!(" ({status})"));
        let what = match self.cause {
            // The message of this process's limits: nothing was sent.
            _ if self.is_local_refusal() => return self.message.clone(),
            Cause::Authentication => "E2B refused the key",
            Cause::Template => "E2B does not have the template",
            Cause::TemplateContent => "the template is another one than the settings expect",
            Cause::RateLimit => "E2B's rate limit",
            Cause::ConcurrencyCap => "E2B's cap of concurrent sandboxes",
            Cause::Capacity => "E2B has no capacity",
            Cause::Gone => "the sandbox is gone",
            Cause::Transition => "the sandbox is changing state",
            Cause::Server => "E2B failed",
            Cause::Network(TransportErrorKind::ConnectionRefused) => "nothing listens at the address of E2B's service",
            Cause::Network(TransportErrorKind::TimedOut) => "E2B did not answer in time",
            Cause::Network(TransportErrorKind::HostNotFound) => "the host of E2B's service was not found",
            Cause::Network(TransportErrorKind::Certificate) => "the certificate of E2B's service is not accepted",
            Cause::Network(TransportErrorKind::Other) => "no response from E2B",
            Cause::InvalidRequest => "E2B does not accept the request",
            Cause::UnknownPath => "the service does not have this path",
        };
        format!("{what}{status}: {}", self.message)
    }
}

impl Cause {
    /// Returns the name of the cause, for programs that read it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Authentication => "unauthorized",
            Self::Template => "template_not_found",
            Self::TemplateContent => "template_content",
            Self::RateLimit => "rate_limit",
            Self::ConcurrencyCap => "concurrency_cap",
            Self::Capacity => "no_capacity",
            Self::Gone => "gone",
            Self::Transition => "transition",
            Self::Server => "server_error",
            Self::Network(TransportErrorKind::ConnectionRefused) => "connection_refused",
            Self::Network(TransportErrorKind::TimedOut) => "timed_out",
            Self::Network(TransportErrorKind::HostNotFound) => "host_not_found",
            Self::Network(TransportErrorKind::Certificate) => "certificate_not_accepted",
            Self::Network(TransportErrorKind::Other) => "network",
            Self::InvalidRequest => "invalid_request",
            Self::UnknownPath => "unknown_path",
        }
    }

    /// Returns what an operator can do, if anything.
    pub fn remedy(self) -> Option<&'static str> {
        Some(match self {
            Self::Authentication => "check that E2B_API_KEY holds a key of this account",
            Self::Template => "check E2B_TEMPLATE_ID, and that the template was built in this account",
            Self::TemplateContent => {
                "set account.template to a template with this content, or account.build_tag and account.modules to what it has"
            }
            Self::RateLimit => "wait, or lower account.limits to what others with this key leave",
            Self::ConcurrencyCap => "end sandboxes that others hold, or use a plan with more",
            Self::Network(TransportErrorKind::ConnectionRefused) => {
                "check that the service runs where E2B_API_URL and E2B_SANDBOX_URL say; E2B's own needs neither"
            }
            Self::Network(TransportErrorKind::TimedOut) => "check the network, and a firewall or proxy on the way",
            Self::Network(TransportErrorKind::HostNotFound) => "check the name in E2B_API_URL or E2B_DOMAIN, and DNS",
            Self::Network(TransportErrorKind::Certificate) => {
                "check the address, the clock, and that the system trusts the certificate's issuer (SSL_CERT_FILE)"
            }
            Self::Network(TransportErrorKind::Other) => "check the network, and E2B_API_URL where it is set",
            Self::UnknownPath => "check that E2B_API_URL is the address of E2B's API or of a service like it",
            Self::Capacity | Self::Gone | Self::Transition | Self::Server | Self::InvalidRequest => return None,
        })
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
            Cause::Capacity | Cause::Server | Cause::Network(_) => self.failed(class),
            // These are about the request, not about the account.
            Cause::Authentication
            | Cause::Template
            | Cause::TemplateContent
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
