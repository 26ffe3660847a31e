//! What would have let a program fare better: which tiers were tried, which lacked what it needs, and why the others
//! were not used.

use switchtower_contract::Need;

use super::attempt::Attempt;
use super::{Tier, Tiers};
use crate::request::Request;
use crate::route::{Route, TierName};

impl Tiers {
    /// What would have let the program fare better than in the tier `ran`, where nothing else was tried.
    pub(crate) fn note(&self, need: &Need, asked: Option<u64>, ran: &TierName) -> String {
        let others = self.iter().filter(|tier| tier.name != *ran && tier.may_have(need, asked));
        let others: Vec<String> = others.map(|tier| not_on_route(&tier.name, None)).collect();
        self.sentence(need, &[], &others)
    }

    /// As [`note`](Self::note), for a program that walked along a route: `attempts` are its tries, the last one in `ran`.
    pub(super) fn walked_note(
        &self,
        request: &Request,
        route: &Route,
        attempts: &[Attempt],
        need: &Need,
        ran: &TierName,
    ) -> String {
        let missing = need.to_string();
        let lacks = |tier: &TierName| {
            let says_so = |attempt: &&Attempt| attempt.tier == *tier && attempt.detail.as_ref() == Some(&missing);
            tier == ran || attempts.iter().any(|attempt| says_so(&attempt))
        };
        let mut lacking: Vec<&TierName> = route.tiers().filter(|tier| lacks(tier)).collect();
        lacking.dedup();
        let others = self.iter().filter(|tier| !lacks(&tier.name) && tier.may_have(need, request.memory));
        let others: Vec<String> = others.map(|tier| why_not(tier, request, route, attempts)).collect();
        self.sentence(need, &lacking, &others)
    }

    fn sentence(&self, need: &Need, lacking: &[&TierName], others: &[String]) -> String {
        let tried = match lacking {
            [] | [_] => String::new(),
            many => {
                let names: Vec<&str> = many.iter().map(|name| name.as_str()).collect();
                format!(", which none of the tiers that were tried provides ({})", names.join(", "))
            }
        };
        if !others.is_empty() {
            return format!("it needs {need}{tried}; {}", others.join("; "));
        }
        match self.remedies(matches!(need, Need::Network(_) | Need::Process(_) | Need::Files(_))) {
            Some(remedy) => format!("it needs {need}{tried}; {remedy}"),
            None => format!("it needs {need}{tried}; a tier that has it is needed: none is configured"),
        }
    }
}

/// Why a tier that may have it gave no answer.
fn why_not(tier: &Tier, request: &Request, route: &Route, attempts: &[Attempt]) -> String {
    let name = &tier.name;
    if !route.tiers().any(|of_route| of_route == name) {
        return not_on_route(name, request.tier.as_ref());
    }
    if !tier.offer.languages.contains(&request.program.language) {
        return format!("the tier {name} may have it, but does not run {}", request.program.language.name());
    }
    if let Some(floor) = request.isolation.filter(|floor| tier.offer.isolation < *floor) {
        let (has, wanted) = (tier.offer.isolation.name(), floor.name());
        return format!("the tier {name} may have it, but isolates by {has}, and the request wants {wanted} at least");
    }
    match attempts.iter().rev().find(|attempt| attempt.tier == *name) {
        Some(Attempt { outcome, detail: Some(detail), .. }) => {
            format!("the tier {name} may have it, and was tried: {outcome} ({detail})")
        }
        Some(Attempt { outcome, detail: None, .. }) => {
            format!("the tier {name} may have it, and was tried: {outcome}")
        }
        None => format!(
            "the tier {name} may have it, but was not tried: the program may have had effects by then, and what may have \
             had effects is not run twice"
        ),
    }
}

fn not_on_route(tier: &TierName, asked: Option<&TierName>) -> String {
    match asked {
        Some(asked) => format!("the tier {tier} may have it, but the request asked for {asked} only"),
        None => format!("the tier {tier} may have it, but was not on its route"),
    }
}
