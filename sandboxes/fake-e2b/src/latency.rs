//! How long answers take.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::random::SeededRandom;

/// A latency profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Latency {
    /// No latency.
    #[default]
    None,
    /// Log-normal, fitted to published figures for E2B's cloud: creations at 491, 685, 740 ms (median, p95, p99), in a burst
    /// at 822, 965, 1048 ms. The other medians are assumptions: a first run 200 ms, later ones 80 ms, other calls 40 ms.
    E2b2026,
}

/// What takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A creation, and how many are in flight with it.
    Create {
        in_flight: usize,
    },
    FirstRun,
    Run,
    Other,
}

/// Creations in flight from which on they count as a burst.
const BURST: usize = 50;

impl Latency {
    pub(crate) fn draw(self, operation: Operation, random: &SeededRandom) -> Duration {
        let (median, spread) = match (self, operation) {
            (Self::None, _) => return Duration::ZERO,
            (Self::E2b2026, Operation::Create { in_flight }) if in_flight >= BURST => (822.0, 0.10),
            (Self::E2b2026, Operation::Create { .. }) => (491.0, 0.19),
            (Self::E2b2026, Operation::FirstRun) => (200.0, 0.2),
            (Self::E2b2026, Operation::Run) => (80.0, 0.2),
            (Self::E2b2026, Operation::Other) => (40.0, 0.25),
        };
        let milliseconds: f64 = median * (spread * random.normal()).exp();
        Duration::from_secs_f64(milliseconds / 1000.0)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::E2b2026 => "e2b-2026",
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown latency {0:?}: must be none or e2b-2026")]
pub struct UnknownLatency(pub String);

impl FromStr for Latency {
    type Err = UnknownLatency;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = [Self::None, Self::E2b2026];
        known.into_iter().find(|latency| latency.name() == text).ok_or_else(|| UnknownLatency(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creations_take_as_long_as_the_published_figures_say() {
        let random = SeededRandom::new(1);
        let mut drawn: Vec<u128> =
            (0..4000).map(|_| Latency::E2b2026.draw(Operation::Create { in_flight: 1 }, &random).as_millis()).collect();
        drawn.sort_unstable();
        let (median, p95, p99) = (drawn[2000], drawn[3800], drawn[3960]);
        assert!((470..512).contains(&median), "median {median}");
        assert!((640..710).contains(&p95), "p95 {p95}");
        assert!((700..800).contains(&p99), "p99 {p99}");
    }
}
