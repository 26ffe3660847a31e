//! The names of the program: their usages, and the hazards that they are bound to.

use std::collections::BTreeMap;

use ruff_text_size::TextSize;

use super::Walk;
use crate::analyse::python::verdict::allowed::{self, Member};
use crate::analyse::python::verdict::hazard::{Hazard, Usage, Usages};

/// The usages of a name, and the position of the first.
#[derive(Clone, Copy)]
pub(super) struct NameUsages {
    usages: Usages,
    first: TextSize,
}

impl<'a> Walk<'a, '_> {
    pub(super) fn record_usage(uses: &mut BTreeMap<&'a str, NameUsages>, name: &'a str, usage: Usage, at: TextSize) {
        uses.entry(name).or_insert(NameUsages { usages: Usages::default(), first: at }).usages.add(usage);
    }

    /// Checks the hazards of all names against their usages, after the walk.
    pub(super) fn check_names(&mut self) {
        for (name, uses) in std::mem::take(&mut self.name_usages) {
            let mut hazards = self.name_hazards.get(name).cloned().unwrap_or_default();
            if self.definitions.functions.contains(name) {
                hazards.push(Hazard::Function);
            }
            if self.definitions.generators.contains(name) && !uses.usages.all(|usage| usage != Usage::Callback) {
                hazards.push(Hazard::Iterator);
            }
            for hazard in hazards {
                if !uses.usages.all(|usage| hazard.is_safe_as(usage)) {
                    self.reasons.add_hazard(hazard, uses.first, || format!("{name}: {}", hazard.reason()));
                }
            }
            // The class itself is used as a value, so that a property may be read on it.
            if (self.definitions.classes.contains(name) || name == "cls")
                && !self.definitions.properties.is_empty()
                && !uses.usages.all(|usage| {
                    usage.is_receiver()
                        || matches!(
                            usage,
                            Usage::Callee
                                | Usage::Type
                                | Usage::Callback
                                | Usage::AttributeBase
                                | Usage::OrderIndependent
                                | Usage::Formatted
                        )
                })
            {
                self.reject(uses.first, "a property may be read on its class, where its text is an address");
            }
            // Where the name is read, it may still be the builtin.
            if (self.definitions.bound.contains(name) || self.imports.is_bound(name))
                && !allowed::is_always_hazardous(name)
            {
                continue;
            }
            match allowed::builtin(name) {
                None => self.reasons.add(uses.first, || format!("{name} is not known to be deterministic")),
                Some(Member::Produces(hazard))
                    if !uses.usages.all(|usage| matches!(usage, Usage::Callee | Usage::Type)) =>
                {
                    self.reasons.add_hazard(hazard, uses.first, || format!("{name}: {}", hazard.reason()));
                }
                Some(_)
                    if self.uses_science
                        && matches!(name, "bytes" | "bytearray")
                        && !uses.usages.all(|usage| usage == Usage::Type) =>
                {
                    self.reject(uses.first, "the memory of an array may be printed");
                }
                Some(_)
                    if allowed::may_be_replaced(name)
                        && !uses.usages.all(|usage| matches!(usage, Usage::Callee | Usage::Callback)) =>
                {
                    self.reasons.add(uses.first, || format!("the text of {name} may differ between tiers"));
                }
                Some(_) => {}
            }
        }
        for (name, at) in std::mem::take(&mut self.callbacks) {
            let is_function = self.definitions.functions.contains(name)
                || self.name_hazards.get(name).is_some_and(|hazards| hazards.contains(&Hazard::Function));
            // If it has other bindings, it may be a string.
            let known = (is_function && self.definitions.is_bound_once(name))
                || self.imports.is_bound(name)
                || (!self.definitions.bound.contains(name) && allowed::builtin(name).is_some());
            if !known {
                self.reject(at, "a library may look up any method by a name that is not a literal");
            }
        }
        if let Some(at) = self.kept_view.filter(|_| self.has_set_augmentation) {
            self.reject(at, "a stored view of a mapping may become a set");
        }
        // `min` and `max` do not compare all pairs, so the order decides whether incomparable elements are compared.
        let shows = self.overrides_ordering || self.has_floats || self.binds_exceptions;
        for (name, at, one_end) in std::mem::take(&mut self.ordered_reads) {
            let is_set =
                name.is_empty() || self.name_hazards.get(name).is_some_and(|hazards| hazards.contains(&Hazard::Set));
            if is_set && (shows || one_end) {
                self.reject(at, "elements of a set that cannot be compared may keep the order of the set");
            }
        }
    }
}
