//! Two results side by side: byte for byte, part by part.

use serde::Serialize;
use switchtower_contract::Output;

use super::StoredResult;
use super::fingerprint::Form;

/// Equal results have equal digests. What a run used (time, memory) is no part of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResultDigest([u8; 32]);

impl ResultDigest {
    pub(super) fn of(kept: &StoredResult) -> Self {
        let mut form = Form::new();
        for (name, content) in parts(kept) {
            form.text(&name);
            form.bytes(content.as_bytes());
        }
        Self(form.hash())
    }

    pub(super) fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

/// Where two results first differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offset {
    /// `exit`, `stdout`, `stderr`, `error.value`, `results.0.text/plain` and so on; `parts` where one has a part more.
    pub part: String,
    /// Bytes from the part's beginning.
    pub offset: usize,
}

/// Returns where two results first differ; `None` where they do not.
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

/// Everything of a result that a caller sees, by name, in one order.
fn parts(kept: &StoredResult) -> Vec<(String, String)> {
    let Output { stdout, stderr, results, error } = &kept.output;
    let mut parts = vec![
        ("exit".to_owned(), format!("{:?}", kept.outcome.exit)),
        ("stdout".to_owned(), stdout.clone()),
        ("stderr".to_owned(), stderr.clone()),
    ];
    for (at, shown) in results.iter().enumerate() {
        parts.push((format!("results.{at}.main"), shown.main.to_string()));
        parts.extend(shown.data.iter().map(|(mime, data)| (format!("results.{at}.{mime}"), data.clone())));
    }
    if let Some(error) = error {
        parts.push(("error.name".to_owned(), error.name.clone()));
        parts.push(("error.value".to_owned(), error.value.clone()));
        parts.push(("error.traceback".to_owned(), error.traceback.clone()));
        parts.push(("error.line".to_owned(), format!("{:?}", error.line)));
    }
    parts
}

/// Fewest digits of a number in hexadecimal that may be an address. Python prints addresses with nine or more on the
/// processors that native code runs on; fewer digits are colours, masks and codes.
const ADDRESS_DIGITS: usize = 8;

/// True where an output has a text in the form in which Python prints addresses (`0x7f3a5c0b1d90`).
pub(super) fn shows_an_address(output: &Output) -> bool {
    let Output { stdout, stderr, results, error } = output;
    let texts = [stdout.as_str(), stderr].into_iter();
    let shown = results.iter().flat_map(|shown| shown.data.iter()).filter(|(mime, _)| is_text(mime));
    let error = error.iter().flat_map(|error| [error.value.as_str(), &error.traceback]);
    texts.chain(shown.map(|(_, data)| data.as_str())).chain(error).any(has_an_address)
}

/// The others are base64, where `0x` means nothing.
fn is_text(mime: &str) -> bool {
    mime.starts_with("text/") || mime.ends_with("json") || mime.ends_with("xml")
}

fn has_an_address(text: &str) -> bool {
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

    fn kept(stdout: &str, value: Option<&str>) -> StoredResult {
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
    fn a_difference_is_named_by_its_part_and_its_byte() {
        let differ = |one: &StoredResult, other: &StoredResult| {
            assert_eq!(first_difference(one, other).is_none(), ResultDigest::of(one) == ResultDigest::of(other));
            first_difference(one, other).map(|found| (found.part, found.offset))
        };
        let one = kept("abc\n", Some("1"));
        assert_eq!(differ(&one, &one.clone()), None);
        assert_eq!(differ(&one, &kept("abd\n", Some("1"))), Some(("stdout".to_owned(), 2)));
        assert_eq!(differ(&one, &kept("abc\n", Some("12"))), Some(("results.0.text/plain".to_owned(), 1)));
        assert_eq!(differ(&one, &kept("abc\n", None)), Some(("parts".to_owned(), 0)));
        let mut slower = one.clone();
        slower.outcome.usage.wall = std::time::Duration::from_secs(9);
        assert_eq!(differ(&one, &slower), None);
    }

    #[test]
    fn an_address_is_seen_wherever_it_is_shown() {
        let shows = |stdout: &str, value: &str| shows_an_address(&kept(stdout, Some(value)).output);
        assert!(shows("<object object at 0x7f3a5c0b1d90>", "1"));
        assert!(shows("", "[<f at 0x55d1c2a41230>]"));
        assert!(!shows("#ff00aa 0xff 0xdeadbee 0x", "0x1p-3"));
    }
}
