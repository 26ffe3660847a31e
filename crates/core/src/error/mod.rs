//! Why a caller gets no answer. A program that fails has an answer and is not an error.

pub mod class;

use std::time::Duration;

use switchtower_contract::{Fault, rounded};

pub use self::class::{ErrorClass, Kind};
use crate::decide::DecideError;
use crate::memory::NoSpace;
use crate::quota::QuotaExceeded;
use crate::request::Invalid;
use crate::route::TierName;
use crate::tier::{Attempt, WalkError};

/// The pause before a retry where the refusal states none.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A refusal. Its [`ErrorClass`] determines whose fault it is, whether to retry, and what each API answers.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The caller sends more requests than its rate allows. Nothing ran.
    #[error("rate limit exceeded; retry after {}", rounded(*.retry_after))]
    Quota { retry_after: Duration },
    /// Too many requests wait, or the server holds as much as it may. Nothing ran.
    #[error("overloaded: {reason}")]
    Overloaded { reason: String, retry_after: Duration },
    /// The request itself is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// No tier of this kind exists for the program, now or later.
    #[error("no tier can run this: {reason}")]
    NoTier { reason: String },
    /// The tiers failed. The same request may be sent again.
    #[error("unavailable: {reason}")]
    Unavailable { reason: String, retry_after: Option<Duration> },
    /// The program may have run, with effects in the outside world, and its end is unknown. Sent again, it may run twice.
    #[error("lost: {reason}")]
    Lost { reason: String },
    /// The request's timeout passed before the program ran to an end anywhere. Nothing that had effects outside was cut
    /// off: the same request may be sent again.
    #[error("timed out {reason}")]
    TimedOut { reason: String },
    /// A session that has ended.
    #[error("gone: {what}")]
    Gone { what: String },
    /// The caller holds as many bytes as it may, until it gives some up.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    /// The routing rules failed: the operator has to fix them.
    #[error("the routing rules failed: {reason}")]
    Rules { reason: String },
    /// The caller has reached a limit until it closes something; `reason` names it.
    #[error("limit reached: {reason}")]
    LimitReached { reason: String, retry_after: Option<Duration> },
    /// A session cannot move to the tier that a request needs: its state can neither be moved nor rebuilt. `reason` names the
    /// cell.
    #[error("{reason}")]
    NotMovable { reason: String },
    /// An operation or option that this server, or this tier, does not provide.
    #[error("unsupported: {reason}")]
    Unsupported { reason: String },
    /// The state of the resource does not allow the operation. `reason` names the state that does.
    #[error("conflict: {reason}")]
    Conflict { reason: String },
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Quota { .. } => Kind::Quota,
            Self::Overloaded { .. } => Kind::Overloaded,
            Self::Invalid(_) => Kind::Invalid,
            Self::NoTier { .. } => Kind::NoTier,
            Self::Unavailable { .. } => Kind::Unavailable,
            Self::Lost { .. } => Kind::Lost,
            Self::TimedOut { .. } => Kind::TimedOut,
            Self::Gone { .. } => Kind::Gone,
            Self::NoSpace(_) => Kind::NoSpace,
            Self::Rules { .. } => Kind::Rules,
            Self::LimitReached { .. } => Kind::LimitReached,
            Self::NotMovable { .. } => Kind::NotMovable,
            Self::Unsupported { .. } => Kind::Unsupported,
            Self::Conflict { .. } => Kind::Conflict,
        }
    }

    pub fn class(&self) -> ErrorClass {
        self.kind().class()
    }

    /// Returns one word for records and metrics.
    pub fn name(&self) -> &'static str {
        self.class().name
    }

    /// Returns the message for a caller. What is wrong with the rules goes to the log, for the operator alone.
    pub fn public_message(&self) -> String {
        match self {
            Self::Rules { reason } => {
                tracing::error!(reason, "the routing rules failed");
                "the routing rules failed; see the log".to_owned()
            }
            other => other.to_string(),
        }
    }

    /// Returns the pause before a retry, where a pause alone may help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Quota { retry_after } | Self::Overloaded { retry_after, .. } => Some(*retry_after),
            Self::Unavailable { retry_after, .. } => Some(retry_after.unwrap_or(DEFAULT_RETRY_AFTER)),
            Self::LimitReached { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Returns the refusal for a tier's fault, where nothing that had effects outside may have run.
    pub fn from_fault(tier: &TierName, fault: &Fault) -> Self {
        match fault {
            Fault::Unsupported(need) => Self::Unsupported { reason: format!("tier {tier} does not provide {need}") },
            Fault::Refused { retry_after, .. } => {
                Self::Unavailable { reason: format!("{tier}: {fault}"), retry_after: *retry_after }
            }
            Fault::Unavailable { .. } | Fault::Lost { .. } => {
                Self::Unavailable { reason: format!("{tier}: {fault}"), retry_after: None }
            }
        }
    }
}

/// A request that got no answer: the refusal, and from its record what was tried before.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{error}")]
pub struct RequestError {
    pub error: Error,
    pub attempts: Vec<Attempt>,
}

impl From<Error> for RequestError {
    /// A refusal before anything was tried.
    fn from(error: Error) -> Self {
        Self { error, attempts: Vec::new() }
    }
}

impl From<RequestError> for Error {
    fn from(refused: RequestError) -> Self {
        refused.error
    }
}

impl From<WalkError> for Error {
    fn from(walk_error: WalkError) -> Self {
        match walk_error {
            WalkError::NoTier { reason } => Self::NoTier { reason },
            WalkError::Overloaded { reason, retry_after } => Self::Overloaded { reason, retry_after },
            WalkError::Unavailable { reason, retry_after } => {
                Self::Unavailable { reason, retry_after: Some(retry_after) }
            }
            WalkError::Lost { reason } => Self::Lost { reason },
            WalkError::TimedOut { reason } => Self::TimedOut { reason },
        }
    }
}

impl From<QuotaExceeded> for Error {
    fn from(exceeded: QuotaExceeded) -> Self {
        Self::Quota { retry_after: exceeded.retry_after }
    }
}

impl From<DecideError> for Error {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::UnknownTier { allowed, .. } => {
                Self::Invalid(Invalid::new("tier", format!("one of {}", allowed.join(", "))))
            }
            DecideError::NoTier { reason } => Self::NoTier { reason },
            DecideError::Rules(error) => Self::Rules { reason: error.to_string() },
        }
    }
}
