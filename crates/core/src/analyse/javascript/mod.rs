//! The analyser for JavaScript and TypeScript, based on oxc's parser.
//!
//! Determinism is not proven: the sandbox in WebAssembly observes what a program reads, and only what is observed is
//! stored. The analysis adds a doubt where the text reads what another run may find different.

mod modules;
mod survey;

use std::collections::BTreeSet;

use oxc_allocator::Allocator;
use oxc_ast_visit::Visit as _;
use oxc_parser::{ParseOptions, Parser};
use oxc_span::SourceType;
use switchtower_contract::{Language, Program};
use switchtower_typescript::{Depth, measure, on_deep_stack};

use super::profile::{Class, NetworkUse, Profile, Reason, StaticEffect, Verdict};
use super::score::{self, Measure, Measurements};
use crate::request::SideEffects;

use survey::Survey;

/// The size of an element of an array.
const ELEMENT_BYTES: f64 = 8.0;
/// Most reasons of a verdict.
const MAX_REASONS: usize = 5;

/// Analyses a program: on the caller's thread, or on a thread with a larger stack if it is nested deeply.
pub(super) fn analyse(program: &Program) -> Profile {
    let source = program.source.as_str();
    let lines = Lines::new(source);
    let parse = || parse(program, &lines);
    let mut profile = match measure(source) {
        Depth::Shallow => std::panic::catch_unwind(std::panic::AssertUnwindSafe(parse)).ok(),
        Depth::Deep => on_deep_stack(parse),
        Depth::Excessive(reason) => Some(Profile::unknown(reason, lines.count())),
    }
    .unwrap_or_else(|| Profile::unknown("the parser failed", lines.count()));
    // What is given is found before any package.
    let given: BTreeSet<&str> = program.files.iter().filter_map(|file| modules::package_of_file(&file.path)).collect();
    profile.imports.retain(|import| !given.contains(import.module.as_str()));
    profile
}

fn parse(program: &Program, lines: &Lines) -> Profile {
    let allocator = Allocator::default();
    let typescript = program.language == Language::TypeScript;
    let kinds = if typescript {
        [SourceType::ts().with_unambiguous(true), SourceType::ts()]
    } else {
        [SourceType::unambiguous(), SourceType::mjs()]
    };
    let options = ParseOptions { allow_return_outside_function: true, ..ParseOptions::default() };
    let mut error = None;
    for kind in kinds {
        let parsed = Parser::new(&allocator, &program.source, kind).with_options(options).parse();
        match parsed.diagnostics.iter().next() {
            None if !parsed.panicked => {
                let mut survey = Survey::new(lines);
                survey.visit_program(&parsed.program);
                return profile(&survey, program, lines);
            }
            diagnostic => {
                error.get_or_insert_with(|| Reason {
                    text: diagnostic.map_or_else(String::new, |found| found.message.to_string()),
                    line: diagnostic
                        .and_then(|found| found.labels.iter().next())
                        .map(|label| lines.line(label.offset())),
                });
            }
        }
    }
    unparsable(error.unwrap_or(Reason { text: "it cannot be read".to_owned(), line: None }), lines)
}

/// Returns the profile of a program that is not valid. It runs in the cheapest tier, where the engine reports the error.
fn unparsable(reason: Reason, lines: &Lines) -> Profile {
    let unparsed = Reason { text: format!("it cannot be parsed: {}", reason.text), line: reason.line };
    Profile {
        parses: false,
        // A program that does not parse does not run.
        side_effects: SideEffects::None,
        verdict: Verdict { deterministic: false, reasons: vec![unparsed], doubt: None },
        analysis_error: Some(reason),
        ..Profile::unknown("", lines.count())
    }
}

fn profile(survey: &Survey<'_>, program: &Program, lines: &Lines) -> Profile {
    let (score, signals) = score::score(&Measurements {
        statements: survey.statements,
        calls: survey.calls,
        loops: survey.loops,
        nesting: survey.nesting,
        iterations: survey.iterations,
        endless_loops: survey.endless_loops,
        recursion: survey.recursion,
        allocation: survey.allocation,
        training: Measure::default(),
        dynamic_code: survey.dynamic_code,
        effects: survey.effects,
        ..Measurements::default()
    });
    let has = |effect: StaticEffect| survey.effects[effect as usize].is_some();
    let effects: BTreeSet<StaticEffect> = StaticEffect::ALL.into_iter().filter(|effect| has(*effect)).collect();
    Profile {
        class: class(survey, has),
        score,
        signals,
        imports: survey.imports.clone(),
        files: survey.files,
        side_effects: side_effects(survey, has),
        network: survey.network,
        memory: (survey.allocation.value * ELEMENT_BYTES) as u64,
        training: None,
        verdict: verdict(survey, program),
        parses: true,
        analysis_error: None,
        lines: lines.count(),
        effects,
    }
}

/// Returns the class of work. Effects take precedence over the structure of the code.
fn class(survey: &Survey<'_>, has: impl Fn(StaticEffect) -> bool) -> Class {
    if has(StaticEffect::Processes) {
        Class::Shell
    } else if survey.network != NetworkUse::None {
        Class::Network
    } else if has(StaticEffect::Files) {
        Class::Filesystem
    } else if survey.is_algorithm() || !survey.imports.is_empty() {
        Class::Algorithm
    } else {
        Class::SimpleMath
    }
}

fn side_effects(survey: &Survey<'_>, has: impl Fn(StaticEffect) -> bool) -> SideEffects {
    let is_known = |module: &str| modules::is_builtin(module);
    let unknown_code = survey.dynamic_code.value > 0.0 || survey.imports.iter().any(|import| !is_known(&import.module));
    if survey.network != NetworkUse::None || has(StaticEffect::Processes) || unknown_code {
        SideEffects::World
    } else if has(StaticEffect::Files) || has(StaticEffect::Threads) {
        SideEffects::Sandbox
    } else {
        SideEffects::None
    }
}

fn verdict(survey: &Survey<'_>, program: &Program) -> Verdict {
    let reason = |text: &str, line| Reason { text: text.to_owned(), line };
    let mut reasons = vec![reason("programs in this language are not proven, only observed", None)];
    for (effect, text) in [
        (StaticEffect::Clock, "it reads the clock"),
        (StaticEffect::Randomness, "it draws randomness"),
        (StaticEffect::Network, "it uses the network"),
        (StaticEffect::Processes, "it starts processes"),
        (StaticEffect::Threads, "it uses threads"),
    ] {
        if let Some(line) = survey.effects[effect as usize] {
            reasons.push(reason(text, Some(line)));
        }
    }
    if program.stdin.is_none()
        && let Some(line) = survey.reads_input
    {
        reasons.push(reason("it reads standard input, which was not given", Some(line)));
    }
    let doubt = reasons.get(1).cloned();
    reasons.truncate(MAX_REASONS);
    Verdict { deterministic: false, reasons, doubt }
}

/// Maps byte offsets to lines.
pub(super) struct Lines {
    /// The byte offset at which each line after the first begins.
    starts: Vec<u32>,
}

impl Lines {
    fn new(source: &str) -> Self {
        let ends = source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { starts: ends.map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX)).collect() }
    }

    /// Returns the line of an offset, from 1.
    fn line(&self, at: u32) -> u32 {
        let before = self.starts.partition_point(|start| *start <= at);
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
    }

    fn count(&self) -> u32 {
        u32::try_from(self.starts.len()).unwrap_or(u32::MAX).saturating_add(1)
    }
}
