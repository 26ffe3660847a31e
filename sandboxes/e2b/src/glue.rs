//! Between limits and the wire: what the limits hear of a call, and what a call is told by the limits.

use crate::cause::{Cause, Trouble};
use crate::limits::{Kind, Limited, Limits};

impl Limits {
    /// How a call went.
    pub(crate) fn hears(&self, kind: Kind, trouble: Option<&Trouble>) {
        let Some(trouble) = trouble else { return self.succeeded(kind) };
        if trouble.is_ours() {
            return;
        }
        match trouble.cause {
            Cause::RateLimit => self.rate_limited(kind, trouble.retry_after),
            Cause::ConcurrencyCap => self.concurrency_capped(),
            Cause::Capacity | Cause::Server | Cause::Network => self.failed(kind),
            // The account is well; what was asked for is not.
            Cause::Authentication | Cause::Template | Cause::Gone | Cause::Transition | Cause::Ours | Cause::NoPath => {
            }
        }
    }
}

/// Our own refusal, in the form of E2B's.
impl From<Limited> for Trouble {
    fn from(limited: Limited) -> Self {
        let cause = match limited {
            Limited::Concurrency { .. } => Cause::ConcurrencyCap,
            Limited::Rate { .. } | Limited::Budget { .. } => Cause::RateLimit,
        };
        let (retry_after, message) = (Some(limited.retry_after()), limited.to_string());
        Self { cause, status: None, message, retry_after, may_have_run: false }
    }
}
