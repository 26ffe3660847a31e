//! Test cases beside the rules: requests with the class, rule and route that they must get.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use switchtower_contract::{Isolation, Language, Location, Modules, Price, Program};

use super::rules::read_text;
use super::{Decision, Rules, RulesError};
use crate::analyse::analyse;
use crate::request::{Caller, Request, RequestKind, RequestLimits};
use crate::route::{TierName, TierStatus};

/// The results of the cases of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaseReport {
    pub passed: usize,
    pub failures: Vec<CaseFailure>,
}

impl CaseReport {
    pub fn is_good(&self) -> bool {
        self.failures.is_empty()
    }
}

/// A case with another result than it expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFailure {
    pub file: PathBuf,
    pub case: String,
    /// Each difference between the expected and the actual result.
    pub differences: Vec<String>,
}

impl fmt::Display for CaseFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.file.display(), self.case, self.differences.join("; "))
    }
}

/// `NAME.cases.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    tiers: BTreeMap<String, CaseTier>,
    #[serde(default)]
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseTier {
    isolation: Isolation,
    #[serde(default = "local")]
    location: Location,
    #[serde(default)]
    machine: bool,
    /// Whether programs reach the internet. Without it: where it is remote.
    internet: Option<bool>,
    /// Billionths of a US dollar per second, as `facts.tiers[].cost`.
    #[serde(default)]
    cost: u64,
    modules: Option<Vec<String>>,
    #[serde(default = "yes")]
    up: bool,
    memory_mb: Option<u64>,
    wall_ms: Option<u64>,
}

fn local() -> Location {
    Location::Local
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// What the request runs; default: a program.
    #[serde(default)]
    kind: RequestKind,
    #[serde(default)]
    code: String,
    /// The language of the code; default: Python.
    #[serde(default)]
    language: Language,
    /// The configured tiers, of those that the file describes; default: all.
    tiers: Option<Vec<String>>,
    user: Option<String>,
    isolation: Option<Isolation>,
    tier: Option<String>,
    timeout_ms: Option<u64>,
    memory_mb: Option<u64>,
    class: Option<String>,
    rule: Option<String>,
    route: Option<Vec<String>>,
}

/// Runs every `*.cases.toml` of a folder against its rules.
pub fn test(dir: &Path) -> Result<CaseReport, RulesError> {
    let rules = Rules::load(dir)?;
    let mut report = CaseReport::default();
    let entries = fs::read_dir(dir).map_err(|error| RulesError::new(dir, None, error.to_string()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(".cases.toml"));
    paths.sort();
    for path in paths {
        let text = read_text(&path)?;
        let file: CaseFile = toml::from_str(&text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            RulesError::new(&path, line, error.message())
        })?;
        for case in &file.case {
            let differences = case.run(&rules, &file.tiers);
            if differences.is_empty() {
                report.passed += 1;
            } else {
                report.failures.push(CaseFailure { file: path.clone(), case: case.name.clone(), differences });
            }
        }
    }
    Ok(report)
}

impl Case {
    fn run(&self, rules: &Rules, tiers: &BTreeMap<String, CaseTier>) -> Vec<String> {
        let names: Vec<&String> =
            self.tiers.as_ref().map_or_else(|| tiers.keys().collect(), |names| names.iter().collect());
        let unknown = names.iter().filter(|name| !tiers.contains_key(**name));
        let unknown: Vec<String> = unknown.map(|name| format!("the file describes no tier {name}")).collect();
        if !unknown.is_empty() {
            return unknown;
        }
        let statuses: Vec<TierStatus> = names.iter().map(|name| status(name, &tiers[*name])).collect();
        let request = match self.request() {
            Ok(request) => request,
            Err(difference) => return vec![difference],
        };
        let profile = analyse(&request.program);
        match rules.decide(&request, &profile, &statuses) {
            Ok(decision) => self.differences(&decision),
            Err(error) => vec![error.to_string()],
        }
    }

    fn request(&self) -> Result<Request, String> {
        let request_limits = RequestLimits::default();
        let mut request = Request::new(Program::new(self.language, &self.code), &request_limits)
            .map_err(|invalid| invalid.to_string())?;
        request.kind = self.kind;
        request.isolation = self.isolation;
        request.tier = self.tier.as_deref().map(TierName::from);
        if let Some(user) = &self.user {
            request.caller = Caller::named(user.as_str());
        }
        if let Some(timeout) = self.timeout_ms {
            request.timeout = Duration::from_millis(timeout);
        }
        if let Some(memory) = self.memory_mb {
            request.memory = Some(memory << 20);
        }
        request.checked(&request_limits).map_err(|invalid| invalid.to_string())
    }

    fn differences(&self, decision: &Decision) -> Vec<String> {
        let route: Vec<&str> = decision.route.tiers().map(TierName::as_str).collect();
        let mut differences = decision.skipped.clone();
        let mut differ = |what: &str, expected: Option<String>, got: String| {
            if let Some(expected) = expected
                && expected != got
            {
                differences.push(format!("{what} is {got}, expected {expected}"));
            }
        };
        differ("class", self.class.clone(), decision.class.name().to_owned());
        differ("rule", self.rule.clone(), decision.rule.clone());
        differ("route", self.route.as_ref().map(|names| names.join(" → ")), route.join(" → "));
        differences
    }
}

fn status(name: &str, tier: &CaseTier) -> TierStatus {
    let modules = tier.modules.as_ref().map_or(Modules::Any, Modules::named);
    TierStatus {
        tier: TierName::from(name),
        languages: Language::all().into_iter().map(|language| (language, modules.clone())).collect(),
        isolation: tier.isolation,
        location: tier.location,
        machine: tier.machine,
        internet: tier.internet.unwrap_or(tier.location == Location::Remote),
        price_per_second: (tier.cost > 0).then_some(Price(tier.cost)),
        memory: tier.memory_mb.unwrap_or(8 << 10) << 20,
        wall: Duration::from_millis(tier.wall_ms.unwrap_or(3_600_000)),
        up: tier.up,
        starting: false,
        running: 0,
        queued: 0,
        slots: 8,
    }
}
