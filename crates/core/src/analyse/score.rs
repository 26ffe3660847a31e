//! The score: a weighted sum of measurements, kept term by term so that it can be explained.

use super::profile::{Signal, StaticEffect};

/// Iterations of a simple loop that take CPython about a tenth of a second.
const MANY_ITERATIONS: f64 = 1e6;
/// Operations of training models that take a native tier about a tenth of a second.
const MANY_OPERATIONS: f64 = 1e8;
/// Elements that take about one megabyte.
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
    /// The largest number of iterations that follows from literal bounds; those of nested loops are multiplied.
    pub(super) iterations: Measure,
    pub(super) endless_loops: Measure,
    pub(super) recursion: Measure,
    /// The largest number of elements or bytes that is created at once.
    pub(super) allocation: Measure,
    /// The operations of training models.
    pub(super) training: Measure,
    /// Calls that compile or execute text as code.
    pub(super) dynamic_code: Measure,
    /// The line at which a used module of each domain is imported.
    pub(super) symbolic_modules: Option<u32>,
    pub(super) data_modules: Option<u32>,
    pub(super) plotting_modules: Option<u32>,
    pub(super) learning_modules: Option<u32>,
    /// The line at which each effect is first found.
    pub(super) effects: [Option<u32>; StaticEffect::ALL.len()],
}

/// Returns the score and its signals. A few lines of arithmetic score below 1; one second of pure Python or of training
/// a model adds about 10.
pub(super) fn score(measurements: &Measurements) -> (f64, Vec<Signal>) {
    let mut signals = Vec::with_capacity(16);
    let mut add = |name: &'static str, weight: f64, value: f64, line: Option<u32>| {
        if value > 0.0 && value.is_finite() {
            signals.push(Signal { name, weight, value, line });
        }
    };
    add("statements", 0.01, measurements.statements, None);
    add("calls", 0.01, measurements.calls, None);
    add("loops", 0.2, measurements.loops.value, measurements.loops.line);
    add("loop_nesting", 0.5, (measurements.nesting.value - 1.0).max(0.0), measurements.nesting.line);
    // Orders of magnitude beyond `MANY_ITERATIONS`: a hundred million iterations add 20.
    add(
        "iterations",
        10.0,
        (measurements.iterations.value / MANY_ITERATIONS).max(1.0).log10(),
        measurements.iterations.line,
    );
    add("endless_loop", 10.0, measurements.endless_loops.value.min(1.0), measurements.endless_loops.line);
    add("recursion", 1.0, measurements.recursion.value.min(3.0), measurements.recursion.line);
    add(
        "allocation",
        2.0,
        (measurements.allocation.value / MANY_ELEMENTS).max(1.0).log10(),
        measurements.allocation.line,
    );
    // Orders of magnitude beyond a tenth of a second: ten seconds add 20.
    add("training", 10.0, (measurements.training.value / MANY_OPERATIONS).max(1.0).log10(), measurements.training.line);
    add("dynamic_code", 1.0, measurements.dynamic_code.value.min(3.0), measurements.dynamic_code.line);
    for (name, weight, line) in [
        ("symbolic_modules", 2.0, measurements.symbolic_modules),
        ("data_modules", 3.0, measurements.data_modules),
        ("plotting_modules", 4.0, measurements.plotting_modules),
        ("learning_modules", 8.0, measurements.learning_modules),
    ] {
        add(name, weight, if line.is_some() { 1.0 } else { 0.0 }, line);
    }
    for effect in StaticEffect::ALL {
        let (name, weight) = effect_weight(effect);
        let line = measurements.effects[effect as usize];
        add(name, weight, if line.is_some() { 1.0 } else { 0.0 }, line);
    }
    // Folded from zero, because `sum` of no signals is minus zero.
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
