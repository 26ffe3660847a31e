//! Profile → [`Decision`]: the rules say which tiers may run a program, in which order, and why.
//!
//! Rules are written in Rhai: facts in, route and reason out. They are pure and bounded: no clock, no randomness, no files,
//! a limited number of operations. Two things are enforced here, outside the rules: the tier that a request names, and
//! the request's isolation floor.

pub mod cases;
mod engine;
mod facts;
mod load;
pub(crate) mod no_language;
pub mod reload;
mod rules;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use switchtower_contract::{Isolation, Language};

use crate::analyse::{self, Class, Profile, StaticEffect};
use crate::request::{Request, RequestKind};
use crate::route::{Route, TierName, TierStatus};
use crate::schema::Storable;

pub use reload::{Reloaded, RulesState, SharedRules};
pub use rules::{Rules, RulesError};

/// The route of a program, and why it has this route.
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
    /// The error of each rule file that failed for this program. The files after it decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
}

impl Storable for Decision {
    const NAME: &'static str = "decision";
    const SCHEMA: u32 = 1;
}

/// Why there is no decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// The request names a tier that is not configured.
    #[error("unknown tier {name}; configured tiers: {}", listed(allowed))]
    UnknownTier { name: TierName, allowed: Vec<TierName> },
    /// No configured tier may run this request.
    #[error("no tier can run this: {reason}")]
    NoTier { reason: String },
    /// The last rule file failed, or there is none: the operator has to fix the rules.
    #[error("the routing rules failed: {0}")]
    Rules(#[from] RulesError),
}

fn listed(names: &[TierName]) -> String {
    names.iter().map(TierName::as_str).collect::<Vec<_>>().join(", ")
}

impl Rules {
    /// Returns the decision for a request. `statuses` has every configured tier; the rules get those that reach the
    /// request's isolation floor and run its language.
    pub fn decide(
        &self,
        request: &Request,
        profile: &Profile,
        statuses: &[TierStatus],
    ) -> Result<Decision, DecideError> {
        if let Some(name) = &request.tier {
            return decide_named(name, request, profile, statuses);
        }
        let language = request.program.language;
        let allowed: Vec<&TierStatus> = statuses
            .iter()
            .filter(|status| reaches_floor(status, request.isolation))
            // Commands run on every machine, whatever its shell.
            .filter(|status| request.kind == RequestKind::Command || status.languages.has(language))
            .collect();
        if allowed.is_empty() {
            let reason = match request.isolation {
                _ if statuses.is_empty() => "none is configured".to_owned(),
                Some(floor) if !statuses.iter().any(|status| reaches_floor(status, Some(floor))) => {
                    format!("none has isolation {floor} or stronger")
                }
                floor => no_language::reason(language, floor, statuses),
            };
            return Err(DecideError::NoTier { reason });
        }
        let (verdict, skipped) = self.evaluate(request, profile, &allowed)?;
        let (class, score) = (profile.class, profile.score);
        Ok(Decision { class, score, route: verdict.route, rule: verdict.rule, reason: verdict.reason, skipped })
    }
}

/// Returns the decision for a request that names its tier: no rule is evaluated, the isolation floor applies.
fn decide_named(
    name: &TierName,
    request: &Request,
    profile: &Profile,
    statuses: &[TierStatus],
) -> Result<Decision, DecideError> {
    let Some(status) = statuses.iter().find(|status| status.tier == *name) else {
        let allowed = statuses.iter().map(|status| status.tier.clone()).collect();
        return Err(DecideError::UnknownTier { name: name.clone(), allowed });
    };
    if let Some(floor) = request.isolation
        && !reaches_floor(status, Some(floor))
    {
        let reason =
            format!("tier {name} has isolation {}; the request requires {floor} or stronger", status.isolation);
        return Err(DecideError::NoTier { reason });
    }
    let language = request.program.language;
    if !status.languages.has(language) {
        return Err(DecideError::NoTier { reason: format!("tier {name} does not run {language}") });
    }
    if let Some(module) = missing_module(language, profile, status) {
        let reason = format!("tier {name} does not provide module {module}: its template has no such package");
        return Err(DecideError::NoTier { reason });
    }
    Ok(Decision {
        class: profile.class,
        score: profile.score,
        route: Route::only(name.as_str()),
        rule: "request".to_owned(),
        reason: format!("the request names tier {name}"),
        skipped: Vec::new(),
    })
}

/// Returns a module that the program needs and the tier's machines certainly do not provide, so that no sandbox is created
/// only for an ImportError. `None` for a program that may install modules.
fn missing_module<'a>(language: Language, profile: &'a Profile, status: &TierStatus) -> Option<&'a str> {
    let installs = [StaticEffect::Shell, StaticEffect::Processes, StaticEffect::Magic];
    let asks_pip = || profile.needed_modules().any(|module| module == analyse::PIP);
    if !status.machine || installs.iter().any(|effect| profile.effects.contains(effect)) || asks_pip() {
        return None;
    }
    profile.needed_modules().find(|module| !status.languages.has_module(language, module))
}

fn reaches_floor(status: &TierStatus, floor: Option<Isolation>) -> bool {
    floor.is_none_or(|floor| status.isolation >= floor)
}
