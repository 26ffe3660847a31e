//! E2B's plans and their limits.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A plan, by the limits that its account has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Plan {
    #[default]
    Hobby,
    Pro,
    Enterprise,
    /// No rate and no limit of sandboxes; a sandbox still lives for a day at most.
    Unlimited,
}

impl Plan {
    pub const ALL: [Self; 4] = [Self::Hobby, Self::Pro, Self::Enterprise, Self::Unlimited];

    /// Returns how many sandboxes may be created in a second; `None`: no limit.
    pub fn creations_per_second(self) -> Option<u32> {
        match self {
            Self::Hobby => Some(1),
            Self::Pro => Some(5),
            Self::Enterprise => Some(50),
            Self::Unlimited => None,
        }
    }

    /// Returns how many sandboxes may run at once; `None`: no limit.
    pub fn max_concurrent(self) -> Option<u64> {
        match self {
            Self::Hobby => Some(20),
            Self::Pro => Some(100),
            Self::Enterprise => Some(1100),
            Self::Unlimited => None,
        }
    }

    /// Returns the longest time-out that a sandbox may have.
    pub fn max_lifetime(self) -> Duration {
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

/// The text is not the name of a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown plan {0:?}: must be hobby, pro, enterprise or unlimited")]
pub struct UnknownPlan(pub String);

impl FromStr for Plan {
    type Err = UnknownPlan;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = |plan: &Self| plan.name().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(known).ok_or_else(|| UnknownPlan(text.to_owned()))
    }
}
