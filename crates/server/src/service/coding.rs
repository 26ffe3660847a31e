//! How the body of a request is encoded.

use axum::http::{HeaderMap, header};

/// How the body of a request is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
}

impl Coding {
    /// Returns the coding that the headers of a request name.
    ///
    /// # Errors
    /// It is another one, or there are several. The error is a message.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, String> {
        let mut named = headers.get_all(header::CONTENT_ENCODING).into_iter();
        let (first, second) = (named.next(), named.next());
        let name = first.map_or("identity", |value| value.to_str().unwrap_or_default().trim());
        match (name, second) {
            (name, None) if name.eq_ignore_ascii_case("identity") || name.is_empty() => Ok(Self::Identity),
            (name, None) if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => Ok(Self::Gzip),
            _ => Err("the Content-Encoding of a body must be gzip or identity".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_gzip_and_identity_are_read() {
        let of = |names: &[&'static str]| {
            Coding::of(&names.iter().map(|name| (header::CONTENT_ENCODING, HeaderValue::from_static(name))).collect())
        };
        assert_eq!(
            (of(&[]), of(&["identity"]), of(&["GZIP"])),
            (Ok(Coding::Identity), Ok(Coding::Identity), Ok(Coding::Gzip))
        );
        assert!(of(&["br"]).is_err() && of(&["gzip, br"]).is_err() && of(&["gzip", "gzip"]).is_err());
    }
}
