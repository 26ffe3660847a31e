//! The score: every measurement with its weight, so that the sum can be printed.

use super::profile::{Signal, StaticEffect};

/// Rounds of a loop that take an interpreter about a tenth of a second.
const MANY_ROUNDS: f64 = 1e6;
/// Elements that take about a megabyte.
const MANY_ELEMENTS: f64 = 1e5;

/// A value and the line, from 1, at which it was found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measure {
    pub(super) value: f64,
    pub(super) line: Option<u32>,
}

/// What an analyser measures in a program of any language.
#[derive(Debug, Default)]
pub(super) struct Measurements {
    pub(super) statements: f64,
    pub(super) calls: f64,
    pub(super) loops: Measure,
    /// The deepest nesting of loops.
    pub(super) nesting: Measure,
    /// The most rounds that literal bounds promise, those of nested loops multiplied.
    pub(super) iterations: Measure,
    pub(super) endless_loops: Measure,
    pub(super) recursion: Measure,
    /// The most elements or bytes that are created at once.
    pub(super) allocation: Measure,
    /// Calls that train a model.
    pub(super) training: Measure,
    /// Calls that compile or run text as code.
    pub(super) dynamic_code: Measure,
    /// The lines at which used modules of a field of work are imported.
    pub(super) symbolic_modules: Option<u32>,
    pub(super) data_modules: Option<u32>,
    pub(super) plotting_modules: Option<u32>,
    pub(super) learning_modules: Option<u32>,
    /// The line at which each effect is first found.
    pub(super) effects: [Option<u32>; StaticEffect::ALL.len()],
}

/// Returns the score with its signals. A program of a few lines of arithmetic scores below 1, one that trains a model above
/// 20; a second of pure Python is worth about 10.
pub(super) fn score(of: &Measurements) -> (f64, Vec<Signal>) {
    let mut signals = Vec::with_capacity(16);
    let mut add = |name: &'static str, weight: f64, value: f64, line: Option<u32>| {
        if value > 0.0 && value.is_finite() {
            signals.push(Signal { name, weight, value, line });
        }
    };
    add("statements", 0.01, of.statements, None);
    add("calls", 0.01, of.calls, None);
    add("loops", 0.2, of.loops.value, of.loops.line);
    add("loop_nesting", 0.5, (of.nesting.value - 1.0).max(0.0), of.nesting.line);
    // Orders of magnitude beyond what ends at once; a hundred million rounds weigh 20.
    add("iterations", 10.0, (of.iterations.value / MANY_ROUNDS).max(1.0).log10(), of.iterations.line);
    add("endless_loop", 10.0, of.endless_loops.value.min(1.0), of.endless_loops.line);
    add("recursion", 1.0, of.recursion.value.min(3.0), of.recursion.line);
    add("allocation", 2.0, (of.allocation.value / MANY_ELEMENTS).max(1.0).log10(), of.allocation.line);
    add("training", 12.0, of.training.value.min(3.0), of.training.line);
    add("dynamic_code", 1.0, of.dynamic_code.value.min(3.0), of.dynamic_code.line);
    for (name, weight, line) in [
        ("symbolic_modules", 2.0, of.symbolic_modules),
        ("data_modules", 3.0, of.data_modules),
        ("plotting_modules", 4.0, of.plotting_modules),
        ("learning_modules", 8.0, of.learning_modules),
    ] {
        add(name, weight, if line.is_some() { 1.0 } else { 0.0 }, line);
    }
    for effect in StaticEffect::ALL {
        let (name, weight) = effect_weight(effect);
        let line = of.effects[effect as usize];
        add(name, weight, if line.is_some() { 1.0 } else { 0.0 }, line);
    }
    // Folded from zero: the sum of no signals would be minus zero.
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
