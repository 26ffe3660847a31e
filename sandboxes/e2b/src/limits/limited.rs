//! There is no right to be had now; when there will be one.

use std::time::Duration;

use switchtower_contract::rounded;

use super::Kind;
use crate::budget::Spent;

/// A right was refused. Nothing was sent to E2B and nothing is held: the caller may come back, or go elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Limited {
    /// As many as the rate allows have started, or E2B asked for a pause.
    #[error("no more {} for now: come back in {}", what.plural(), rounded(*.retry_after))]
    Rate { what: Kind, retry_after: Duration },
    /// The account runs as many sandboxes as it may.
    #[error("no more than {cap} sandboxes at once: come back in {}", rounded(*.retry_after))]
    Concurrency { cap: usize, retry_after: Duration },
    /// Our own budget of creations is used up.
    #[error("no more than {limit} sandboxes an hour, and there were {count}: come back in {}", rounded(*.retry_after))]
    Budget { count: u32, limit: u32, retry_after: Duration },
}

impl Limited {
    /// When it is worth asking again.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Rate { retry_after, .. }
            | Self::Concurrency { retry_after, .. }
            | Self::Budget { retry_after, .. } => *retry_after,
        }
    }
}

impl From<Spent> for Limited {
    fn from(Spent { count, limit, retry_after }: Spent) -> Self {
        Self::Budget { count, limit, retry_after }
    }
}
