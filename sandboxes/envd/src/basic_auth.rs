//! The name of the user in a remote call: HTTP basic authentication without a password.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Returns the user that a call names.
pub(crate) fn user_name(headers: &HeaderMap) -> Option<String> {
    let shown = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, encoded) = shown.split_at_checked("Basic ".len())?;
    let decoded = scheme.eq_ignore_ascii_case(b"Basic ").then(|| STANDARD.decode(encoded.trim_ascii()))?.ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split(':').next().filter(|name| !name.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_names_its_user_by_basic_authentication() {
        let named = |value: String| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            user_name(&headers)
        };
        let encoded = |text: &str| STANDARD.encode(text);
        assert_eq!(named(format!("Basic {}", encoded("root:"))), Some("root".to_owned()));
        assert_eq!(named(format!("basic  {}", encoded("ada:x"))), Some("ada".to_owned()));
        for odd in [format!("Basic {}", encoded(":")), format!("Bearer {}", encoded("root:")), "Basic".to_owned()] {
            assert_eq!(named(odd), None);
        }
    }
}
