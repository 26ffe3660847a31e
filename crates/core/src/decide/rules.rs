//! A compiled set of rule files.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
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

/// The policy that is in force where no folder has its own `default.rhai`.
const DEFAULT: &str = include_str!("../../../../router-rules/default.rhai");
const DEFAULT_NAME: &str = "default";
/// Most bytes of one rule file.
const FILE_BYTES: u64 = 256 << 10;

/// A compiled set of rules: files in the order of their names, `default` last.
pub struct Rules {
    files: Vec<File>,
    reads_load: bool,
}

struct File {
    name: String,
    path: PathBuf,
    ast: AST,
}

/// What a rule says.
pub(super) struct Verdict {
    pub route: Route,
    pub rule: String,
    pub reason: String,
}

/// What is wrong with a rule file, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RulesError {
    pub file: PathBuf,
    /// From 1.
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
        Self::new(file, None, format!("it cannot be read: {error}"))
    }
}

/// The text of one rule file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub path: PathBuf,
    pub text: String,
}

/// Every rule file of a folder, in the order in which they are asked. A folder without `default.rhai` has the built-in.
pub(super) fn sources(dir: &Path) -> Result<Vec<Source>, RulesError> {
    let unreadable = |error: std::io::Error| RulesError::unreadable(dir, &error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "rhai") {
            paths.push(path);
        }
    }
    paths.sort_by_key(|path| (path.file_stem().is_some_and(|stem| stem == DEFAULT_NAME), path.clone()));
    let mut sources = paths.iter().map(|path| source(path)).collect::<Result<Vec<_>, _>>()?;
    if paths.last().is_none_or(|path| path.file_stem().is_none_or(|stem| stem != DEFAULT_NAME)) {
        sources.push(builtin_source());
    }
    Ok(sources)
}

fn source(path: &Path) -> Result<Source, RulesError> {
    let size = fs::metadata(path).map_err(|error| RulesError::unreadable(path, &error))?.len();
    if size > FILE_BYTES {
        return Err(RulesError::new(path, None, format!("it has {size} bytes, at most {FILE_BYTES} are read")));
    }
    let text = fs::read_to_string(path).map_err(|error| RulesError::unreadable(path, &error))?;
    Ok(Source { path: path.to_owned(), text })
}

fn builtin_source() -> Source {
    Source { path: PathBuf::from("router-rules/default.rhai"), text: DEFAULT.to_owned() }
}

impl Rules {
    /// The rules of a folder: all its `*.rhai`, compiled, or the first error.
    pub fn load(dir: &Path) -> Result<Self, RulesError> {
        Self::compile(&sources(dir)?)
    }

    /// The policy that ships with this build.
    pub fn builtin() -> Self {
        Self::compile(&[builtin_source()]).expect("the built-in policy compiles: a test says so")
    }

    pub(super) fn compile(sources: &[Source]) -> Result<Self, RulesError> {
        let files = sources.iter().map(|source| {
            let ast = engine().compile(&source.text).map_err(|error| syntax(&source.path, &error))?;
            if !ast.iter_functions().any(|function| function.name == "decide" && function.params.len() == 1) {
                return Err(RulesError::new(&source.path, None, "it has no function decide(facts)"));
            }
            let name = source.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok(File { name, path: source.path.clone(), ast })
        });
        let reads_load = sources.iter().any(|source| load::is_read(&source.text));
        Ok(Self { files: files.collect::<Result<_, _>>()?, reads_load })
    }

    /// Returns true if a rule may read how busy the tiers are. Where none does, the router shows them all idle, so that a
    /// decision can be remembered while the load changes.
    pub fn reads_load(&self) -> bool {
        self.reads_load
    }

    /// The files of this set, in the order in which they are asked.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// The first verdict, and the errors of the files that were passed over on the way.
    pub(super) fn ask(
        &self,
        request: &Request,
        profile: &Profile,
        statuses: &[&TierStatus],
    ) -> Result<(Verdict, Vec<String>), DecideError> {
        let mut skipped = Vec::new();
        let mut facts: Dynamic = facts(request, profile, statuses).into();
        let Some((last, first)) = self.files.split_last() else {
            return Err(DecideError::NoTier { reason: "there are no rules".to_owned() });
        };
        for file in first {
            match file.decide(facts.clone(), statuses) {
                Ok(Some(verdict)) => return Ok((verdict, skipped)),
                Ok(None) => {}
                Err(error) => skipped.push(error.to_string()),
            }
        }
        match last.decide(facts.take(), statuses)? {
            Some(verdict) => Ok((verdict, skipped)),
            None => Err(DecideError::NoTier { reason: "no rule names a tier that stands".to_owned() }),
        }
    }
}

impl File {
    fn decide(&self, facts: Dynamic, statuses: &[&TierStatus]) -> Result<Option<Verdict>, RulesError> {
        let options = CallFnOptions::new().eval_ast(true).rewind_scope(true);
        let verdict = engine()
            .call_fn_with_options::<Dynamic>(options, &mut Scope::new(), &self.ast, "decide", (facts,))
            .map_err(|error| failure(&self.path, &error))?;
        if verdict.is_unit() {
            return Ok(None);
        }
        let wrong = |message: &str| RulesError::new(&self.path, None, message);
        let mut verdict =
            verdict.try_cast::<Map>().ok_or_else(|| wrong("decide gives neither () nor #{ rule, reason, route }"))?;
        let mut text = |name: &str| verdict.remove(name).and_then(|value| value.into_string().ok());
        let reason = text("reason").ok_or_else(|| wrong("the verdict has no reason, which is a text"))?;
        let rule = text("rule").map_or_else(|| self.name.clone(), |rule| format!("{}.{rule}", self.name));
        let legs = verdict.remove("route").and_then(Dynamic::try_cast::<Array>);
        let legs = legs.ok_or_else(|| wrong("the verdict has no route, which is a list of tiers"))?;
        if let Some(name) = verdict.keys().next() {
            return Err(wrong(&format!("the verdict has {name}: it may have rule, reason, route")));
        }
        let route = route(legs, statuses).map_err(|message| wrong(&message))?;
        Ok((!route.0.is_empty()).then_some(Verdict { route, rule, reason }))
    }
}

/// The legs of a route whose tiers stand, each tier once. The last has no budget.
fn route(legs: Array, statuses: &[&TierStatus]) -> Result<Route, String> {
    let mut route = Route::default();
    for leg in legs {
        let (name, budget) = if leg.is_map() { budgeted(leg)? } else { (text(leg)?, None) };
        let standing = statuses.iter().find(|standing| standing.tier.as_str() == name);
        if let Some(standing) = standing
            && !route.tiers().any(|tier| *tier == standing.tier)
        {
            route.0.push(Leg { tier: standing.tier.clone(), budget });
        }
    }
    if let Some(last) = route.0.last_mut() {
        last.budget = None;
    }
    Ok(route)
}

fn budgeted(leg: Dynamic) -> Result<(String, Option<Duration>), String> {
    let mut leg = leg.try_cast::<Map>().unwrap_or_default();
    let name = text(leg.remove("tier").ok_or("a leg has no tier")?)?;
    let budget = leg.remove("budget_ms").map(|budget| budget.as_int().ok().and_then(|ms| u64::try_from(ms).ok()));
    if let Some(other) = leg.keys().next() {
        return Err(format!("a leg has {other}: it may have tier, budget_ms"));
    }
    match budget {
        Some(None | Some(0)) => Err("budget_ms is a whole number of milliseconds, at least 1".to_owned()),
        Some(Some(ms)) => Ok((name, Some(Duration::from_millis(ms)))),
        None => Ok((name, None)),
    }
}

fn text(value: Dynamic) -> Result<String, String> {
    value.into_string().map_err(|kind| format!("a tier is named by a text, not by {kind}"))
}

fn syntax(path: &Path, error: &ParseError) -> RulesError {
    RulesError::new(path, error.1.line(), error.0.to_string())
}

/// What went wrong at its innermost place.
fn failure(path: &Path, error: &EvalAltResult) -> RulesError {
    let (mut inner, mut position) = (error, error.position());
    while let EvalAltResult::ErrorInFunctionCall(_, _, within, _) = inner {
        inner = within;
        position = if inner.position().is_none() { position } else { inner.position() };
    }
    let mut unplaced = inner.to_string();
    if let Some(cut) = unplaced.find(" (line ") {
        unplaced.truncate(cut);
    }
    RulesError::new(path, Position::line(position), unplaced)
}
