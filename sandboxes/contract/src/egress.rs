//! Rules of what a sandbox reaches on the internet.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most bytes of a host's name, and of one of its labels (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// A host and a port that may be reached: `api.example.com:443`, or with `*.example.com:443` every host below a domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EgressRule {
    /// In lower case, without a dot at its end.
    name: String,
    /// The rule is for the hosts below `name`, not for `name` itself.
    below: bool,
    port: u16,
}

impl EgressRule {
    /// Returns whether the rule allows this port of a host. Upper and lower case are the same, as is a dot at the name's end.
    pub fn allows(&self, host: &str, port: u16) -> bool {
        port == self.port && name_matches(&self.name, self.below, host)
    }
}

/// Returns whether `host` is `name`, or with `below` a host below it.
fn name_matches(name: &str, below: bool, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if !below {
        return host.eq_ignore_ascii_case(name);
    }
    let Some(at) = host.len().checked_sub(name.len() + 1).filter(|at| *at > 0) else { return false };
    let end = host.get(at..).and_then(|end| end.strip_prefix('.'));
    end.is_some_and(|end| end.eq_ignore_ascii_case(name))
}

/// The text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} {problem}: write HOST:PORT, such as api.example.com:443, or *.example.com:443 for all hosts below a domain"
)]
pub struct InvalidEgressRule {
    given: String,
    problem: &'static str,
}

impl FromStr for EgressRule {
    type Err = InvalidEgressRule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |problem| InvalidEgressRule { given: text.chars().take(300).collect(), problem };
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("has no port"))?;
        if text.contains("//") {
            return Err(wrong("is a URL"));
        }
        let (below, name) = host.strip_prefix("*.").map_or((false, host), |name| (true, name));
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if is_address || name.ends_with(|last: char| last.is_ascii_digit()) {
            return Err(wrong("is an address, not the name of a host"));
        }
        if !is_name(&name) {
            return Err(wrong("is not the name of a host"));
        }
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(|| wrong("has no port from 1 to 65535"))?;
        Ok(Self { name, below, port })
    }
}

/// Returns whether a text is the name of a host: labels of letters, digits, hyphens and underscores.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= MAX_NAME && name.split('.').all(is_label)
}

impl fmt::Display for EgressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, below, port } = self;
        write!(f, "{}{name}:{port}", if *below { "*." } else { "" })
    }
}

impl TryFrom<String> for EgressRule {
    type Error = InvalidEgressRule;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<EgressRule> for String {
    fn from(rule: EgressRule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_allows_its_host_and_port_and_nothing_that_only_looks_like_them() {
        for (rule, host, port, allowed) in [
            ("api.example.com:443", "api.example.com", 443, true),
            ("API.Example.com.:443", "api.example.COM.", 443, true),
            ("api.example.com:443", "api.example.com", 80, false),
            ("api.example.com:443", "x.api.example.com", 443, false),
            ("api.example.com:443", "api.example.com.evil.net", 443, false),
            ("*.example.com:443", "a.b.example.com", 443, true),
            ("*.example.com:443", "example.com", 443, false),
            ("*.example.com:443", ".example.com", 443, false),
            ("*.example.com:443", "evilexample.com", 443, false),
            ("*.example.com:443", "ä.example.com", 443, true),
            ("*.example.com:443", "ä", 443, false),
            ("localhost:5432", "localhost", 5432, true),
        ] {
            assert_eq!(rule.parse::<EgressRule>().unwrap().allows(host, port), allowed, "{rule} {host}:{port}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_with_the_form_of_one() {
        let long = format!("{}:443", "a.".repeat(200));
        for text in [
            "api.example.com",
            "api.example.com:",
            "api.example.com:0",
            "api.example.com:65536",
            "https://api.example.com:443",
            "https://api.example.com/x:443",
            "10.0.0.1:443",
            "[::1]:443",
            "0x7f.1:443",
            "*:443",
            "*.:443",
            "a.*.com:443",
            "a b.com:443",
            "-a.com:443",
            "a..com:443",
            ":443",
            "",
            &long,
        ] {
            let error = text.parse::<EgressRule>().unwrap_err().to_string();
            assert!(error.contains("write HOST:PORT"), "{text}: {error}");
        }
    }
}
