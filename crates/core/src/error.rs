//! Why a caller gets no answer. A program that fails is no error: it has an answer.

use std::time::Duration;

use switchtower_contract::rounded;

use crate::decide::Undecided;
use crate::memory::NoSpace;
use crate::quota::Exhausted;
use crate::request::Invalid;
use crate::tier::{Attempt, Setback};

/// A refusal. The doors turn it into a status or an exit code, each in one place.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The caller has used what it may use. Nothing ran.
    #[error("quota used up: come back in {}", rounded(*.retry_after))]
    Quota { retry_after: Duration },
    /// Too many are waiting. Nothing ran.
    #[error("overloaded: {reason}")]
    Overloaded { reason: String, retry_after: Duration },
    /// The request itself is wrong. It stays wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// No tier may run this, now or later.
    #[error("no tier can run this: {reason}")]
    NoTier { reason: String },
    /// The tiers failed us. The same request may be sent again.
    #[error("unavailable: {reason}")]
    Unavailable { reason: String, retry_after: Option<Duration>, attempts: Vec<Attempt> },
    /// The program may have run, with effects in the outside world, and its end is not known. Sent again, it may run
    /// twice.
    #[error("lost: {reason}")]
    Lost { reason: String, attempts: Vec<Attempt> },
    /// The request's time-out passed before the program came to an end anywhere. Nothing that reached the world was cut off:
    /// the same request may be sent again.
    #[error("timed out {reason}")]
    TimedOut { reason: String, attempts: Vec<Attempt> },
    /// What was asked for is not there any more: a session that has ended.
    #[error("gone: {what}")]
    Gone { what: String },
    /// The caller, or the server, holds as much as it may. It stays so until something is given up.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    /// The routing rules failed: a matter for the operator.
    #[error("the routing rules failed: {reason}")]
    Rules { reason: String },
}

impl Error {
    /// One word for records and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Quota { .. } => "quota",
            Self::Overloaded { .. } => "overloaded",
            Self::Invalid(_) => "invalid",
            Self::NoTier { .. } => "no_tier",
            Self::Unavailable { .. } => "unavailable",
            Self::Lost { .. } => "lost",
            Self::TimedOut { .. } => "deadline",
            Self::Gone { .. } => "gone",
            Self::NoSpace(_) => "no_space",
            Self::Rules { .. } => "rules",
        }
    }

    /// A setback that ended a walk, with what was tried.
    pub fn from_walk(setback: Setback, attempts: &[Attempt]) -> Self {
        let attempts = || attempts.to_vec();
        match setback {
            Setback::NoTier { reason } => Self::NoTier { reason },
            Setback::Overloaded { reason, retry_after } => Self::Overloaded { reason, retry_after },
            Setback::Unavailable { reason, retry_after } => {
                Self::Unavailable { reason, retry_after: Some(retry_after), attempts: attempts() }
            }
            Setback::Lost { reason } => Self::Lost { reason, attempts: attempts() },
            Setback::TimedOut { reason } => Self::TimedOut { reason, attempts: attempts() },
        }
    }
}

impl From<Exhausted> for Error {
    fn from(exhausted: Exhausted) -> Self {
        Self::Quota { retry_after: exhausted.retry_after }
    }
}

impl From<Undecided> for Error {
    fn from(undecided: Undecided) -> Self {
        match undecided {
            Undecided::UnknownTier { allowed, .. } => Self::Invalid(Invalid::new("tier", allowed.join(", "))),
            Undecided::NoTier { reason } => Self::NoTier { reason },
            Undecided::Rules(error) => Self::Rules { reason: error.to_string() },
        }
    }
}
