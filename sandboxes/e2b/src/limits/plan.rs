//! What an E2B account may do, by what is paid for it. The numbers are those of E2B's documentation
//! (<https://e2b.dev/docs/sandbox/rate-limits>) but where it says otherwise here.

use serde::{Deserialize, Serialize};

/// The plan of an account. An account with limits of its own has one of these and says in
/// [`Config`](super::Config) where it differs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    #[default]
    Hobby,
    Pro,
    Enterprise,
}

impl Plan {
    /// Sandboxes that may be created in a second. An enterprise has a rate of its own: 50 is a guess, to be replaced by
    /// [`Config::creations_per_second`](super::Config::creations_per_second).
    pub fn creations_per_second(self) -> u32 {
        match self {
            Self::Hobby => 1,
            Self::Pro => 5,
            Self::Enterprise => 50,
        }
    }

    /// Creations that may be under way at once. Our own rule, not E2B's: a creation takes seconds, and more of them
    /// than start in one second only queue up over there.
    pub fn creations_at_once(self) -> usize {
        match self {
            Self::Hobby => 1,
            Self::Pro => 5,
            Self::Enterprise => 50,
        }
    }

    /// Sandboxes that may run at once. Paused ones do not count. Pro can buy more, an enterprise has at least these.
    pub fn concurrent(self) -> usize {
        match self {
            Self::Hobby => 20,
            Self::Pro => 100,
            Self::Enterprise => 1100,
        }
    }
}
