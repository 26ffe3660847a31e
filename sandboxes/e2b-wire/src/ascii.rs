//! JSON in ASCII, for everything that is sent line by line or frame by frame.
//!
//! Clients split streams at more than `\n`: Python's `str.splitlines`, and httpx with it, also at U+000B, U+000C, U+001C to
//! U+001E, U+0085, U+2028 and U+2029. JSON escapes the control characters itself; here all other text outside ASCII is
//! escaped too, as E2B's servers do.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Returns a value as JSON on one line, in ASCII. Characters beyond U+FFFF are pairs of surrogates.
///
/// # Errors
/// The value has a key that is not text, or refuses to be serialized.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    let mut json = Vec::with_capacity(128);
    value.serialize(&mut Serializer::with_formatter(&mut json, AsciiFormatter))?;
    // Cannot fail: the formatter writes ASCII.
    String::from_utf8(json).map_err(|error| serde_json::Error::io(io::Error::other(error)))
}

/// Writes compact JSON, and escapes what is not ASCII.
struct AsciiFormatter;

impl Formatter for AsciiFormatter {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        write_escaped(writer, fragment)
    }

    /// JSON has text outside ASCII only in its strings, so it stays the same JSON.
    fn write_raw_fragment<W: Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        write_escaped(writer, fragment)
    }
}

fn write_escaped<W: Write + ?Sized>(writer: &mut W, text: &str) -> io::Result<()> {
    for chunk in text.split_inclusive(|character: char| !character.is_ascii()) {
        let last = chunk.chars().next_back().filter(|character| !character.is_ascii());
        let plain = chunk.len() - last.map_or(0, char::len_utf8);
        writer.write_all(&chunk.as_bytes()[..plain])?;
        if let Some(character) = last {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn text_is_escaped_as_python_escapes_it() {
        // As Python has it: json.dumps(text)
        for (text, escaped) in [
            ("a\u{2028}b\u{2029}", r#""a\u2028b\u2029""#),
            ("\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{85}", r#""\u000b\f\u001c\u001d\u001e\u0085""#),
            ("ä€", r#""\u00e4\u20ac""#),
            ("x😀\u{10ffff}", r#""x\ud83d\ude00\udbff\udfff""#),
            ("\u{7f}\"\\\n", "\"\u{7f}\\\"\\\\\\n\""),
        ] {
            assert_eq!(to_string(text).unwrap(), escaped);
        }
        assert_eq!(to_string(&json!({ "ä": ["\u{85}"] })).unwrap(), r#"{"\u00e4":["\u0085"]}"#);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_one_line_in_ascii_and_is_read_back(texts in prop::collection::vec("(\u{85}|\u{2028}|\u{b}|😀|.){0,12}", 0..5)) {
            let value = json!({ "texts": texts, texts.concat(): 1.5 });
            let sent = to_string(&value).unwrap();
            prop_assert!(sent.bytes().all(|byte| (0x20..0x80).contains(&byte)), "{sent}");
            prop_assert_eq!(serde_json::from_str::<Value>(&sent).unwrap(), value);
        }
    }
}
