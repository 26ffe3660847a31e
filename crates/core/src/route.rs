//! Where a program may run: names of tiers, and an ordered list of them.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::{Isolation, Language, Location, Modules, Price};

/// A tier's name, as the configuration gives it.
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

/// Tiers to try, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route(pub Vec<Leg>);

/// One tier of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    pub tier: TierName,
    /// Wall time that the program may spend here before it moves on. The last leg of a route ignores it: a budget never
    /// ends a program that has nowhere else to go.
    pub budget: Option<Duration>,
}

impl Route {
    /// A route of one tier.
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

/// What a tier has and how it does at this moment: the facts that deciding needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierStatus {
    pub tier: TierName,
    pub languages: Vec<Language>,
    pub modules: Modules,
    pub isolation: Isolation,
    pub location: Location,
    /// Its sandboxes are machines, with commands, files and ports.
    pub machine: bool,
    /// What one second of a sandbox costs. `None`: nothing.
    pub price_per_second: Option<Price>,
    pub memory: u64,
    pub wall: Duration,
    /// False while its breaker is open or its backend is absent.
    pub up: bool,
    pub running: usize,
    pub queued: usize,
    pub slots: usize,
}
