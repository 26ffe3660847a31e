//! E2B's plans and their limits. The numbers are from E2B's documentation (<https://e2b.dev/docs/sandbox/rate-limits>),
//! unless a comment gives another source.

use serde::{Deserialize, Serialize};

/// The plan of an account. The [`Config`](super::Config) of an account with limits of its own overrides its numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    #[default]
    Hobby,
    Pro,
    Enterprise,
}

impl Plan {
    /// Returns the name, as settings have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hobby => "hobby",
            Self::Pro => "pro",
            Self::Enterprise => "enterprise",
        }
    }

    /// Returns how many sandboxes may be created in a second. Enterprise accounts have individual rates: 50 is a guess,
    /// to be set by [`Config::creations_per_second`](super::Config::creations_per_second).
    pub fn creations_per_second(self) -> u32 {
        match self {
            Self::Hobby => 1,
            Self::Pro => 5,
            Self::Enterprise => 50,
        }
    }

    /// Returns a sensible number of sandboxes for an hour, of which E2B says nothing: a guard against mistakes that cost
    /// money.
    pub fn creations_per_hour(self) -> u32 {
        match self {
            Self::Hobby => 50,
            Self::Pro => 100,
            Self::Enterprise => 500,
        }
    }

    /// Returns how many creations may be in flight at once. This is our own limit: a creation takes seconds, and more
    /// than start in one second only queue at E2B.
    pub fn max_creations_in_flight(self) -> usize {
        match self {
            Self::Hobby => 1,
            Self::Pro => 5,
            Self::Enterprise => 50,
        }
    }

    /// Returns how many sandboxes may run at once; paused ones do not count. Pro accounts can buy more, Enterprise
    /// accounts have at least this many.
    pub fn max_sandboxes(self) -> usize {
        match self {
            Self::Hobby => 20,
            Self::Pro => 100,
            Self::Enterprise => 1100,
        }
    }
}
