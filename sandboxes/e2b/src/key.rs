//! The API key: nothing prints it.

use std::fmt;

use http::HeaderValue;

/// The API key of an account. Its text is available only as a header of a call.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(HeaderValue);

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    #[error("it is empty")]
    Empty,
    #[error("it has characters that no header can carry")]
    Characters,
}

impl Key {
    /// # Errors
    /// It is empty, or no header can carry it.
    pub fn new(text: &str) -> Result<Self, InvalidKey> {
        if text.trim().is_empty() {
            return Err(InvalidKey::Empty);
        }
        let mut value = HeaderValue::from_str(text.trim()).map_err(|_| InvalidKey::Characters)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// Returns a text with the key replaced by `(masked)`.
    pub(crate) fn mask(&self, text: &str) -> String {
        self.0.to_str().map_or_else(|_| text.to_owned(), |key| text.replace(key, "(masked)"))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(masked)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_printed() {
        let key = Key::new("e2b_0123456789").unwrap();
        assert_eq!(format!("{key:?} {:?}", key.header()), "Key(masked) Sensitive");
        assert_eq!(key.mask("no such key: e2b_0123456789"), "no such key: (masked)");
        assert_eq!(Key::new(" "), Err(InvalidKey::Empty));
        assert_eq!(Key::new("a\nb"), Err(InvalidKey::Characters));
    }
}
