//! The error of a call that the limits do not allow now.

use std::time::Duration;

use switchtower_contract::rounded;

use super::CallClass;
use crate::budget::BudgetExceeded;

/// A limit is reached. Nothing was sent to E2B, and nothing is reserved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitExceeded {
    /// The rate is reached, or E2B has requested a pause.
    #[error("rate limit of {} reached; retry after {}", class.plural(), rounded(*.retry_after))]
    Rate { class: CallClass, retry_after: Duration },
    /// The account's number of concurrent sandboxes is reached.
    #[error("limit of {cap} concurrent sandboxes reached; retry after {}", rounded(*.retry_after))]
    Concurrency { cap: usize, retry_after: Duration },
    /// The hourly budget of creations is used up.
    #[error("hourly budget of {limit} sandboxes used up, {count} created; retry after {}", rounded(*.retry_after))]
    Budget { count: u32, limit: u32, retry_after: Duration },
}

impl LimitExceeded {
    /// Returns the time until the call may be allowed.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Rate { retry_after, .. }
            | Self::Concurrency { retry_after, .. }
            | Self::Budget { retry_after, .. } => *retry_after,
        }
    }
}

impl From<BudgetExceeded> for LimitExceeded {
    fn from(BudgetExceeded { count, limit, retry_after }: BudgetExceeded) -> Self {
        Self::Budget { count, limit, retry_after }
    }
}
