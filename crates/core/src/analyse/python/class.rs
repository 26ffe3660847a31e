//! The class of work that a Python program does.

use ruff_text_size::TextSize;

use super::imports::{ImportedModule, Imports};
use super::modules::{self, Domain};
use super::survey::Survey;
use crate::analyse::profile::{Class, FileScope, StaticEffect};

/// Returns the position at which a used module of this domain is imported.
pub(super) fn import_of_domain(imports: &Imports<'_>, domain: Domain) -> Option<TextSize> {
    used(imports).find(|imported| imported.domain == domain).map(|imported| imported.at)
}

fn used<'i, 'a>(imports: &'i Imports<'a>) -> impl Iterator<Item = &'i ImportedModule<'a>> {
    imports.modules.iter().filter(|imported| imported.used.get())
}

/// Returns the class of work. Effects take precedence over modules, modules over the structure of the code.
pub(super) fn class(survey: &Survey<'_>, imports: &Imports<'_>) -> Class {
    let has = |effect: StaticEffect| survey.effects[effect as usize].is_some();
    let mut domains = [false; 8];
    let (mut has_dynamic, mut has_general) = (false, false);
    for imported in used(imports) {
        domains[imported.domain as usize] = true;
        has_general |= imported.domain == Domain::General && !is_notation(imported.module);
    }
    for (module, _) in &survey.dynamic_imports {
        domains[modules::domain(module) as usize] = true;
        has_dynamic = true;
    }
    let uses = |domain: Domain| domains[domain as usize];

    if has(StaticEffect::Shell) || has(StaticEffect::Processes) {
        return Class::Shell;
    }
    if has(StaticEffect::Network) || uses(Domain::Network) {
        return Class::Network;
    }
    // Fitting a model of statsmodels counts as training; using its tests does not.
    let fits_statistics = survey.training_calls.value > 0.0
        && used(imports).any(|imported| modules::top(imported.module) == "statsmodels");
    if uses(Domain::MachineLearning) || fits_statistics {
        return Class::MlTraining;
    }
    if uses(Domain::Plotting)
        || (uses(Domain::Data) && (has(StaticEffect::Display) || survey.plotting_calls.value > 0.0))
    {
        return Class::Plotting;
    }
    if uses(Domain::Data) {
        return if survey.files >= FileScope::Computed && uses(Domain::Files) {
            Class::Filesystem
        } else {
            Class::DataScience
        };
    }
    if uses(Domain::Symbolic) {
        return Class::Symbolic;
    }
    if has(StaticEffect::Files) || uses(Domain::Files) {
        return Class::Filesystem;
    }
    if has_dynamic || has_general || is_algorithm(survey) { Class::Algorithm } else { Class::SimpleMath }
}

/// Returns whether importing a module, such as `typing`, gives no hint of the kind of work.
fn is_notation(module: &str) -> bool {
    matches!(modules::top(module), "__future__" | "typing" | "datetime" | "calendar")
}

/// Returns whether a program is more than arithmetic: it has classes, several functions, recursion, nested or endless
/// loops, or more than 40 statements.
fn is_algorithm(survey: &Survey<'_>) -> bool {
    survey.classes.value > 0.0
        || survey.recursion.value > 0.0
        || survey.functions.value > 1.0
        || survey.nesting.value > 1.0
        || survey.endless_loops.value > 0.0
        || survey.statements > 40.0
        || (survey.functions.value > 0.0 && survey.branches + survey.loops.value > 0.0)
}
