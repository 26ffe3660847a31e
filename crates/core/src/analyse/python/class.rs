//! The class of work that a Python program does.

use ruff_text_size::TextSize;

use super::imports::{ImportedModule, Imports};
use super::modules::{self, Field};
use super::survey::Survey;
use crate::analyse::profile::{Class, Reach, StaticEffect};

/// Returns where a used module of this field is imported.
pub(super) fn line_of_field(imports: &Imports<'_>, field: Field) -> Option<TextSize> {
    used(imports).find(|named| named.field == field).map(|named| named.at)
}

fn used<'i, 'a>(imports: &'i Imports<'a>) -> impl Iterator<Item = &'i ImportedModule<'a>> {
    imports.modules.iter().filter(|named| named.used.get())
}

/// Returns the class of work. Effects decide first, then modules, then the form of the code.
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
    // Statistical models are trained too, where they are fitted rather than used for tests.
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

/// Returns whether a module concerns notation, not the work that is done.
fn is_notation(module: &str) -> bool {
    matches!(modules::top(module), "__future__" | "typing" | "datetime" | "calendar")
}

/// Returns whether a program is more than arithmetic: it has classes, several functions, recursion, nested or endless
/// loops, or many statements.
fn is_algorithm(survey: &Survey<'_>) -> bool {
    survey.classes.value > 0.0
        || survey.recursion.value > 0.0
        || survey.functions.value > 1.0
        || survey.nesting.value > 1.0
        || survey.endless.value > 0.0
        || survey.statements > 40.0
        || (survey.functions.value > 0.0 && survey.branches + survey.loops.value > 0.0)
}
