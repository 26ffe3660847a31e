//! Notes about an unmet need: which of the tried tiers do not provide what a program needs, and why the other tiers,
//! which may provide it, did not run the program.

use switchtower_contract::Need;

use super::attempt::Attempt;
use super::{Tier, Tiers};
use crate::analyse;
use crate::request::Request;
use crate::route::{Route, TierName};

impl Tiers {
    /// Returns the note for a program that ran in the tier `ran` and was tried in no other tier. `requested_memory`:
    /// the memory limit that its request sets, in bytes.
    pub(crate) fn note(&self, need: &Need, requested_memory: Option<u64>, ran: &TierName) -> String {
        let others = self.iter().filter(|tier| tier.name != *ran && tier.may_provide(need, requested_memory));
        let others: Vec<String> = others.map(|tier| not_on_route(&tier.name, None)).collect();
        self.format_note(need, &[], &others)
    }

    /// Returns the note for a program that was tried along a route; the last of its `attempts` was in the tier `ran`.
    pub(super) fn route_note(
        &self,
        request: &Request,
        route: &Route,
        attempts: &[Attempt],
        need: &Need,
        ran: &TierName,
    ) -> String {
        let missing = need.to_string();
        let lacks = |tier: &TierName| {
            let is_missing = |attempt: &Attempt| attempt.tier == *tier && attempt.detail.as_ref() == Some(&missing);
            tier == ran || attempts.iter().any(is_missing)
        };
        let mut lacking: Vec<&TierName> = route.tiers().filter(|tier| lacks(tier)).collect();
        lacking.dedup();
        let others = self.iter().filter(|tier| !lacks(&tier.name) && tier.may_provide(need, request.memory));
        let others: Vec<String> = others.map(|tier| reason_not_used(tier, request, route, attempts)).collect();
        self.format_note(need, &lacking, &others)
    }

    fn format_note(&self, need: &Need, lacking: &[&TierName], others: &[String]) -> String {
        let tried = match lacking {
            [] | [_] => String::new(),
            many => {
                let names: Vec<&str> = many.iter().map(|name| name.as_str()).collect();
                format!(", which none of the tried tiers provides ({})", names.join(", "))
            }
        };
        if !others.is_empty() {
            return format!("it needs {need}{tried}; {}", others.join("; "));
        }
        let remedy = self.remedies(matches!(need, Need::Network(_) | Need::Process(_) | Need::Files(_)));
        match (own_module(need), remedy) {
            (Some(own), Some(remedy)) => format!("it needs {need}{tried}; {own}, or {remedy}"),
            (Some(own), None) => format!("it needs {need}{tried}; {own}; no configured tier provides it"),
            (None, Some(remedy)) => format!("it needs {need}{tried}; {remedy}"),
            (None, None) => format!("it needs {need}{tried}; no configured tier provides it"),
        }
    }
}

/// Returns the cheapest remedy for a module that is no known package: it may be the caller's own.
fn own_module(need: &Need) -> Option<String> {
    let Need::Module(module) = need else { return None };
    let top = module.split('.').next().unwrap_or(module);
    (!analyse::is_known_package(top)).then(|| format!("if it is your own, add {top}.py or its folder to the files"))
}

/// Returns why a tier that may provide the need did not run the program to its end.
fn reason_not_used(tier: &Tier, request: &Request, route: &Route, attempts: &[Attempt]) -> String {
    let name = &tier.name;
    if !route.tiers().any(|of_route| of_route == name) {
        return not_on_route(name, request.tier.as_ref());
    }
    if !tier.offer().languages.contains(&request.program.language) {
        return format!("tier {name} may provide it, but does not run {}", request.program.language.name());
    }
    if let Some(floor) = request.isolation.filter(|floor| tier.offer().isolation < *floor) {
        let (level, floor) = (tier.offer().isolation.name(), floor.name());
        return format!(
            "tier {name} may provide it, but its isolation level is {level} and the request requires at least {floor}"
        );
    }
    match attempts.iter().rev().find(|attempt| attempt.tier == *name) {
        Some(Attempt { outcome, detail: Some(detail), .. }) => {
            format!("tier {name} may provide it, and was tried: {outcome} ({detail})")
        }
        Some(Attempt { outcome, detail: None, .. }) => {
            format!("tier {name} may provide it, and was tried: {outcome}")
        }
        None => format!(
            "tier {name} may provide it, but was not tried: the program may already have had side effects, and such a \
             program is not run again"
        ),
    }
}

fn not_on_route(tier: &TierName, requested: Option<&TierName>) -> String {
    match requested {
        Some(requested) => format!("tier {tier} may provide it, but the request allows only {requested}"),
        None => format!("tier {tier} may provide it, but was not on the route"),
    }
}
