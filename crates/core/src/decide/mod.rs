//! Profile → [`Decision`]: the rules say which tiers may run a program, in which order, and why.
//!
//! The policy is written in Rhai: facts in, route and reason out. It is pure and bounded: no clock, no chance, no files,
//! a limited number of steps. What no rule may change is enforced here, around the rules: a tier that the request names,
//! and the isolation below which nothing falls.

pub mod cases;
mod engine;
mod facts;
mod load;
pub mod reload;
mod rules;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use switchtower_contract::Isolation;

use crate::analyse::{Class, Profile, StaticEffect};
use crate::request::Request;
use crate::route::{Route, TierName, TierStatus};
use crate::schema::Storable;

pub use reload::{Reloaded, SharedRules, State};
pub use rules::{Rules, RulesError};

/// Where a program is to run, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    pub class: Class,
    pub score: f64,
    /// Never empty.
    pub route: Route,
    /// The rule that decided, as `file.rule`; `request` where the caller named the tier.
    pub rule: String,
    pub reason: String,
    /// Rule files that failed on this program and were passed over, each with its error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
}

impl Storable for Decision {
    const NAME: &'static str = "decision";
    const SCHEMA: u32 = 1;
}

/// There is no decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// The request names a tier that is not configured.
    #[error("unknown tier {name}: known are {}", listed(allowed))]
    UnknownTier { name: TierName, allowed: Vec<TierName> },
    /// Nothing that stands may run this request.
    #[error("no tier may run this: {reason}")]
    NoTier { reason: String },
    /// The last rule file failed: the operator has to mend it.
    #[error("the rules failed: {0}")]
    Rules(#[from] RulesError),
}

fn listed(names: &[TierName]) -> String {
    names.iter().map(TierName::as_str).collect::<Vec<_>>().join(", ")
}

impl Rules {
    /// Decides. `statuses` has every tier that is configured; those below the request's isolation are not shown to the
    /// rules.
    pub fn decide(
        &self,
        request: &Request,
        profile: &Profile,
        statuses: &[TierStatus],
    ) -> Result<Decision, DecideError> {
        if let Some(name) = &request.tier {
            return named(name, request, profile, statuses);
        }
        let language = request.program.language;
        let allowed: Vec<&TierStatus> = statuses
            .iter()
            .filter(|standing| reaches(standing, request.isolation) && standing.languages.contains(&language))
            .collect();
        if allowed.is_empty() {
            let reason = match request.isolation {
                _ if statuses.is_empty() => "none is configured".to_owned(),
                Some(floor) if !statuses.iter().any(|standing| reaches(standing, Some(floor))) => {
                    format!("none is isolated by {floor} or more")
                }
                _ => format!("none runs {language}"),
            };
            return Err(DecideError::NoTier { reason });
        }
        let (verdict, skipped) = self.ask(request, profile, &allowed)?;
        let (class, score) = (profile.class, profile.score);
        Ok(Decision { class, score, route: verdict.route, rule: verdict.rule, reason: verdict.reason, skipped })
    }
}

/// The caller's own choice: the rules are not asked, the floor holds.
fn named(
    name: &TierName,
    request: &Request,
    profile: &Profile,
    statuses: &[TierStatus],
) -> Result<Decision, DecideError> {
    let Some(standing) = statuses.iter().find(|standing| standing.tier == *name) else {
        let allowed = statuses.iter().map(|standing| standing.tier.clone()).collect();
        return Err(DecideError::UnknownTier { name: name.clone(), allowed });
    };
    if let Some(floor) = request.isolation
        && !reaches(standing, Some(floor))
    {
        let reason = format!("{name} is isolated by {}, the request asks for {floor} or more", standing.isolation);
        return Err(DecideError::NoTier { reason });
    }
    let language = request.program.language;
    if !standing.languages.contains(&language) {
        return Err(DecideError::NoTier { reason: format!("{name} does not run {language}") });
    }
    if let Some(module) = lacking(profile, standing) {
        let reason = format!("the module {module} is not in {name}: its template has no such package");
        return Err(DecideError::NoTier { reason });
    }
    Ok(Decision {
        class: profile.class,
        score: profile.score,
        route: Route::only(name.as_str()),
        rule: "request".to_owned(),
        reason: format!("the request names the tier {name}"),
        skipped: Vec::new(),
    })
}

/// A module that the program cannot do without and that a machine of its own certainly has not: known at once, so nothing
/// is bought to find it out. A program that installs what it needs is let through.
fn lacking<'a>(profile: &'a Profile, standing: &TierStatus) -> Option<&'a str> {
    let installs = [StaticEffect::Shell, StaticEffect::Processes, StaticEffect::Magic];
    if !standing.machine || installs.iter().any(|effect| profile.effects.contains(effect)) {
        return None;
    }
    profile.needed_modules().find(|module| !standing.modules.has(module))
}

fn reaches(standing: &TierStatus, floor: Option<Isolation>) -> bool {
    floor.is_none_or(|floor| standing.isolation >= floor)
}
