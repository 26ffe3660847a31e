//! Comparison of two results, part by part and byte by byte.

use serde::Serialize;
use switchtower_contract::Output;

use super::StoredResult;
use super::fingerprint::CanonicalHasher;

/// The digest of a result: equal results have equal digests. Time and memory used are not part of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResultDigest([u8; 32]);

impl ResultDigest {
    pub(super) fn of(result: &StoredResult) -> Self {
        let mut hasher = CanonicalHasher::new();
        for (name, content) in parts(result) {
            hasher.text(&name);
            hasher.bytes(content.as_bytes());
        }
        Self(hasher.finish())
    }

    pub(super) fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

/// Position of the first difference between two results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offset {
    /// `exit`, `stdout`, `stderr`, `error.value`, `results.0.text/plain` and so on; `parts` if the results do not have the same
    /// parts.
    pub part: String,
    /// Bytes from the start of the part.
    pub offset: usize,
}

/// Returns the position of the first difference between two results; `None` if they are equal.
pub(super) fn first_difference(one: &StoredResult, other: &StoredResult) -> Option<Offset> {
    let (one, other) = (parts(one), parts(other));
    for ((name, content), (other_name, other_content)) in one.iter().zip(&other) {
        if name != other_name {
            return Some(Offset { part: "parts".to_owned(), offset: 0 });
        }
        if content != other_content {
            let equal = content.bytes().zip(other_content.bytes()).take_while(|(one, other)| one == other).count();
            return Some(Offset { part: name.clone(), offset: equal });
        }
    }
    (one.len() != other.len()).then(|| Offset { part: "parts".to_owned(), offset: 0 })
}

/// Returns everything in a result that a caller sees, as named parts in a fixed order.
fn parts(result: &StoredResult) -> Vec<(String, String)> {
    let Output { stdout, stderr, results, error } = &result.output;
    let mut parts = vec![
        ("exit".to_owned(), format!("{:?}", result.outcome.exit)),
        ("stdout".to_owned(), stdout.clone()),
        ("stderr".to_owned(), stderr.clone()),
    ];
    for (at, value) in results.iter().enumerate() {
        parts.push((format!("results.{at}.main"), value.main.to_string()));
        parts.extend(value.data.iter().map(|(mime, data)| (format!("results.{at}.{mime}"), data.clone())));
    }
    if let Some(error) = error {
        parts.push(("error.name".to_owned(), error.name.clone()));
        parts.push(("error.value".to_owned(), error.value.clone()));
        parts.push(("error.traceback".to_owned(), error.traceback.clone()));
        parts.push(("error.line".to_owned(), format!("{:?}", error.line)));
    }
    parts
}

/// Minimum number of hexadecimal digits that is taken for a memory address. Python prints nine or more on the processors that
/// run native code; fewer digits are colours, masks and codes.
const ADDRESS_DIGITS: usize = 8;

/// Returns whether an output contains text in the form in which Python prints memory addresses (`0x7f3a5c0b1d90`).
pub(super) fn contains_address(output: &Output) -> bool {
    let Output { stdout, stderr, results, error } = output;
    let texts = [stdout.as_str(), stderr].into_iter();
    let displayed = results.iter().flat_map(|value| value.data.iter()).filter(|(mime, _)| is_text(mime));
    let error = error.iter().flat_map(|error| [error.value.as_str(), &error.traceback]);
    texts.chain(displayed.map(|(_, data)| data.as_str())).chain(error).any(text_contains_address)
}

/// Returns whether data of a MIME type is text. Other data is base64, in which `0x` means nothing.
fn is_text(mime: &str) -> bool {
    mime.starts_with("text/") || mime.ends_with("json") || mime.ends_with("xml")
}

fn text_contains_address(text: &str) -> bool {
    text.match_indices("0x").any(|(at, prefix)| {
        let digits = text.as_bytes()[at + prefix.len()..].iter().take_while(|byte| byte.is_ascii_hexdigit());
        digits.count() >= ADDRESS_DIGITS
    })
}

#[cfg(test)]
mod tests {
    use switchtower_contract::events::DisplayedValue;
    use switchtower_contract::{Exit, Outcome, Usage};

    use super::*;

    fn result(stdout: &str, value: Option<&str>) -> StoredResult {
        let outcome = Outcome {
            exit: Exit::Finished(0),
            observed: None,
            truncated: false,
            usage: Usage::default(),
            unmet_need: None,
        };
        let results = value
            .map(|value| DisplayedValue { data: [("text/plain".to_owned(), value.to_owned())].into(), main: true });
        let output = Output { stdout: stdout.to_owned(), results: results.into_iter().collect(), ..Output::default() };
        StoredResult::new(&"native".into(), &outcome, &output).unwrap()
    }

    #[test]
    fn a_difference_is_reported_with_its_part_and_its_byte_offset() {
        let differ = |one: &StoredResult, other: &StoredResult| {
            assert_eq!(first_difference(one, other).is_none(), ResultDigest::of(one) == ResultDigest::of(other));
            first_difference(one, other).map(|found| (found.part, found.offset))
        };
        let one = result("abc\n", Some("1"));
        assert_eq!(differ(&one, &one.clone()), None);
        assert_eq!(differ(&one, &result("abd\n", Some("1"))), Some(("stdout".to_owned(), 2)));
        assert_eq!(differ(&one, &result("abc\n", Some("12"))), Some(("results.0.text/plain".to_owned(), 1)));
        assert_eq!(differ(&one, &result("abc\n", None)), Some(("parts".to_owned(), 0)));
        let mut slower = one.clone();
        slower.outcome.usage.wall = std::time::Duration::from_secs(9);
        assert_eq!(differ(&one, &slower), None);
    }

    #[test]
    fn an_address_is_found_in_stdout_and_in_displayed_values() {
        let contains = |stdout: &str, value: &str| contains_address(&result(stdout, Some(value)).output);
        assert!(contains("<object object at 0x7f3a5c0b1d90>", "1"));
        assert!(contains("", "[<f at 0x55d1c2a41230>]"));
        assert!(!contains("#ff00aa 0xff 0xdeadbee 0x", "0x1p-3"));
    }
}
