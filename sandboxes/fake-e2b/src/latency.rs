//! How long answers take.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::chance::Chance;

/// A profile of latency. `E2b2026` is log-normal, fitted to figures for the cloud: creations at 491, 685, 740 ms
/// (median, p95, p99), in a burst at 822, 965, 1048 ms; a first run at 200 ms, later ones at 80 ms, the rest at 40 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Latency {
    /// No waiting.
    #[default]
    None,
    E2b2026,
}

/// What takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Create { in_flight: usize },
    FirstRun,
    Run,
    Other,
}

/// As many creations in flight are a burst.
const BURST: usize = 50;

impl Latency {
    pub(crate) fn draw(self, act: Act, chance: &Chance) -> Duration {
        let (median, spread) = match (self, act) {
            (Self::None, _) => return Duration::ZERO,
            (Self::E2b2026, Act::Create { in_flight }) if in_flight >= BURST => (822.0, 0.10),
            (Self::E2b2026, Act::Create { .. }) => (491.0, 0.19),
            (Self::E2b2026, Act::FirstRun) => (200.0, 0.2),
            (Self::E2b2026, Act::Run) => (80.0, 0.2),
            (Self::E2b2026, Act::Other) => (40.0, 0.25),
        };
        let milliseconds: f64 = median * (spread * chance.normal()).exp();
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

/// The text is no profile that we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown latency {0:?}: known are none, e2b-2026")]
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
    fn creations_take_what_was_measured() {
        let chance = Chance::new(1);
        let mut drawn: Vec<u128> =
            (0..4000).map(|_| Latency::E2b2026.draw(Act::Create { in_flight: 1 }, &chance).as_millis()).collect();
        drawn.sort_unstable();
        let (median, p95, p99) = (drawn[2000], drawn[3800], drawn[3960]);
        assert!((470..512).contains(&median), "median {median}");
        assert!((640..710).contains(&p95), "p95 {p95}");
        assert!((700..800).contains(&p99), "p99 {p99}");
    }
}
