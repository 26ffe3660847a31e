//! Whether a program must give the same output in every process: a strict proof, or the reasons why there is none.
//!
//! The proof goes by origin. Values whose order or text differs between processes (sets, iterators, functions, objects
//! that print their address) are stopped where they are made: they may be used up on the spot, or be bound to a name of
//! which every use is then followed. Everything else that a name can hold is harmless, so parameters, elements and
//! attributes need no types. Whatever is not on the list of what is known ends the proof.

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

/// Reasons that are kept; one is enough.
const KEPT: usize = 8;
/// Rounds that may take a program past any deadline: being cut off is no result.
const TOO_MANY_ROUNDS: f64 = 1e7;
/// Elements, or digits, that may be more than there is room for.
const TOO_MUCH_ROOM: f64 = 1e7;

/// Whether the standard input is given with the program, and so is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Given,
    /// Given, with nothing in it: as good as none where results are kept.
    Empty,
    Open,
}

pub(super) fn of(body: &[Stmt], imports: &Imports<'_>, survey: &Survey<'_>, input: Input, lines: &Lines) -> Verdict {
    let mut reasons = Reasons::default();
    for named in &imports.modules {
        if !allowed::module(named.module) {
            reasons.add(named.at, || format!("the module {} is not known to give the same everywhere", named.module));
        }
    }
    if let Some(name) = imports.torn {
        reasons.add(TextSize::default(), || format!("the name {name} stands for two imports"));
    }
    // What is known of a name is known of what its import gives it.
    let given = |name: &&str| {
        let times = survey.own.times.get(name).copied().unwrap_or_default();
        times > imports.aliased(name) || (times > 0 && allowed::builtin(name).is_some())
    };
    if let Some(name) = imports.names().chain(["__name__"]).find(given) {
        reasons.add(TextSize::default(), || format!("the name {name} is given to something else too"));
    }
    for (module, at) in &survey.dynamic {
        reasons.add(*at, || format!("the module {module} is imported by a call"));
    }
    for effect in StaticEffect::ALL {
        if let Some(at) = survey.effects[effect as usize] {
            reasons.add(at, || asks(effect).to_owned());
        }
    }
    if survey.iterations.value > TOO_MANY_ROUNDS || survey.endless.value > 0.0 {
        reasons.add(survey.iterations.at.max(survey.endless.at), || "it may run until it is cut off".to_owned());
    }
    if survey.allocation.value > TOO_MUCH_ROOM {
        reasons.add(survey.allocation.at, || "it may need more room than there is".to_owned());
    }
    if input == Input::Open
        && let Some(at) = survey.input
    {
        reasons.add(at, || "it reads an input that is not given with it".to_owned());
    }
    handlers::judge(body, imports, &survey.own, &mut reasons);
    // What the imports and effects say is cheap; only what passes them is worth the walk, and what has sets: a sandbox
    // that sees every question to the world still does not see their order.
    reasons.sets = survey.sets;
    doubt(imports, survey, input, &mut reasons);
    if reasons.found.is_empty() || survey.sets {
        walk::judge(body, imports, &survey.own, &mut reasons);
    }
    reasons.into_verdict(lines)
}

/// What no host sees happen, or what may happen another time.
fn doubt(imports: &Imports<'_>, survey: &Survey<'_>, given: Input, reasons: &mut Reasons) {
    let momentary = [StaticEffect::Clock, StaticEffect::Randomness, StaticEffect::Environment];
    let asked = momentary.into_iter().find_map(|effect| Some((survey.effects[effect as usize]?, asks(effect))));
    let dynamic =
        (survey.dynamic_code.value > 0.0).then_some((survey.dynamic_code.at, "it runs code that it makes itself"));
    let inner = survey.inner.map(|at| (at, "it looks into the interpreter"));
    let input = survey.input.map(|at| (at, "it may read an input that is not given with it"));
    let input = input.filter(|_| given != Input::Given);
    let unseen = imports.modules.iter().find(|named| !named.used.get() && is_momentary(named.module));
    let unseen =
        unseen.map(|named| (named.at, "it imports a module of clocks or chance, and where it uses it is not seen"));
    reasons.doubt = asked.or(dynamic).or(inner).or(input).or(unseen);
}

fn is_momentary(module: &str) -> bool {
    matches!(module.split('.').next(), Some("random" | "secrets" | "uuid" | "time"))
}

fn asks(effect: StaticEffect) -> &'static str {
    match effect {
        StaticEffect::Network => "it uses the network",
        StaticEffect::Files => "it uses files",
        StaticEffect::Processes => "it uses other processes",
        StaticEffect::Environment => "it reads its environment",
        StaticEffect::Clock => "it reads the clock",
        StaticEffect::Randomness => "it draws randomness that no literal seed fixes",
        StaticEffect::Threads => "it uses threads",
        StaticEffect::Display => "it uses a display",
        StaticEffect::Shell => "it runs commands of the system",
        StaticEffect::Magic => "it uses magics of a notebook",
    }
}

#[derive(Default)]
struct Reasons {
    found: Vec<(TextSize, String)>,
    /// The program has sets, so the walk goes on until their order shows.
    sets: bool,
    /// The first thing that speaks against keeping a result.
    doubt: Option<(TextSize, &'static str)>,
}

impl Reasons {
    fn add(&mut self, at: TextSize, text: impl FnOnce() -> String) {
        if !self.is_full() {
            self.found.push((at, text()));
        }
    }

    /// A hazard is where it may be seen.
    fn add_hazard(&mut self, hazard: Hazard, at: TextSize, text: impl FnOnce() -> String) {
        if hazard == Hazard::Set {
            self.doubt.get_or_insert((at, hazard.reason()));
        }
        self.add(at, text);
    }

    fn is_full(&self) -> bool {
        self.found.len() >= KEPT
    }

    /// Nothing more can be learnt.
    fn is_settled(&self) -> bool {
        self.is_full() && (!self.sets || self.doubt.is_some())
    }

    fn into_verdict(mut self, lines: &Lines) -> Verdict {
        self.found.sort_by_key(|(at, _)| *at);
        let reasons = self.found.into_iter().map(|(at, text)| Reason { text, line: Some(lines.line(at)) });
        let reasons: Vec<Reason> = reasons.collect();
        let doubt = self.doubt.map(|(at, text)| Reason { text: text.to_owned(), line: Some(lines.line(at)) });
        Verdict { deterministic: reasons.is_empty(), reasons, doubt }
    }
}
