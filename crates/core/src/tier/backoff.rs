//! How long to wait before trying the same tier again: exponential, with full jitter.

use std::time::Duration;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// How often an attempt is repeated on the same tier, and after which pauses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How often an attempt is repeated on the same tier; 0: never.
    pub retries: u32,
    /// Longest first pause; it doubles with each repeat. The pause itself is drawn between 0 and this.
    #[serde(with = "humantime_serde")]
    pub base_delay: Duration,
    /// Longest pause, however many repeats there were.
    #[serde(with = "humantime_serde")]
    pub max_delay: Duration,
    /// Longest pause that a tier may ask for, as with `Retry-After`. A tier that asks for more is left for the next one.
    #[serde(with = "humantime_serde")]
    pub max_retry_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            retries: 2,
            base_delay: Duration::from_millis(20),
            max_delay: Duration::from_secs(1),
            max_retry_after: Duration::from_secs(1),
        }
    }
}

impl Config {
    /// The pause before repeat number `repeat`, from 0; none where this was the last, or where `asked`, the pause that
    /// the tier asked for, is longer than the patience.
    pub fn pause(&self, repeat: u32, asked: Option<Duration>, chance: &mut impl Rng) -> Option<Duration> {
        let asked = asked.unwrap_or_default();
        if repeat >= self.retries || asked > self.max_retry_after {
            return None;
        }
        let most = self.base_delay.saturating_mul(2u32.saturating_pow(repeat)).min(self.max_delay);
        // Full jitter: those who failed together do not come back together.
        Some(asked + most.mul_f64(chance.random_range(0.0..=1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn pauses_grow_to_the_cap_and_end() {
        let config = Config { retries: 12, ..Config::default() };
        let mut chance = Seed::fixed(1).rng();
        for repeat in 0..12 {
            let most = (config.base_delay * 2u32.pow(repeat)).min(config.max_delay);
            assert!(config.pause(repeat, None, &mut chance).unwrap() <= most);
        }
        assert_eq!(config.pause(12, None, &mut chance), None);
    }

    #[test]
    fn three_retries_pause_at_most_one_two_and_four_seconds_and_never_more_than_ten() {
        let config = Config {
            retries: 3,
            base_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(10),
            ..Config::default()
        };
        let mut chance = Seed::fixed(2).rng();
        for _ in 0..200 {
            let pauses: Vec<_> = (0..4).map(|repeat| config.pause(repeat, None, &mut chance)).collect();
            assert!(pauses.iter().zip([1, 2, 4]).all(|(pause, most)| pause.unwrap() <= Duration::from_secs(most)));
            assert_eq!(pauses[3], None);
            let late = Config { retries: 9, ..config.clone() }.pause(8, None, &mut chance);
            assert!(late.unwrap() <= Duration::from_secs(10));
        }
    }

    #[test]
    fn a_tier_that_asks_for_patience_gets_what_there_is() {
        let (config, mut chance) = (Config::default(), Seed::fixed(1).rng());
        let asked = Duration::from_millis(500);
        assert!(config.pause(0, Some(asked), &mut chance).unwrap() >= asked);
        assert_eq!(config.pause(0, Some(Duration::from_secs(5)), &mut chance), None);
    }
}
