//! Pauses between attempts on the same tier: exponential backoff, with full jitter unless it is switched off.

use std::time::Duration;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use switchtower_contract::duration;

/// How often an attempt is repeated on the same tier, and how long the pauses between attempts are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Most repeats of an attempt on the same tier; 0: none.
    pub max_retries: u32,
    /// Upper bound of the first pause; it doubles with each repeat.
    #[serde(with = "duration")]
    pub base_delay: Duration,
    /// Upper bound of every pause, however many repeats there were.
    #[serde(with = "duration")]
    pub max_delay: Duration,
    /// `full`: each pause is drawn at random between 0 and its upper bound, so that attempts that failed together are
    /// not repeated together. `none`: each pause is as long as its upper bound.
    pub jitter: Jitter,
    /// Longest delay that is accepted from a backend, as in `Retry-After`. If a backend requests more, the next tier is
    /// tried.
    #[serde(with = "duration")]
    pub max_retry_after: Duration,
}

/// How the length of a pause is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    #[default]
    Full,
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_retries: 2,
            base_delay: Duration::from_millis(20),
            max_delay: Duration::from_secs(1),
            jitter: Jitter::default(),
            max_retry_after: Duration::from_secs(1),
        }
    }
}

impl Config {
    /// Returns the pause before repeat number `repeat`, counted from 0: the delay that the backend requested
    /// (`retry_after`) plus the backoff. `None` if there are no repeats left, or if `retry_after` is longer
    /// than `max_retry_after`.
    pub fn pause(&self, repeat: u32, retry_after: Option<Duration>, rng: &mut impl Rng) -> Option<Duration> {
        let retry_after = retry_after.unwrap_or_default();
        if repeat >= self.max_retries || retry_after > self.max_retry_after {
            return None;
        }
        let bound = self.base_delay.saturating_mul(2u32.saturating_pow(repeat)).min(self.max_delay);
        let backoff = match self.jitter {
            Jitter::Full => bound.mul_f64(rng.random_range(0.0..=1.0)),
            Jitter::None => bound,
        };
        Some(retry_after + backoff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn pauses_grow_to_the_maximum_and_repeats_are_bounded() {
        let config = Config { max_retries: 12, ..Config::default() };
        let mut rng = Seed::fixed(1).rng();
        for repeat in 0..12 {
            let bound = (config.base_delay * 2u32.pow(repeat)).min(config.max_delay);
            assert!(config.pause(repeat, None, &mut rng).unwrap() <= bound);
        }
        assert_eq!(config.pause(12, None, &mut rng), None);
    }

    #[test]
    fn three_retries_pause_at_most_one_two_and_four_seconds_and_never_more_than_ten() {
        let config = Config {
            max_retries: 3,
            base_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(10),
            ..Config::default()
        };
        let mut rng = Seed::fixed(2).rng();
        for _ in 0..200 {
            let pauses: Vec<_> = (0..4).map(|repeat| config.pause(repeat, None, &mut rng)).collect();
            assert!(pauses.iter().zip([1, 2, 4]).all(|(pause, bound)| pause.unwrap() <= Duration::from_secs(bound)));
            assert_eq!(pauses[3], None);
            let late = Config { max_retries: 9, ..config.clone() }.pause(8, None, &mut rng);
            assert!(late.unwrap() <= Duration::from_secs(10));
        }
    }

    #[test]
    fn without_jitter_three_retries_pause_exactly_one_two_and_four_seconds() {
        let config = Config {
            max_retries: 3,
            base_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(10),
            jitter: Jitter::None,
            ..Config::default()
        };
        let mut rng = Seed::fixed(3).rng();
        let pauses: Vec<_> = (0..4).map(|repeat| config.pause(repeat, None, &mut rng)).collect();
        assert_eq!(pauses, [Some(1), Some(2), Some(4), None].map(|pause| pause.map(Duration::from_secs)));
        let late = Config { max_retries: 9, ..config }.pause(8, None, &mut rng);
        assert_eq!(late, Some(Duration::from_secs(10)));
    }

    #[test]
    fn a_requested_delay_is_respected_up_to_the_configured_maximum() {
        let (config, mut rng) = (Config::default(), Seed::fixed(1).rng());
        let retry_after = Duration::from_millis(500);
        assert!(config.pause(0, Some(retry_after), &mut rng).unwrap() >= retry_after);
        assert_eq!(config.pause(0, Some(Duration::from_secs(5)), &mut rng), None);
    }
}
