//! What one machine may reach: what the settings allow to all machines, and of that what its own policy leaves.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use switchtower_contract::{EgressRule, Fault, NetworkPolicy};

use super::addresses::is_public;

/// What one machine may reach.
#[derive(Debug, Clone)]
pub(crate) struct EgressPolicy {
    allow: Arc<[EgressRule]>,
    /// Everything that the machine's own rules do not allow is denied.
    is_restricted: bool,
    allow_out: Vec<Target>,
    deny_out: Vec<Target>,
}

/// What a rule of a machine's own policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Network(IpNet),
    /// In lower case.
    Host(String),
    /// Every host below a domain.
    Below(String),
    Everything,
}

impl Target {
    fn is_host(&self, host: &str) -> bool {
        match self {
            Self::Network(_) => false,
            Self::Host(name) => host == name,
            Self::Below(domain) => host.strip_suffix(domain.as_str()).is_some_and(|front| front.ends_with('.')),
            Self::Everything => true,
        }
    }

    fn is_address(&self, address: IpAddr) -> bool {
        // E2B knows IPv4 only, and its clients write all of the internet as 0.0.0.0/0.
        matches!(self, Self::Network(network) if network.prefix_len() == 0 || network.contains(&address))
    }
}

impl FromStr for Target {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "*" {
            return Ok(Self::Everything);
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        let name = text.to_ascii_lowercase();
        let (is_below, name) = name.strip_prefix("*.").map_or((false, name.as_str()), |domain| (true, domain));
        // With a port or a path it would be taken for the name of a host that does not exist.
        if name.is_empty() || name.contains([':', '/', '*']) {
            return Err(());
        }
        Ok(if is_below { Self::Below(name.to_owned()) } else { Self::Host(name.to_owned()) })
    }
}

impl EgressPolicy {
    /// Returns the policy of a machine. `allow`: what the settings allow to all machines.
    ///
    /// # Errors
    /// A rule of the machine's own policy is none of: an address, a range of addresses, the name of a host, `*.` and a domain.
    pub(crate) fn new(allow: Arc<[EgressRule]>, network: &NetworkPolicy) -> Result<Self, Fault> {
        Ok(Self {
            allow,
            is_restricted: network.internet == Some(false),
            allow_out: targets("allow", &network.allow_out)?,
            deny_out: targets("deny", &network.deny_out)?,
        })
    }

    /// Decides about a host before its name is resolved. `host` is in lower case, without a dot at its end.
    ///
    /// # Errors
    /// It is not reached, whatever its addresses are; the error says why.
    pub(crate) fn check_host(&self, host: &str, port: u16) -> Result<(), String> {
        if !self.allow.iter().any(|rule| rule.allows(host, port)) {
            return Err(format!("{host}:{port} is not in machine.egress.allow"));
        }
        let may_be_allowed = |target: &Target| matches!(target, Target::Network(_)) || target.is_host(host);
        if self.is_restricted && !self.allow_out.iter().any(may_be_allowed) {
            return Err("this sandbox may not reach the internet".to_owned());
        }
        let is_denied = self.deny_out.iter().any(|target| target.is_host(host));
        if is_denied && !self.allow_out.iter().any(may_be_allowed) {
            return Err(format!("this sandbox's rules deny {host}"));
        }
        Ok(())
    }

    /// Decides about one address of a host that [`check_host`](Self::check_host) has let pass.
    ///
    /// # Errors
    /// It is not reached; the error says why.
    pub(crate) fn check_address(&self, host: &str, address: IpAddr) -> Result<(), String> {
        let address = address.to_canonical();
        if !is_public(address) {
            return Err(format!("{host} leads to an address of a private network"));
        }
        let matches = |targets: &[Target]| targets.iter().any(|it| it.is_host(host) || it.is_address(address));
        if matches(&self.allow_out) {
            return Ok(());
        }
        if self.is_restricted || matches(&self.deny_out) {
            return Err(format!("this sandbox's rules deny the address of {host}"));
        }
        Ok(())
    }
}

fn targets(kind: &str, rules: &[String]) -> Result<Vec<Target>, Fault> {
    let parse = |rule: &String| {
        rule.parse().map_err(|()| {
            let shown: String = rule.chars().take(80).collect();
            let reason = format!(
                "the network rule {shown:?} to {kind} is no address, range of addresses or name of a host, such as \
                 1.2.3.4, 10.0.0.0/8, example.com or *.example.com"
            );
            Fault::Refused { reason, retry_after: None }
        })
    };
    rules.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: [u8; 4] = [93, 184, 215, 14];

    fn policy(internet: Option<bool>, allow_out: &[&str], deny_out: &[&str]) -> EgressPolicy {
        let allow = ["api.example.com:443", "*.example.org:443"].map(|rule| rule.parse().unwrap());
        let owned = |rules: &[&str]| rules.iter().map(|&rule| rule.to_owned()).collect();
        let (allow_out, deny_out) = (owned(allow_out), owned(deny_out));
        let network = NetworkPolicy { internet, allow_out, deny_out, ..NetworkPolicy::OPEN };
        EgressPolicy::new(allow.into(), &network).unwrap()
    }

    fn reaches(policy: &EgressPolicy, host: &str, port: u16, address: impl Into<IpAddr>) -> bool {
        policy.check_host(host, port).and_then(|()| policy.check_address(host, address.into())).is_ok()
    }

    #[test]
    fn a_machine_reaches_public_addresses_of_the_allowed_hosts_only() {
        let policy = policy(None, &[], &[]);
        assert!(reaches(&policy, "api.example.com", 443, PUBLIC));
        assert!(reaches(&policy, "a.example.org", 443, PUBLIC));
        assert!(!reaches(&policy, "api.example.com", 80, PUBLIC));
        assert!(!reaches(&policy, "example.com", 443, PUBLIC));
        assert!(!reaches(&policy, "1.1.1.1", 443, PUBLIC));
        // A name of the owner's that leads to this host or its network.
        for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:192.168.0.1"] {
            assert!(!reaches(&policy, "a.example.org", 443, address.parse::<IpAddr>().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_machines_own_policy_only_narrows_what_the_settings_allow() {
        let api = |policy: EgressPolicy| reaches(&policy, "api.example.com", 443, PUBLIC);
        for (internet, allow_out, deny_out, allowed) in [
            (Some(true), &[][..], &[][..], true),
            (Some(false), &[], &[], false),
            (Some(false), &["api.example.com"], &[], true),
            (Some(false), &["*.example.com"], &[], true),
            (Some(false), &["93.184.0.0/16"], &[], true),
            (Some(false), &["1.1.1.1"], &[], false),
            (None, &[], &["0.0.0.0/0"], false),
            (None, &[], &["::/0"], false),
            (None, &["93.184.215.14"], &["0.0.0.0/0"], true),
            (None, &["api.example.com"], &["0.0.0.0/0"], true),
            (None, &["other.example.com"], &["0.0.0.0/0"], false),
            (None, &[], &["api.example.com"], false),
            (None, &[], &["8.8.8.8"], true),
        ] {
            assert_eq!(api(policy(internet, allow_out, deny_out)), allowed, "{internet:?} {allow_out:?} {deny_out:?}");
        }
        let everything = policy(None, &[], &["0.0.0.0/0"]);
        assert!(!reaches(&everything, "api.example.com", 443, "2606:4700::1111".parse::<IpAddr>().unwrap()));
        // What the settings do not allow, a sandbox's own rule does not allow either.
        assert!(!reaches(&policy(None, &["evil.net", "0.0.0.0/0"], &[]), "evil.net", 443, PUBLIC));
        // The name of a host that is not reached is not looked up.
        assert!(policy(Some(false), &[], &[]).check_host("secret.example.org", 443).is_err());
    }

    #[test]
    fn a_rule_that_cannot_be_kept_is_refused() {
        for rule in ["10.0.0.0/33", "example.com:443", "https://example.com", "a.*.com", "*."] {
            let network = NetworkPolicy { deny_out: vec![rule.to_owned()], ..NetworkPolicy::OPEN };
            let refused = EgressPolicy::new(Arc::new([]), &network).unwrap_err();
            assert!(refused.detail().contains(rule), "{refused:?}");
        }
    }
}
