//! Whether programs can run now.

use switchtower_contract::Language;

use super::{Tier, Tiers};

impl Tiers {
    /// Returns whether programs can run now, those of these languages too: no tier is starting, one is up, all pools have
    /// reached their `min_ready`, and a tier that is up [runs](Self::runs) each language.
    pub fn are_ready_for(&self, languages: &[Language]) -> bool {
        self.starting().next().is_none()
            && self.iter().any(|tier| tier.status().up)
            && self.iter().all(Tier::is_ready)
            && languages.iter().all(|language| self.runs(*language))
    }

    /// Returns whether a tier that is up runs programs in this language.
    pub fn runs(&self, language: Language) -> bool {
        self.iter().any(|tier| tier.status().up && tier.offer().languages.has(language))
    }
}
