//! Whether the randomness that a program draws is fixed by a seed that stands in its source.
//!
//! A shared generator counts as seeded where a literal seed certainly runs before anything can have drawn: it is a
//! statement of the module itself, under no condition, above every draw. A draw inside a function happens no earlier than
//! the first line at the top of the program that mentions a function or class of its own, or makes a lambda.

use ruff_text_size::TextSize;

use super::modules::Shared;

#[derive(Debug, Default)]
pub(super) struct Draws {
    python: Generator,
    numpy: Generator,
    /// Chance that no seed can fix.
    fresh: Option<TextSize>,
    /// Where code of the program's own functions may first run.
    own_code: Option<TextSize>,
}

#[derive(Debug, Default)]
struct Generator {
    seeded: Option<TextSize>,
    drawn: Option<TextSize>,
    /// Drawn inside a function.
    drawn_within: Option<TextSize>,
}

impl Draws {
    fn generator(&mut self, shared: Shared) -> &mut Generator {
        match shared {
            Shared::Python => &mut self.python,
            Shared::Numpy => &mut self.numpy,
        }
    }

    /// Seeded with a literal. Where that may not run, or runs later, it does not count as an answer, nor as a draw.
    pub(super) fn seed(&mut self, shared: Shared, at: TextSize, certain: bool) {
        if certain {
            earliest(&mut self.generator(shared).seeded, at);
        }
    }

    pub(super) fn draw(&mut self, shared: Shared, at: TextSize, in_function: bool) {
        let generator = self.generator(shared);
        earliest(if in_function { &mut generator.drawn_within } else { &mut generator.drawn }, at);
    }

    pub(super) fn fresh(&mut self, at: TextSize) {
        earliest(&mut self.fresh, at);
    }

    /// The program's own functions may run from here on.
    pub(super) fn own_code(&mut self, at: TextSize, in_function: bool) {
        if !in_function {
            earliest(&mut self.own_code, at);
        }
    }

    /// The first draw that no seed fixes.
    pub(super) fn unseeded(&self) -> Option<TextSize> {
        let generators = [&self.python, &self.numpy];
        let unseeded = generators.into_iter().filter_map(|generator| generator.unseeded(self.own_code));
        unseeded.chain(self.fresh).min()
    }
}

impl Generator {
    fn unseeded(&self, own_code: Option<TextSize>) -> Option<TextSize> {
        let before = |at: TextSize| self.seeded.is_none_or(|seeded| at < seeded);
        let outside = self.drawn.filter(|at| before(*at));
        let within = self.drawn_within.filter(|_| self.seeded.is_none() || own_code.is_some_and(before));
        outside.into_iter().chain(within).min()
    }
}

fn earliest(known: &mut Option<TextSize>, at: TextSize) {
    *known = Some(known.map_or(at, |before| before.min(at)));
}
