//! Routes: names of tiers, and ordered lists of them.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::stored::optional_micros;
use switchtower_contract::{Isolation, Languages, Location, Price};

/// The name of a tier in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TierName(Arc<str>);

impl TierName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for TierName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl Borrow<str> for TierName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TierName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The tiers to try, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route(pub Vec<Leg>);

/// One tier of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    pub tier: TierName,
    /// Wall time that the program may use in this tier before it moves to the next. The last leg ignores it: without a next
    /// tier, a budget does not end a program.
    #[serde(rename = "budget_micros", with = "optional_micros")]
    pub budget: Option<Duration>,
}

impl Route {
    /// Returns a route of one tier without a budget.
    pub fn only(tier: impl Into<TierName>) -> Self {
        Self(vec![Leg { tier: tier.into(), budget: None }])
    }

    pub fn tiers(&self) -> impl Iterator<Item = &TierName> {
        self.0.iter().map(|leg| &leg.tier)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, leg) in self.0.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { " → " }, leg.tier)?;
        }
        Ok(())
    }
}

/// What a tier offers, and its current load: the facts about it that the rules get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierStatus {
    pub tier: TierName,
    pub languages: Languages,
    pub isolation: Isolation,
    pub location: Location,
    /// Whether its sandboxes are machines, with commands, files and ports.
    pub machine: bool,
    /// Whether programs reach the internet.
    pub internet: bool,
    /// Price of one second of a sandbox; `None`: free.
    pub price_per_second: Option<Price>,
    /// Maximum memory of a program, in bytes.
    pub memory: u64,
    /// Maximum wall time of a program.
    pub wall: Duration,
    /// False while its breaker is open or its backend is starting.
    pub up: bool,
    /// Whether its backend is starting: what is routed to it waits for that.
    pub starting: bool,
    /// Programs that run now.
    pub running: usize,
    /// Requests that wait for a slot now.
    pub queued: usize,
    /// Programs that may run at once.
    pub slots: usize,
}
