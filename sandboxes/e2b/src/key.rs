//! The API key: nothing prints it.

use std::fmt;

use http::HeaderValue;

/// A secret that opens an account. It lives in one place, and its text leaves it only as a header of a call.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(HeaderValue);

/// The text cannot be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    #[error("it is empty")]
    Empty,
    #[error("it has characters that no header can carry")]
    Characters,
}

impl Key {
    /// # Errors
    /// It is empty, or no header can carry it.
    pub fn new(text: &str) -> Result<Self, NoKey> {
        if text.trim().is_empty() {
            return Err(NoKey::Empty);
        }
        let mut value = HeaderValue::from_str(text.trim()).map_err(|_| NoKey::Characters)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// A text of somebody else's, without the key where it repeats it.
    pub(crate) fn masked(&self, text: &str) -> String {
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
        assert_eq!(key.masked("no such key: e2b_0123456789"), "no such key: (masked)");
        assert_eq!(Key::new(" "), Err(NoKey::Empty));
        assert_eq!(Key::new("a\nb"), Err(NoKey::Characters));
    }
}
