//! Sizes in settings: bytes as a number, or with a unit, such as `512MiB`.
//!
//! For serde: `#[serde(with = "byte_size")]` on a field of an unsigned integer type.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserializer, Serializer, de};

/// What a size may look like, for messages.
pub const FORM: &str = "a size in bytes, or with a unit: 512MiB is 512 × 1024², 512MB is 512 × 1000²";

/// The units and their bytes, largest first.
const UNITS: [(&str, u64); 12] = [
    ("EiB", 1 << 60),
    ("EB", 1_000_000_000_000_000_000),
    ("PiB", 1 << 50),
    ("PB", 1_000_000_000_000_000),
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1000),
];

/// Returns the number of bytes of a text such as `1048576`, `512MiB`, `2GB` or `1.5 GiB`, rounded down to whole bytes.
///
/// # Errors
/// The text is no size, or more than 2⁶⁴ − 1 bytes. A unit without its B (`512M`) is refused, because some read it as
/// 1000² and others as 1024².
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let has_unit = text.ends_with(['b', 'B']);
    if !text.starts_with(|first: char| first.is_ascii_digit())
        || !(has_unit || text.ends_with(|last: char| last.is_ascii_digit()))
    {
        return Err(format!("{text:?} is not {FORM}"));
    }
    parse_size::parse_size(text).map_err(|error| match error {
        parse_size::Error::PosOverflow => format!("{text:?} is too large: at most 18446744073709551615 bytes"),
        _ => format!("{text:?} is not {FORM}"),
    })
}

/// Returns a size as [`parse`] reads it, exactly: with the largest unit, of 1000 or of 1024, that leaves a whole number.
pub fn format(bytes: u64) -> String {
    let unit = UNITS.iter().find(|(_, size)| bytes > 0 && bytes.is_multiple_of(*size));
    unit.map_or_else(|| format!("{bytes}B"), |(name, size)| format!("{}{name}", bytes / size))
}

/// Writes a size with its unit.
///
/// # Errors
/// The serializer's.
pub fn serialize<N: Copy + TryInto<u64>, S: Serializer>(bytes: &N, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format((*bytes).try_into().unwrap_or(u64::MAX)))
}

/// Reads a size from a number of bytes or from a text.
///
/// # Errors
/// It is no size, or one that the field cannot hold.
pub fn deserialize<'de, N: TryFrom<u64>, D: Deserializer<'de>>(deserializer: D) -> Result<N, D::Error> {
    struct Visitor<N>(PhantomData<N>);

    impl<N: TryFrom<u64>> de::Visitor<'_> for Visitor<N> {
        type Value = N;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(FORM)
        }

        fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<N, E> {
            N::try_from(bytes).map_err(|_| E::custom(format!("{bytes} bytes are too many for this machine")))
        }

        fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<N, E> {
            let bytes = u64::try_from(bytes).map_err(|_| E::custom(format!("{bytes} is not {FORM}")))?;
            self.visit_u64(bytes)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<N, E> {
            self.visit_u64(parse(text).map_err(E::custom)?)
        }
    }

    deserializer.deserialize_any(Visitor(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_with_its_unit_exactly() {
        let sizes = [
            ("0", 0),
            ("1048576", 1 << 20),
            ("512MiB", 512 << 20),
            ("512 mib", 512 << 20),
            ("512MB", 512_000_000),
            ("2GB", 2_000_000_000),
            ("2GiB", 2 << 30),
            ("1.5GiB", 3 << 29),
            ("0.5KiB", 512),
            ("7B", 7),
            // This one has a third of a byte, which is cut off.
            ("0.001KiB", 1),
            // More digits than a float has.
            ("9007199254740993", 9_007_199_254_740_993),
            ("18446744073709551615", u64::MAX),
            ("15EiB", 15 << 60),
        ];
        for (text, bytes) in sizes {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_or_too_much_is_refused() {
        for text in [
            "", "MiB", "-1", "-1MiB", "+1", ".5MiB", "512M", "512m", "1 2 x", "1e", "12Mi", "1 YB", "one", "1,5GiB",
            "0x10",
        ] {
            assert!(parse(text).is_err_and(|why| why.contains("is not a size in bytes")), "{text}");
        }
        for text in ["18446744073709551616", "16EiB", "99999999999GB"] {
            assert!(parse(text).is_err_and(|why| why.contains("too large")), "{text}");
        }
    }

    #[test]
    fn what_is_printed_is_read_as_the_same_size() {
        let printed = [
            (0, "0B"),
            (999, "999B"),
            (1000, "1KB"),
            (1024, "1KiB"),
            (1_500_000, "1500KB"),
            (512_000_000, "512MB"),
            (512 << 20, "512MiB"),
            (3 << 29, "1536MiB"),
            (2_000_000_000, "2GB"),
            (4 << 30, "4GiB"),
            (3_000_000_000_000, "3TB"),
            (7_000_000_000_000_000, "7PB"),
            (18_000_000_000_000_000_000, "18EB"),
            (1 << 63, "8EiB"),
            // Both a multiple of 1000 and of 1024: the larger unit that divides it.
            (1_024_000, "1000KiB"),
            (1000 << 20, "1000MiB"),
        ];
        for (bytes, text) in printed {
            assert_eq!(format(bytes), text);
        }
        for bytes in
            printed.map(|(bytes, _)| bytes).into_iter().chain([1, 1023, 1001, (1 << 20) + 1, u64::MAX, u64::MAX - 1023])
        {
            assert_eq!(parse(&format(bytes)), Ok(bytes));
        }
    }
}
