//! What a sandbox reaches on the internet, and how its ports are reached. No local tier reaches a network, so a policy
//! takes effect with the machine, which is opened for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use switchtower_contract::NetworkPolicy;
use switchtower_core::session::Session;

use super::super::response;
use super::super::state::E2bState;
use super::request::{ControlRequest, SandboxName, bad_request, check_rest, find_sandbox, into_response, unsupported};

/// Maximum number of rules in one list.
const MAX_RULES: usize = 1000;
/// Maximum bytes of one rule: the longest name of a host, with room for a port.
const MAX_RULE_BYTES: usize = 300;

/// Fields whose empty value is a restriction too: no servers, or no public ports. Only a creation has the latter two.
const NEVER_EMPTY: [&str; 3] = ["dnsServers", "allowPublicTraffic", "maskRequestHost"];

/// The field `network` of a creation.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NetworkOptions {
    #[serde(rename = "allowPublicTraffic")]
    pub(super) allow_public_traffic: Option<bool>,
    #[serde(rename = "maskRequestHost")]
    mask_request_host: Option<String>,
    #[serde(flatten)]
    outgoing: Outgoing,
}

/// The rules that an update replaces.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Outgoing {
    #[serde(rename = "allowOut")]
    allow_out: Option<Vec<String>>,
    #[serde(rename = "denyOut")]
    deny_out: Option<Vec<String>>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl NetworkOptions {
    /// Returns the policy.
    ///
    /// # Errors
    /// A rule is invalid or cannot be kept.
    pub(super) fn into_policy(self, internet: Option<bool>) -> Result<NetworkPolicy, String> {
        let private_ports = self.allow_public_traffic == Some(false);
        let host = self.mask_request_host.filter(|host| !host.is_empty());
        check_rules("network.maskRequestHost", host.as_slice())?;
        self.outgoing.into_policy("network.", NetworkPolicy { internet, private_ports, host, ..NetworkPolicy::OPEN })
    }
}

impl Outgoing {
    /// Adds these rules to a policy. `parent`: the field that has them.
    fn into_policy(self, parent: &str, policy: NetworkPolicy) -> Result<NetworkPolicy, String> {
        let is_given = |name: &&str| self.rest.get(*name).is_some_and(|value| !value.is_null());
        if let Some(name) = NEVER_EMPTY.into_iter().find(is_given) {
            return Err(unsupported(&format!("{parent}{name}")));
        }
        check_rest(parent, &self.rest)?;
        let (allow_out, deny_out) = (self.allow_out.unwrap_or_default(), self.deny_out.unwrap_or_default());
        check_rules(&format!("{parent}allowOut"), &allow_out)?;
        check_rules(&format!("{parent}denyOut"), &deny_out)?;
        Ok(NetworkPolicy { allow_out, deny_out, ..policy })
    }
}

fn check_rules(name: &str, rules: &[String]) -> Result<(), String> {
    if rules.len() > MAX_RULES {
        return Err(format!("{name} must have at most {MAX_RULES} rules"));
    }
    let is_valid = |rule: &String| {
        (1..=MAX_RULE_BYTES).contains(&rule.len()) && !rule.chars().any(|c| c.is_whitespace() || c.is_control())
    };
    match rules.iter().find(|rule| !is_valid(rule)) {
        Some(rule) => {
            let shown: String = rule.chars().take(40).collect();
            Err(format!("{name} must have addresses, ranges or names of hosts, without spaces, not {shown:?}"))
        }
        None => Ok(()),
    }
}

/// The body of an update.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UpdateBody {
    allow_internet_access: Option<bool>,
    #[serde(flatten)]
    outgoing: Outgoing,
}

/// `PUT /sandboxes/{id}/network`: replaces what a sandbox reaches. Rules that are not given are removed.
pub(super) async fn update(
    State(state): State<Arc<E2bState>>,
    SandboxName(id): SandboxName,
    mut request: ControlRequest,
) -> Response {
    let updated = async {
        let session = find_sandbox(&state, &request.caller, &id)?;
        let body: UpdateBody = request.json(&state).await?;
        let kept = NetworkPolicy { internet: body.allow_internet_access, ..session.network() };
        let policy = body.outgoing.into_policy("", kept).map_err(|message| bad_request(&message))?;
        session.set_network(policy).await.map_err(|error| Box::new(response::refused(&error)))?;
        Ok(StatusCode::NO_CONTENT)
    };
    into_response(updated.await)
}

/// Returns `allowInternetAccess` and `network` of a sandbox's description.
pub(super) fn describe(session: &Session) -> (Value, Map<String, Value>) {
    let policy = session.network();
    let mut network = Map::new();
    let mut add = |name: &str, value: Value| drop(network.insert(name.to_owned(), value));
    add("allowPublicTraffic", session.options().public_ports.into());
    for (name, rules) in [("allowOut", policy.allow_out), ("denyOut", policy.deny_out)] {
        if !rules.is_empty() {
            add(name, json!(rules));
        }
    }
    if let Some(host) = policy.host {
        add("maskRequestHost", host.into());
    }
    (json!(policy.internet), network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(network: Value, internet: Option<bool>) -> Result<NetworkPolicy, String> {
        serde_json::from_value::<NetworkOptions>(network).map_err(|wrong| wrong.to_string())?.into_policy(internet)
    }

    #[test]
    fn any_restriction_needs_a_machine_of_its_own() {
        for (network, internet) in [
            (json!({}), Some(false)),
            (json!({ "denyOut": ["0.0.0.0/0"], "allowOut": ["1.1.1.1"] }), None),
            (json!({ "allowOut": ["*.example.com"] }), None),
            (json!({ "allowPublicTraffic": false }), None),
            (json!({ "maskRequestHost": "x.example:${PORT}" }), None),
        ] {
            assert!(!policy(network.clone(), internet).unwrap().is_open(), "{network} {internet:?}");
        }
        let open =
            json!({ "denyOut": [], "allowOut": null, "allowPublicTraffic": true, "rules": {}, "egressProxy": null });
        assert!(policy(open, Some(true)).unwrap().is_open());
    }

    #[test]
    fn a_rule_that_cannot_be_kept_is_refused_by_name() {
        let many: Vec<String> = (0..=MAX_RULES).map(|n| format!("10.0.0.0/{n}")).collect();
        for (network, name) in [
            (json!({ "rules": { "x": [] } }), "network.rules"),
            (json!({ "egressProxy": { "address": "proxy:1080" } }), "network.egressProxy"),
            (json!({ "dnsServers": [] }), "network.dnsServers"),
            (json!({ "httpsPorts": [8443] }), "network.httpsPorts"),
            (json!({ "denyOut": [""] }), "network.denyOut"),
            (json!({ "allowOut": ["a b"] }), "network.allowOut"),
            (json!({ "denyOut": many }), "network.denyOut"),
            (json!({ "maskRequestHost": "a\nb" }), "network.maskRequestHost"),
        ] {
            assert!(policy(network.clone(), None).unwrap_err().starts_with(name), "{name}");
        }
        assert!(policy(json!({ "allowPublicTraffic": 1 }), None).is_err());
    }

    #[test]
    fn an_update_refuses_what_only_a_creation_sets_even_where_its_value_is_empty() {
        let update = |body: Value| {
            let body: UpdateBody = serde_json::from_value(body).unwrap();
            body.outgoing.into_policy("", NetworkPolicy::OPEN)
        };
        for (body, name) in [
            (json!({ "allowPublicTraffic": false }), "allowPublicTraffic"),
            (json!({ "allowPublicTraffic": true }), "allowPublicTraffic"),
            (json!({ "maskRequestHost": "" }), "maskRequestHost"),
            (json!({ "dnsServers": [] }), "dnsServers"),
        ] {
            assert_eq!(update(body).unwrap_err(), unsupported(name));
        }
        assert!(update(json!({ "allowPublicTraffic": null, "maskRequestHost": null, "rules": {} })).unwrap().is_open());
    }
}
