//! The addresses of an account's API and sandboxes: three settings, for any service with E2B's wire protocol.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The port of the code interpreter inside a sandbox.
pub(crate) const INTERPRETER: u16 = 49999;
/// The port of envd, the daemon for files and processes.
pub(crate) const ENVD: u16 = 49983;

/// E2B's own domain.
const DOMAIN: &str = "e2b.app";

/// The addresses of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    api: String,
    /// One origin for all sandboxes; headers select the sandbox.
    shared: Option<String>,
    domain: String,
}

impl Address {
    /// Returns the addresses for the values of `E2B_API_URL`, `E2B_SANDBOX_URL` and `E2B_DOMAIN`; those of E2B itself
    /// where they are `None`.
    pub fn new(api: Option<&str>, sandbox: Option<&str>, domain: Option<&str>) -> Self {
        let trimmed = |url: &str| url.trim_end_matches('/').to_owned();
        let domain = domain.unwrap_or(DOMAIN).to_owned();
        let api = api.map_or_else(|| format!("https://api.{domain}"), trimmed);
        Self { api, shared: sandbox.map(trimmed), domain }
    }

    /// Returns the API's origin.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// Returns the origin or the domain of all sandboxes.
    pub(crate) fn sandboxes(&self) -> &str {
        self.shared.as_deref().unwrap_or(&self.domain)
    }

    /// Returns the origin of a sandbox's port. `domain` is from the response to its creation.
    pub(crate) fn sandbox(&self, id: &str, port: u16, domain: Option<&str>) -> String {
        if let Some(shared) = &self.shared {
            return shared.clone();
        }
        let domain = domain.unwrap_or(&self.domain);
        // These domains have one host for all sandboxes, which saves a DNS look-up for each.
        if matches!(domain, "e2b.app" | "e2b.dev" | "e2b.pro") {
            return format!("https://sandbox.{domain}");
        }
        format!("https://{port}-{id}.{domain}")
    }

    /// Returns the headers that name a sandbox and its port.
    pub(crate) fn headers(id: &str, port: u16) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Ok(id) = HeaderValue::from_str(id) {
            headers.insert(HeaderName::from_static("e2b-sandbox-id"), id);
        }
        headers.insert(HeaderName::from_static("e2b-sandbox-port"), HeaderValue::from(port));
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_settings_address_any_service() {
        let cloud = Address::new(None, None, None);
        assert_eq!(cloud.api(), "https://api.e2b.app");
        assert_eq!(cloud.sandbox("i1", INTERPRETER, None), "https://sandbox.e2b.app");
        let local = Address::new(Some("http://127.0.0.1:3000/"), Some("http://127.0.0.1:3000/"), None);
        assert_eq!(
            (local.api(), local.sandbox("i1", ENVD, None).as_str()),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000")
        );
        let own = Address::new(None, None, Some("sandboxes.example.org"));
        assert_eq!(own.api(), "https://api.sandboxes.example.org");
        assert_eq!(own.sandbox("i1", INTERPRETER, None), "https://49999-i1.sandboxes.example.org");
        assert_eq!(own.sandbox("i1", ENVD, Some("eu.example.org")), "https://49983-i1.eu.example.org");
    }
}
