//! What a plan allows.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A plan of E2B's, by the limits that a client meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Plan {
    #[default]
    Hobby,
    Pro,
    Enterprise,
    /// No rate and no cap; a sandbox still lives a day at most.
    Unlimited,
}

impl Plan {
    pub const ALL: [Self; 4] = [Self::Hobby, Self::Pro, Self::Enterprise, Self::Unlimited];

    /// Sandboxes that may be created in a second.
    pub fn creations_per_second(self) -> Option<u32> {
        match self {
            Self::Hobby => Some(1),
            Self::Pro => Some(5),
            Self::Enterprise => Some(50),
            Self::Unlimited => None,
        }
    }

    /// Sandboxes that may run at once.
    pub fn concurrent(self) -> Option<u64> {
        match self {
            Self::Hobby => Some(20),
            Self::Pro => Some(100),
            Self::Enterprise => Some(1100),
            Self::Unlimited => None,
        }
    }

    /// Longest that a sandbox may be asked to live.
    pub fn lifetime(self) -> Duration {
        match self {
            Self::Hobby => Duration::from_secs(3600),
            Self::Pro | Self::Enterprise | Self::Unlimited => Duration::from_secs(24 * 3600),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Hobby => "hobby",
            Self::Pro => "pro",
            Self::Enterprise => "enterprise",
            Self::Unlimited => "unlimited",
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is no plan that we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown plan {0:?}: known are hobby, pro, enterprise, unlimited")]
pub struct UnknownPlan(pub String);

impl FromStr for Plan {
    type Err = UnknownPlan;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = |plan: &Self| plan.name().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(known).ok_or_else(|| UnknownPlan(text.to_owned()))
    }
}
