//! The metadata of a file: names and values of the client's own, which E2B keeps as extended attributes `user.e2b.*`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::FileError;

/// Bytes of the prefix that a name has as an extended attribute: `user.e2b.`.
const PREFIX_BYTES: usize = 9;
/// Maximum length of a name, in bytes: the limit of Linux, without the prefix.
const MAX_KEY_BYTES: usize = 255 - PREFIX_BYTES;
/// Maximum bytes of all names, with their prefixes, and values of a file.
const MAX_BYTES: usize = 4096;

/// Names and values of one file. Clones share them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileMetadata(Option<Arc<BTreeMap<String, String>>>);

impl FileMetadata {
    /// Returns metadata with these names, in lowercase, and values. Of several values of a name the first one counts.
    ///
    /// # Errors
    /// `Invalid`: a name or value is not printable ASCII, a name is empty or too long, or all are too large together.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, FileError> {
        let mut metadata = BTreeMap::new();
        let (mut bytes, invalid) = (0, |what: String| Err(FileError::Invalid(what)));
        for (key, value) in pairs {
            let key = key.to_ascii_lowercase();
            let is_printable = |text: &[u8]| text.iter().all(|byte| (0x20..0x7f).contains(byte));
            if key.is_empty() || key.len() > MAX_KEY_BYTES || !is_printable(key.as_bytes()) {
                return invalid(format!(
                    "metadata key {key:?} must have 1 to {MAX_KEY_BYTES} printable ASCII characters"
                ));
            }
            let value = std::str::from_utf8(value).ok().filter(|value| is_printable(value.as_bytes()));
            let Some(value) = value else {
                return invalid(format!("the value of metadata key {key:?} must be printable ASCII"));
            };
            if metadata.contains_key(&key) {
                continue;
            }
            bytes += PREFIX_BYTES + key.len() + value.len();
            if bytes > MAX_BYTES {
                return invalid(format!("the metadata of a file may have {MAX_BYTES} bytes together"));
            }
            metadata.insert(key, value.to_owned());
        }
        Ok(Self((!metadata.is_empty()).then(|| Arc::new(metadata))))
    }

    /// Returns the names and values; `None` if there are none.
    pub fn pairs(&self) -> Option<&BTreeMap<String, String>> {
        self.0.as_deref()
    }

    /// Returns the bytes charged for it.
    pub(super) fn bytes(&self) -> u64 {
        let pair = |(key, value): (&String, &String)| (PREFIX_BYTES + key.len() + value.len()) as u64;
        self.pairs().map_or(0, |pairs| pairs.iter().map(pair).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_limited_as_extended_attributes_are() {
        let new = |pairs: &[(&str, &str)]| FileMetadata::new(pairs.iter().map(|(key, value)| (*key, value.as_bytes())));
        let kept = new(&[("Author", "ada"), ("author", "bob"), ("empty", "")]).unwrap();
        assert_eq!(kept.pairs().unwrap().iter().collect::<Vec<_>>().len(), 2);
        assert_eq!((kept.pairs().unwrap()["author"].as_str(), kept.bytes()), ("ada", 9 + 9 + 9 + 5));
        assert_eq!((new(&[]).unwrap(), FileMetadata::default().bytes()), (FileMetadata::default(), 0));
        for (key, value) in [("", "x"), ("ä", "x"), ("a", "ä"), ("a", "\n"), ("a\u{7f}", "")] {
            assert!(matches!(new(&[(key, value)]), Err(FileError::Invalid(_))), "{key:?} {value:?}");
        }
        let long = |length| "k".repeat(length);
        assert!(new(&[(&long(246), "")]).is_ok() && new(&[(&long(247), "")]).is_err());
        let value = |length| "v".repeat(length);
        assert!(new(&[("a", &value(4086))]).is_ok() && new(&[("a", &value(4087))]).is_err());
        assert!(new(&[("a", &value(2000)), ("b", &value(2077))]).is_err());
    }
}
