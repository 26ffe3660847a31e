//! Durations in settings, such as `30s`, at most [`MAX`].
//!
//! For serde: `#[serde(with = "duration")]` on a field of type [`Duration`].

use std::fmt;
use std::time::Duration;

use serde::{Deserializer, Serializer, de};

/// The longest duration that a setting may have: 10 years of 365.25 days. A sum of a few such durations can still be
/// added to an instant, which panics beyond its range.
pub const MAX: Duration = Duration::from_secs(10 * 31_557_600);

/// What a duration that is too long should have been, for messages.
const SHORTER: &str = "a duration of at most 10 years";

/// Returns the duration of a text such as `250ms`, `30s` or `1h 30m`.
///
/// # Errors
/// The text is no duration, or one that is longer than [`MAX`].
pub fn parse(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= MAX => Ok(time),
        Ok(_) | Err(humantime::DurationError::NumberOverflow) => Err(format!("{text:?} is not {SHORTER}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Writes a duration exactly, as [`parse`] reads it.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*time))
}

/// Reads a duration from a text.
///
/// # Errors
/// It is no duration, or one that is longer than [`MAX`].
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Visitor;

    impl de::Visitor<'_> for Visitor {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            let found = de::Unexpected::Str(text);
            match humantime::parse_duration(text) {
                Ok(time) if time <= MAX => Ok(time),
                Ok(_) | Err(humantime::DurationError::NumberOverflow) => Err(E::invalid_value(found, &SHORTER)),
                Err(_) => Err(E::invalid_value(found, &self)),
            }
        }
    }

    deserializer.deserialize_str(Visitor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_up_to_ten_years() {
        for (text, time) in [("0s", Duration::ZERO), ("1h 30m", Duration::from_secs(5400)), ("10y", MAX)] {
            assert_eq!(parse(text), Ok(time), "{text}");
        }
        for text in ["10y 1ns", "584000000000y", "99999999999999999999y"] {
            assert!(parse(text).is_err_and(|why| why.contains("at most 10 years")), "{text}");
        }
        for text in ["", "30", "soon", "-1s"] {
            assert!(parse(text).is_err_and(|why| !why.contains("at most")), "{text}");
        }
    }

    #[test]
    fn a_few_of_the_longest_durations_can_be_added_to_an_instant() {
        assert!(tokio::time::Instant::now().checked_add(MAX * 1000).is_some());
    }
}
