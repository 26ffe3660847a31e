//! A compiled set of rule files.

use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use rhai::{AST, Array, CallFnOptions, Dynamic, EvalAltResult, Map, ParseError, Position, Scope};
use serde::Serialize;

use super::engine::engine;
use super::facts::facts;
use super::load;
use crate::analyse::Profile;
use crate::decide::DecideError;
use crate::request::Request;
use crate::route::{Leg, Route, TierStatus};

/// The built-in policy, for a folder without a `default.rhai`.
const DEFAULT: &str = include_str!("../../../../router-rules/default.rhai");
const DEFAULT_NAME: &str = "default";
/// The policy that prefers no local tier.
const FORCE_REMOTE: &str = include_str!("../../../../router-rules/force-remote/remote.rhai");
/// Most bytes of one file of rules or cases.
const MAX_FILE_BYTES: u64 = 256 << 10;

/// A compiled set of rules: files in the order of their names, `default` last.
pub struct Rules {
    files: Vec<RuleFile>,
    reads_load: bool,
}

struct RuleFile {
    name: String,
    path: PathBuf,
    ast: AST,
    /// The log has one warning about the file for each compiled set.
    warning: Once,
}

/// The answer of one rule file.
pub(super) struct RuleVerdict {
    pub route: Route,
    pub rule: String,
    pub reason: String,
}

/// What is wrong with a rule file, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RulesError {
    pub file: PathBuf,
    /// The line, from 1, where the error has one.
    pub line: Option<usize>,
    pub message: String,
}

impl std::error::Error for RulesError {}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl RulesError {
    pub(super) fn new(file: &Path, line: Option<usize>, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }

    fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        Self::new(file, None, format!("cannot be read: {error}"))
    }
}

/// The text of one rule file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RuleSource {
    pub path: PathBuf,
    pub text: String,
}

/// Returns every rule file of a folder in the order of evaluation. A folder without `default.rhai` gets the built-in one.
pub(super) fn sources(dir: &Path) -> Result<Vec<RuleSource>, RulesError> {
    let unreadable = |error: std::io::Error| RulesError::unreadable(dir, &error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "rhai") {
            paths.push(path);
        }
    }
    paths.sort_by_key(|path| (path.file_stem().is_some_and(|stem| stem == DEFAULT_NAME), path.clone()));
    let source = |path: &PathBuf| Ok(RuleSource { text: read_text(path)?, path: path.clone() });
    let mut sources = paths.iter().map(source).collect::<Result<Vec<_>, RulesError>>()?;
    if paths.last().is_none_or(|path| path.file_stem().is_none_or(|stem| stem != DEFAULT_NAME)) {
        sources.push(builtin_source());
    }
    Ok(sources)
}

/// Returns the text of a file of rules or cases.
///
/// # Errors
/// The path is not a regular file or a link to one (opening a pipe would block), or the file is too large or not UTF-8.
pub(super) fn read_text(path: &Path) -> Result<String, RulesError> {
    let unreadable = |error: std::io::Error| RulesError::unreadable(path, &error);
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(RulesError::new(path, None, "is not a regular file; remove it from the folder of the rules"));
    }
    // The bound applies to what is read: the size in the metadata may be out of date.
    let mut file = File::open(path).map_err(unreadable)?.take(MAX_FILE_BYTES + 1);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(RulesError::new(path, None, format!("has more than {MAX_FILE_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| RulesError::new(path, None, "is not UTF-8 text"))
}

fn builtin_source() -> RuleSource {
    RuleSource { path: PathBuf::from("router-rules/default.rhai"), text: DEFAULT.to_owned() }
}

impl Rules {
    /// Compiles every `*.rhai` of a folder; returns the first error.
    pub fn load(dir: &Path) -> Result<Self, RulesError> {
        Self::compile(&sources(dir)?)
    }

    /// Returns the built-in policy.
    pub fn builtin() -> Self {
        Self::compile(&[builtin_source()]).expect("the built-in policy compiles: tests evaluate it")
    }

    /// Returns the policy that sends everything to remote tiers. Where a request allows none, the built-in policy decides.
    pub fn force_remote() -> Self {
        let path = PathBuf::from("router-rules/force-remote/remote.rhai");
        Self::compile(&[RuleSource { path, text: FORCE_REMOTE.to_owned() }, builtin_source()])
            .expect("the policy compiles: tests evaluate it")
    }

    pub(super) fn compile(sources: &[RuleSource]) -> Result<Self, RulesError> {
        let files = sources.iter().map(|source| {
            let ast = engine().compile(&source.text).map_err(|error| syntax_error(&source.path, &error))?;
            if !ast.iter_functions().any(|function| function.name == "decide" && function.params.len() == 1) {
                return Err(RulesError::new(&source.path, None, "the file defines no function decide(facts)"));
            }
            let name = source.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok(RuleFile { name, path: source.path.clone(), ast, warning: Once::new() })
        });
        let reads_load = sources.iter().any(|source| load::is_read(&source.text));
        Ok(Self { files: files.collect::<Result<_, _>>()?, reads_load })
    }

    /// Returns true if a rule may read the load of tiers. Where none does, the rules see all tiers as idle, so that a
    /// decision can be remembered while the load changes.
    pub fn reads_load(&self) -> bool {
        self.reads_load
    }

    /// Returns the files of this set in the order of evaluation.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// Evaluates the files in their order. Returns the first verdict, and the errors of the files that failed before it.
    pub(super) fn evaluate(
        &self,
        request: &Request,
        profile: &Profile,
        statuses: &[&TierStatus],
    ) -> Result<(RuleVerdict, Vec<String>), DecideError> {
        let mut skipped = Vec::new();
        let mut facts: Dynamic = facts(request, profile, statuses).into();
        let Some((last, first)) = self.files.split_last() else {
            return Err(RulesError::new(Path::new("router-rules"), None, "there is no rule file").into());
        };
        for file in first {
            match file.decide(facts.clone(), statuses) {
                Ok(Some(verdict)) => return Ok((verdict, skipped)),
                Ok(None) => {}
                Err(error) => skipped.push(file.skip(error)),
            }
        }
        match last.decide(facts.take(), statuses)? {
            Some(verdict) => Ok((verdict, skipped)),
            None => Err(DecideError::NoTier {
                reason: "no rule names a configured tier that the request allows".to_owned(),
            }),
        }
    }
}

impl RuleFile {
    /// Logs the first error of this file, and returns the error for the decision: with the name of the file, not its folder,
    /// because callers see it.
    fn skip(&self, error: RulesError) -> String {
        self.warning.call_once(|| {
            tracing::warn!(%error, "a rule file failed for a program and was passed over; the next file decides");
        });
        let file = self.path.file_name().map_or_else(|| self.path.clone(), PathBuf::from);
        RulesError { file, ..error }.to_string()
    }

    fn decide(&self, facts: Dynamic, statuses: &[&TierStatus]) -> Result<Option<RuleVerdict>, RulesError> {
        let options = CallFnOptions::new().eval_ast(true).rewind_scope(true);
        let verdict = engine()
            .call_fn_with_options::<Dynamic>(options, &mut Scope::new(), &self.ast, "decide", (facts,))
            .map_err(|error| runtime_error(&self.path, &error))?;
        if verdict.is_unit() {
            return Ok(None);
        }
        let invalid = |message: &str| RulesError::new(&self.path, None, message);
        let mut verdict = verdict
            .try_cast::<Map>()
            .ok_or_else(|| invalid("decide(facts) must return () or #{ rule, reason, route }"))?;
        let mut text = |name: &str| verdict.remove(name).and_then(|value| value.into_string().ok());
        let reason = text("reason").ok_or_else(|| invalid("the verdict must have a reason, a string"))?;
        let rule = text("rule").map_or_else(|| self.name.clone(), |rule| format!("{}.{rule}", self.name));
        let legs = verdict.remove("route").and_then(Dynamic::try_cast::<Array>);
        let legs = legs.ok_or_else(|| invalid("the verdict must have a route, a list of tiers"))?;
        if let Some(name) = verdict.keys().next() {
            return Err(invalid(&format!("unknown key {name} in the verdict; allowed are rule, reason, route")));
        }
        let route = route(legs, statuses).map_err(|message| invalid(&message))?;
        Ok((!route.0.is_empty()).then_some(RuleVerdict { route, rule, reason }))
    }
}

/// Returns the route of a verdict: its tiers that the request allows, each once. The last leg has no budget.
fn route(legs: Array, statuses: &[&TierStatus]) -> Result<Route, String> {
    let mut route = Route::default();
    for leg in legs {
        let (name, budget) = if leg.is_map() { leg_with_budget(leg)? } else { (tier_name(leg)?, None) };
        let status = statuses.iter().find(|status| status.tier.as_str() == name);
        if let Some(status) = status
            && !route.tiers().any(|tier| *tier == status.tier)
        {
            route.0.push(Leg { tier: status.tier.clone(), budget });
        }
    }
    if let Some(last) = route.0.last_mut() {
        last.budget = None;
    }
    Ok(route)
}

fn leg_with_budget(leg: Dynamic) -> Result<(String, Option<Duration>), String> {
    let mut leg = leg.try_cast::<Map>().unwrap_or_default();
    let name = tier_name(leg.remove("tier").ok_or("a leg of the route has no tier")?)?;
    let budget = leg.remove("budget_ms").map(|budget| budget.as_int().ok().and_then(|ms| u64::try_from(ms).ok()));
    if let Some(other) = leg.keys().next() {
        return Err(format!("unknown key {other} in a leg of the route; allowed are tier, budget_ms"));
    }
    match budget {
        Some(None | Some(0)) => Err("budget_ms must be an integer of at least 1".to_owned()),
        Some(Some(ms)) => Ok((name, Some(Duration::from_millis(ms)))),
        None => Ok((name, None)),
    }
}

fn tier_name(value: Dynamic) -> Result<String, String> {
    value.into_string().map_err(|kind| format!("a tier name must be a string, not {kind}"))
}

fn syntax_error(path: &Path, error: &ParseError) -> RulesError {
    RulesError::new(path, error.1.line(), error.0.to_string())
}

/// Returns the innermost error of nested calls, with its line.
fn runtime_error(path: &Path, error: &EvalAltResult) -> RulesError {
    let (mut inner, mut position) = (error, error.position());
    while let EvalAltResult::ErrorInFunctionCall(_, _, within, _) = inner {
        inner = within;
        position = if inner.position().is_none() { position } else { inner.position() };
    }
    let mut message = inner.to_string();
    if let Some(position_text) = message.find(" (line ") {
        message.truncate(position_text);
    }
    RulesError::new(path, Position::line(position), message)
}
