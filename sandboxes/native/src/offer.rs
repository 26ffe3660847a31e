//! What this tier has.

use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Isolation, Language, Location, Modules, Offer};

use crate::installation::Installation;
use crate::processor;

/// Most memory that a program may ask for.
const MEMORY: u64 = 2 << 30;
/// Longest run.
const WALL: Duration = Duration::from_secs(3600);

/// Returns what [`Backend::runtime`](switchtower_contract::Backend::runtime) does. Packages of this kind choose their code by the processor's features, and results differ in their last digits.
pub(crate) fn runtime(installation: &Installation) -> Arc<str> {
    let processor = processor::name();
    processor.map(|processor| format!("native-{}/{processor}", installation.digest())).unwrap_or_default().into()
}

pub(crate) fn offer(installation: &Installation) -> Offer {
    Offer {
        languages: vec![Language::Python],
        modules: Modules::Named(Arc::new(installation.modules().clone())),
        isolation: Isolation::Process,
        location: Location::Local,
        machine: false,
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
