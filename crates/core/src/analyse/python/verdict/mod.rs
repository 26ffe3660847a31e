//! The proof that a program produces the same output in every process, or the reasons why it is not proven.
//!
//! The proof tracks hazards by origin. A value whose order or text differs between processes (a set, an iterator, a
//! function, an object that prints its address) is checked where it is created: it must be consumed there, or be bound
//! to a name whose usages are all checked. So names, parameters, elements and attributes never hold an unchecked
//! hazard, and no types are needed. The proof is conservative: a program with anything that is not on the list of known
//! names is rejected.

mod allowed;
mod handlers;
pub(super) mod hazard;
mod methods;
#[cfg(test)]
mod tests;
mod walk;

use ruff_python_ast::Stmt;
use ruff_text_size::TextSize;

use self::hazard::Hazard;
use super::Lines;
use super::imports::Imports;
use super::survey::Survey;
use crate::analyse::profile::{Reason, StaticEffect, Verdict};

/// The number of reasons that are reported. One is sufficient to reject a program.
const MAX_REASONS: usize = 8;
/// Iterations beyond which a program may exceed its time limit, so that it has no result.
const MAX_ITERATIONS: f64 = 1e7;
/// Elements, or digits, beyond which a program may exceed its memory.
const MAX_ALLOCATION: f64 = 1e7;

/// Whether the standard input is part of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stdin {
    Given,
    /// Given, but empty. For the decision whether a result is cached it counts as not given.
    Empty,
    NotGiven,
}

/// Returns the verdict on a program.
pub(super) fn prove(body: &[Stmt], imports: &Imports<'_>, survey: &Survey<'_>, stdin: Stdin, lines: &Lines) -> Verdict {
    let mut reasons = Reasons::default();
    for imported in &imports.modules {
        if !allowed::is_known_module(imported.module) {
            reasons.add(imported.at, || format!("module {} is not known to be deterministic", imported.module));
        }
    }
    if let Some(name) = imports.ambiguous_name {
        reasons.add(TextSize::default(), || format!("the name {name} is bound to two different imports"));
    }
    // The tables of known names describe an imported name only if it is not bound to anything else.
    let is_rebound = |name: &&str| {
        let bindings = survey.definitions.binding_counts.get(name).copied().unwrap_or_default();
        bindings > imports.alias_count(name) || (bindings > 0 && allowed::builtin(name).is_some())
    };
    if let Some(name) = imports.bound_names().chain(["__name__"]).find(is_rebound) {
        reasons.add(TextSize::default(), || format!("the name {name} is also bound to something else"));
    }
    for (module, at) in &survey.dynamic_imports {
        reasons.add(*at, || format!("module {module} is imported dynamically"));
    }
    for effect in StaticEffect::ALL {
        if let Some(at) = survey.effects[effect as usize] {
            reasons.add(at, || effect_reason(effect).to_owned());
        }
    }
    if survey.iterations.value > MAX_ITERATIONS || survey.endless_loops.value > 0.0 {
        reasons.add(survey.iterations.at.max(survey.endless_loops.at), || "it may exceed its time limit".to_owned());
    }
    if survey.allocation.value > MAX_ALLOCATION {
        reasons.add(survey.allocation.at, || "it may exceed its memory limit".to_owned());
    }
    if stdin == Stdin::NotGiven
        && let Some(at) = survey.input_read
    {
        reasons.add(at, || "it reads standard input, which is not given".to_owned());
    }
    handlers::check(body, imports, &survey.definitions, &mut reasons);
    // The checks above are cheap. The walk is needed only for programs that pass them, and for programs with sets,
    // because a sandbox that observes all effects does not observe the order of a set.
    reasons.has_sets = survey.has_sets;
    add_doubt(imports, survey, stdin, &mut reasons);
    if reasons.found.is_empty() || survey.has_sets {
        walk::check(body, imports, &survey.definitions, &mut reasons);
    }
    reasons.into_verdict(lines)
}

/// Adds the first reason why a result must not be shared although the sandbox observed no effects.
fn add_doubt(imports: &Imports<'_>, survey: &Survey<'_>, stdin: Stdin, reasons: &mut Reasons) {
    let varying = [StaticEffect::Clock, StaticEffect::Randomness, StaticEffect::Environment];
    let effect = varying.into_iter().find_map(|effect| Some((survey.effects[effect as usize]?, effect_reason(effect))));
    let dynamic =
        (survey.dynamic_code.value > 0.0).then_some((survey.dynamic_code.at, "it executes dynamically created code"));
    let interpreter = survey.interpreter_access.map(|at| (at, "it inspects the interpreter"));
    let input = survey.input_read.map(|at| (at, "it may read standard input, which is empty or not given"));
    let input = input.filter(|_| stdin != Stdin::Given);
    let unused = imports.modules.iter().find(|imported| !imported.used.get() && is_varying_module(imported.module));
    let unused = unused.map(|imported| {
        (imported.at, "it imports a module for time or randomness, and the use of the module is not visible")
    });
    reasons.doubt = effect.or(dynamic).or(interpreter).or(input).or(unused);
}

fn is_varying_module(module: &str) -> bool {
    matches!(module.split('.').next(), Some("random" | "secrets" | "uuid" | "time"))
}

fn effect_reason(effect: StaticEffect) -> &'static str {
    match effect {
        StaticEffect::Network => "it uses the network",
        StaticEffect::Files => "it uses files",
        StaticEffect::Processes => "it uses other processes",
        StaticEffect::Environment => "it reads the environment",
        StaticEffect::Clock => "it reads the clock",
        StaticEffect::Randomness => "it draws random numbers without a literal seed",
        StaticEffect::Threads => "it uses threads",
        StaticEffect::Display => "it uses a display",
        StaticEffect::Shell => "it runs shell commands",
        StaticEffect::Magic => "it uses notebook magics",
    }
}

#[derive(Default)]
struct Reasons {
    found: Vec<(TextSize, String)>,
    /// Whether the program may create sets, so that the walk continues until it finds a doubt.
    has_sets: bool,
    /// The first reason against sharing a result.
    doubt: Option<(TextSize, &'static str)>,
}

impl Reasons {
    fn add(&mut self, at: TextSize, text: impl FnOnce() -> String) {
        if !self.is_full() {
            self.found.push((at, text()));
        }
    }

    /// Adds a hazard whose order or text may reach the output.
    fn add_hazard(&mut self, hazard: Hazard, at: TextSize, text: impl FnOnce() -> String) {
        if hazard == Hazard::Set {
            self.doubt.get_or_insert((at, hazard.reason()));
        }
        self.add(at, text);
    }

    fn is_full(&self) -> bool {
        self.found.len() >= MAX_REASONS
    }

    /// Returns whether the walk can add nothing more.
    fn is_complete(&self) -> bool {
        self.is_full() && (!self.has_sets || self.doubt.is_some())
    }

    fn into_verdict(mut self, lines: &Lines) -> Verdict {
        self.found.sort_by_key(|(at, _)| *at);
        let reasons = self.found.into_iter().map(|(at, text)| Reason { text, line: Some(lines.line(at)) });
        let reasons: Vec<Reason> = reasons.collect();
        let doubt = self.doubt.map(|(at, text)| Reason { text: text.to_owned(), line: Some(lines.line(at)) });
        Verdict { deterministic: reasons.is_empty(), reasons, doubt }
    }
}
