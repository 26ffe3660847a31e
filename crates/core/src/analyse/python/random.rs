//! Whether the random numbers that a program draws are determined by literal seeds in its source.
//!
//! A global generator counts as seeded if a call with a literal seed certainly runs before the first draw: the call is
//! an unconditional statement of the module, above every draw. A draw inside a function happens no earlier than the
//! first position at module level that mentions a function or class of the program, or creates a lambda.

use ruff_text_size::TextSize;

use super::modules::SharedGenerator;

/// Where code is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// At module level.
    Module,
    /// In the body of a function.
    Function,
}

/// Whether a statement runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Execution {
    /// Once, in the order of the lines.
    Certain,
    /// Perhaps, and perhaps later.
    Possible,
}

/// The seeds and draws of a program.
#[derive(Debug, Default)]
pub(super) struct RandomDraws {
    python: Generator,
    numpy: Generator,
    /// The first draw from the system, which no seed determines.
    system_entropy: Option<TextSize>,
    /// The first position at which the program's own functions may run.
    own_code: Option<TextSize>,
}

#[derive(Debug, Default)]
struct Generator {
    seeded: Option<TextSize>,
    drawn: Option<TextSize>,
    /// The first draw inside a function.
    drawn_in_function: Option<TextSize>,
}

impl RandomDraws {
    fn generator(&mut self, shared: SharedGenerator) -> &mut Generator {
        match shared {
            SharedGenerator::Python => &mut self.python,
            SharedGenerator::Numpy => &mut self.numpy,
        }
    }

    /// Records a call that seeds a global generator with a literal. A call that may not run is ignored.
    pub(super) fn seed(&mut self, shared: SharedGenerator, at: TextSize, execution: Execution) {
        if execution == Execution::Certain {
            earliest(&mut self.generator(shared).seeded, at);
        }
    }

    /// Records a draw from a global generator.
    pub(super) fn draw(&mut self, shared: SharedGenerator, at: TextSize, scope: Scope) {
        let generator = self.generator(shared);
        earliest(if scope == Scope::Function { &mut generator.drawn_in_function } else { &mut generator.drawn }, at);
    }

    /// Records a draw from the system.
    pub(super) fn draw_system_entropy(&mut self, at: TextSize) {
        earliest(&mut self.system_entropy, at);
    }

    /// Records a position from which the program's own functions may run.
    pub(super) fn record_own_code(&mut self, at: TextSize, scope: Scope) {
        if scope == Scope::Module {
            earliest(&mut self.own_code, at);
        }
    }

    /// Returns the first draw that no literal seed determines.
    pub(super) fn first_unseeded(&self) -> Option<TextSize> {
        let generators = [&self.python, &self.numpy];
        let unseeded = generators.into_iter().filter_map(|generator| generator.unseeded(self.own_code));
        unseeded.chain(self.system_entropy).min()
    }
}

impl Generator {
    fn unseeded(&self, own_code: Option<TextSize>) -> Option<TextSize> {
        let before = |at: TextSize| self.seeded.is_none_or(|seeded| at < seeded);
        let outside = self.drawn.filter(|at| before(*at));
        let in_function = self.drawn_in_function.filter(|_| self.seeded.is_none() || own_code.is_some_and(before));
        outside.into_iter().chain(in_function).min()
    }
}

fn earliest(known: &mut Option<TextSize>, at: TextSize) {
    *known = Some(known.map_or(at, |before| before.min(at)));
}
