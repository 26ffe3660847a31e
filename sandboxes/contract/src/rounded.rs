//! Durations in messages and logs.

use std::fmt;
use std::time::Duration;

/// A duration that displays rounded: `<1ms`, `250ms`, `1.2s`, `90s`, `5m 30s`, `2h 5m`. For messages and logs; values
/// that programs read are written exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounded(Duration);

/// Returns a duration that displays rounded to two or three digits, half up.
pub fn rounded(time: Duration) -> Rounded {
    Rounded(time)
}

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let in_units = |unit: u128| (nanos + unit / 2) / unit;
        let (millis, tenths, seconds) = (in_units(1_000_000), in_units(100_000_000), in_units(1_000_000_000));
        if nanos == 0 {
            f.write_str("0s")
        } else if millis == 0 {
            f.write_str("<1ms")
        } else if millis < 1000 {
            write!(f, "{millis}ms")
        } else if tenths < 100 {
            match tenths % 10 {
                0 => write!(f, "{}s", tenths / 10),
                tenth => write!(f, "{}.{tenth}s", tenths / 10),
            }
        } else if seconds < 120 {
            write!(f, "{seconds}s")
        } else if seconds < 7200 {
            write_in_two_units(f, seconds, ("m", 60), ("s", 1))
        } else {
            write_in_two_units(f, in_units(60_000_000_000), ("h", 60), ("m", 1))
        }
    }
}

/// Writes a count of the smallest unit as a number of large and a number of small units.
fn write_in_two_units(
    f: &mut fmt::Formatter<'_>,
    count: u128,
    large: (&str, u128),
    small: (&str, u128),
) -> fmt::Result {
    let (whole, rest) = (count / large.1, count % large.1 / small.1);
    match rest {
        0 => write!(f, "{whole}{}", large.0),
        rest => write!(f, "{whole}{} {rest}{}", large.0, small.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_displays_two_or_three_digits_and_its_unit() {
        let shown = |nanos: u64| rounded(Duration::from_nanos(nanos)).to_string();
        let cases = [
            (0, "0s"),
            (1, "<1ms"),
            (499_999, "<1ms"),
            (500_000, "1ms"),
            (249_999_999, "250ms"),
            (999_499_999, "999ms"),
            (999_500_000, "1s"),
            (1_234_567_891, "1.2s"),
            (1_950_000_000, "2s"),
            (9_960_000_000, "10s"),
            (30_000_000_001, "30s"),
            (89_500_000_000, "90s"),
            (119_500_000_000, "2m"),
            (330_400_000_000, "5m 30s"),
            (3_600_000_000_000, "60m"),
            (7_199_600_000_000, "2h"),
            (7_500_000_000_000, "2h 5m"),
        ];
        for (nanos, text) in cases {
            assert_eq!(shown(nanos), text, "{nanos}");
        }
        assert!(!rounded(Duration::MAX).to_string().is_empty());
    }
}
