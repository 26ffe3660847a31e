//! What this tier offers.

use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Isolation, Language, Languages, Location, Modules, Offer};

use crate::installation::Installation;
use crate::processor;

/// Most bytes of memory of a program.
const MEMORY: u64 = 2 << 30;
/// The longest run.
const WALL: Duration = Duration::from_secs(3600);

/// Returns the runtime id, see [`Backend::runtime`](switchtower_contract::Backend::runtime). It includes the processor's
/// features: numerical packages choose their code by them, and results differ in their last digits.
pub(crate) fn runtime(installation: &Installation) -> Arc<str> {
    let processor = processor::name();
    processor.map(|processor| format!("native-{}/{processor}", installation.digest())).unwrap_or_default().into()
}

pub(crate) fn offer(installation: &Installation) -> Offer {
    let modules = installation.modules().iter().cloned();
    Offer {
        // pip is the worker's own: it answers where nothing has to be installed.
        languages: Languages::only(Language::Python, Modules::named(modules.chain(["pip".to_owned()]))),
        isolation: Isolation::Process,
        location: Location::Local,
        machine: false,
        internet: false,
        // System calls are not intercepted, so effects are not seen.
        observes: false,
        replayable: false,
        // Nothing outside the jail can be reached.
        effectful: false,
        price_per_second: None,
        max_memory: MEMORY,
        max_wall: WALL,
    }
}
