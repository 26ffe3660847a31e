//! What this tier has.

use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Isolation, Language, Modules, Offer};

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

pub(crate) fn offer(installation: &Installation, kernels: bool) -> Offer {
    Offer {
        languages: vec![Language::Python],
        modules: Modules::Named(Arc::new(installation.modules().clone())),
        isolation: Isolation::Process,
        memory: MEMORY,
        wall: WALL,
        // Nobody stands between a program and the system calls that it may make.
        observes: false,
        // It cannot reach anything outside its jail.
        effectful: false,
        kernels,
        machines: false,
    }
}
