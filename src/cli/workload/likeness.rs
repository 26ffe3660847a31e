//! Compares an output with the expected one: numbers as numbers, the rest word by word.
//!
//! A number has no letter, digit or underscore next to it, so `float64` and `3rd` are words. Whole numbers must be
//! equal; if either number has a point or an exponent, they may differ by a millionth of the larger one, or by 1e-9
//! near zero. Between numbers, a run of white space counts as one space.

use serde::Serialize;

/// The allowed difference of two numbers, relative to the larger one.
const RELATIVE: f64 = 1e-6;
/// The difference of two numbers that is always allowed.
const ABSOLUTE: f64 = 1e-9;

/// How an output compares with the expected one, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Likeness {
    /// Equal byte for byte.
    Equal,
    /// The same words, and the same numbers within the tolerance.
    Close,
    /// The same numbers among other words.
    TextDiffers,
    /// Other numbers.
    Wrong,
}

impl Likeness {
    pub(super) fn of(is: &str, expected: &str) -> Self {
        if is == expected {
            return Self::Equal;
        }
        let (is, expected) = (Parts::of(is), Parts::of(expected));
        let same = is.numbers.len() == expected.numbers.len()
            && is.numbers.iter().zip(&expected.numbers).all(|(is, expected)| are_close(is, expected));
        match (same, is.words == expected.words) {
            (true, true) => Self::Close,
            // Without numbers, other words are a wrong output.
            (true, false) if !is.numbers.is_empty() => Self::TextDiffers,
            _ => Self::Wrong,
        }
    }

    /// Returns whether the output is the expected one, within the tolerance of numbers.
    pub(super) fn is_as_expected(self) -> bool {
        self <= Self::Close
    }
}

fn are_close(one: &str, other: &str) -> bool {
    let is_whole = |text: &str| !text.contains(['.', 'e', 'E']);
    match (one.parse::<f64>(), other.parse::<f64>()) {
        _ if is_whole(one) && is_whole(other) => one.trim_start_matches('+') == other.trim_start_matches('+'),
        (Ok(a), Ok(b)) => a == b || (a - b).abs() <= (RELATIVE * a.abs().max(b.abs())).max(ABSOLUTE),
        _ => false,
    }
}

/// The numbers and the words of a text.
struct Parts<'t> {
    numbers: Vec<&'t str>,
    /// The rest of the text, with a NUL in place of each number.
    words: String,
}

impl<'t> Parts<'t> {
    fn of(text: &'t str) -> Self {
        let text = text.trim();
        let mut parts = Self { numbers: Vec::new(), words: String::new() };
        let (mut at, mut before) = (0, ' ');
        while let Some(next) = text[at..].chars().next() {
            let end = if is_word(before) { 0 } else { number(&text[at..]) };
            if end > 0 {
                parts.numbers.push(&text[at..at + end]);
                parts.words.push('\0');
                (at, before) = (at + end, '0');
                continue;
            }
            if !next.is_whitespace() {
                parts.words.push(next);
            } else if !before.is_whitespace() {
                parts.words.push(' ');
            }
            (at, before) = (at + next.len_utf8(), next);
        }
        parts
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the length in bytes of the number at the start of a text; 0 if there is none.
fn number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let whole = digits(sign);
    let mut end = sign + whole;
    if bytes.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if whole + fraction == 0 {
            return 0;
        }
        end += 1 + fraction;
    } else if whole == 0 {
        return 0;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = if signed <= bytes.len() { digits(signed) } else { 0 };
        if exponent > 0 {
            end = signed + exponent;
        }
    }
    // `1.5x` and `3rd` are words, and so is the rest of `1.2.3`.
    if text[end..].starts_with(is_word) { 0 } else { end }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Likeness::{self, Close, Equal, TextDiffers, Wrong};

    #[test]
    fn numbers_are_compared_as_numbers_and_words_as_words() {
        for (is, expected, likeness) in [
            ("x = 0.1\n", "x = 0.1\n", Equal),
            ("x = 0.1", "x = 0.10000000001\n", Close),
            ("  a    b\n0 1.0  2\n", "   a  b\n0 1.00 2\n", Close),
            ("[0.5 -1e-17]", "[0.5  0.]", Close),
            ("1e6", "1000000.0", Close),
            ("np.float64(0.5)", "np.float64(0.50000000001)", Close),
            ("1000001", "1000000", Wrong),
            ("0.1", "0.2", Wrong),
            ("0.1 0.2", "0.1", Wrong),
            ("-1.5", "1.5", Wrong),
            ("nan", "0.1", Wrong),
            ("yes", "no", Wrong),
            ("mean: 0.5", "average: 0.5", TextDiffers),
            ("dtype: str 3", "dtype: object 3", TextDiffers),
            ("float32 1.5", "float64 1.5", TextDiffers),
            ("2024-01-02", "2024-01-03", Wrong),
            ("3rd 1", "3th 1", TextDiffers),
            ("", "", Equal),
            ("", "1", Wrong),
        ] {
            assert_eq!(Likeness::of(is, expected), likeness, "{is:?} {expected:?}");
        }
    }

    proptest! {
        #[test]
        fn likeness_is_symmetric(one in "[-+.eE0-2a\u{e9} \n]{0,9}", two in "[-+.eE0-2a\u{e9} \n]{0,9}") {
            prop_assert_eq!(Likeness::of(&one, &two), Likeness::of(&two, &one));
            prop_assert_eq!(Likeness::of(&one, &one), Equal);
            let padded = format!(" {one}\n");
            prop_assert!(Likeness::of(&one, &padded) <= Close);
        }
    }
}
