//! From what was seen to a class of work and a score: every signal with its weight, so that the sum can be printed.

use ruff_text_size::TextSize;

use super::imports::{Imports, Named};
use super::modules::{self, Field};
use super::profile::{Class, Reach, Signal, StaticEffect};
use super::survey::{Peak, Survey};

/// Rounds of a loop that take Python about a tenth of a second.
const MANY_ROUNDS: f64 = 1e6;
/// Elements that take about a megabyte.
const MANY_ELEMENTS: f64 = 1e5;

/// What the score counts, and how much one of it weighs. A program of a few lines of arithmetic scores below 1, one that
/// trains a model above 20; a second of pure Python is worth about 10.
pub(super) fn signals(
    survey: &Survey<'_>,
    imports: &Imports<'_>,
    line: &impl Fn(TextSize) -> u32,
) -> (f64, Vec<Signal>) {
    let mut signals = Vec::with_capacity(16);
    let mut add = |name: &'static str, weight: f64, value: f64, at: Option<TextSize>| {
        if value > 0.0 && value.is_finite() {
            signals.push(Signal { name, weight, value, line: at.map(line) });
        }
    };
    let peak = |peak: Peak| (peak.value, Some(peak.at));

    add("statements", 0.01, survey.statements, None);
    add("calls", 0.01, survey.calls, None);
    let (loops, at) = peak(survey.loops);
    add("loops", 0.2, loops, at);
    let (nesting, at) = peak(survey.nesting);
    add("loop_nesting", 0.5, (nesting - 1.0).max(0.0), at);
    // Orders of magnitude beyond what ends at once; a hundred million rounds weigh 20.
    let (rounds, at) = peak(survey.iterations);
    add("iterations", 10.0, (rounds / MANY_ROUNDS).max(1.0).log10(), at);
    let (endless, at) = peak(survey.endless);
    add("endless_loop", 10.0, endless.min(1.0), at);
    let (recursion, at) = peak(survey.recursion);
    add("recursion", 1.0, recursion.min(3.0), at);
    let (allocation, at) = peak(survey.allocation);
    add("allocation", 2.0, (allocation / MANY_ELEMENTS).max(1.0).log10(), at);
    let (training, at) = peak(survey.training);
    let learns = field_line(imports, Field::Learn);
    add("training", 12.0, if learns.is_some() { training.min(3.0) } else { 0.0 }, at);
    let (code, at) = peak(survey.dynamic_code);
    add("dynamic_code", 1.0, code.min(3.0), at);

    for (field, name, weight) in [
        (Field::Symbolic, "symbolic_modules", 2.0),
        (Field::Data, "data_modules", 3.0),
        (Field::Plot, "plotting_modules", 4.0),
        (Field::Learn, "learning_modules", 8.0),
    ] {
        let at = field_line(imports, field);
        add(name, weight, if at.is_some() { 1.0 } else { 0.0 }, at);
    }
    for effect in StaticEffect::ALL {
        let (name, weight) = effect_weight(effect);
        let at = survey.effects[effect as usize];
        add(name, weight, if at.is_some() { 1.0 } else { 0.0 }, at);
    }
    // Folded from zero: the sum of nothing would be minus zero.
    (signals.iter().fold(0.0, |sum, signal| sum + signal.weight * signal.value), signals)
}

fn effect_weight(effect: StaticEffect) -> (&'static str, f64) {
    match effect {
        StaticEffect::Network => ("network", 5.0),
        StaticEffect::Files => ("files", 1.0),
        StaticEffect::Processes => ("processes", 5.0),
        StaticEffect::Environment => ("environment", 0.5),
        StaticEffect::Clock => ("clock", 0.2),
        StaticEffect::Randomness => ("randomness", 0.2),
        StaticEffect::Threads => ("threads", 3.0),
        StaticEffect::Display => ("display", 0.5),
        StaticEffect::Shell => ("shell", 5.0),
        StaticEffect::Magic => ("magic", 2.0),
    }
}

/// Where a used module of this field is imported.
fn field_line(imports: &Imports<'_>, field: Field) -> Option<TextSize> {
    used(imports).find(|named| named.field == field).map(|named| named.at)
}

fn used<'i, 'a>(imports: &'i Imports<'a>) -> impl Iterator<Item = &'i Named<'a>> {
    imports.modules.iter().filter(|named| named.used.get())
}

/// The class of work: what it reaches for decides first, then what it is built of.
pub(super) fn class(survey: &Survey<'_>, imports: &Imports<'_>) -> Class {
    let has = |effect: StaticEffect| survey.effects[effect as usize].is_some();
    let mut fields = [false; 8];
    let (mut dynamic, mut plain) = (false, false);
    for named in used(imports) {
        fields[named.field as usize] = true;
        plain |= named.field == Field::Plain && !is_notation(named.module);
    }
    for (module, _) in &survey.dynamic {
        fields[modules::field(module) as usize] = true;
        dynamic = true;
    }
    let uses = |field: Field| fields[field as usize];

    if has(StaticEffect::Shell) || has(StaticEffect::Processes) {
        return Class::Shell;
    }
    if has(StaticEffect::Network) || uses(Field::Network) {
        return Class::Network;
    }
    // Models of statistics are trained too, where they are fitted and not only tested with.
    let fits = survey.training.value > 0.0 && used(imports).any(|named| modules::top(named.module) == "statsmodels");
    if uses(Field::Learn) || fits {
        return Class::MlTraining;
    }
    if uses(Field::Plot) || (uses(Field::Data) && (has(StaticEffect::Display) || survey.drawing.value > 0.0)) {
        return Class::Plotting;
    }
    if uses(Field::Data) {
        return if survey.files >= Reach::Unseen && uses(Field::Files) {
            Class::Filesystem
        } else {
            Class::DataScience
        };
    }
    if uses(Field::Symbolic) {
        return Class::Symbolic;
    }
    if has(StaticEffect::Files) || uses(Field::Files) {
        return Class::Filesystem;
    }
    if dynamic || plain || is_algorithm(survey) { Class::Algorithm } else { Class::SimpleMath }
}

/// Modules that say how something is written, not what is done.
fn is_notation(module: &str) -> bool {
    matches!(modules::top(module), "__future__" | "typing" | "datetime" | "calendar")
}

/// More than arithmetic: it defines several things, recurses, nests loops, or keeps its data in more than lists.
fn is_algorithm(survey: &Survey<'_>) -> bool {
    survey.classes.value > 0.0
        || survey.recursion.value > 0.0
        || survey.functions.value > 1.0
        || survey.nesting.value > 1.0
        || survey.endless.value > 0.0
        || survey.statements > 40.0
        || (survey.functions.value > 0.0 && survey.branches + survey.loops.value > 0.0)
}
