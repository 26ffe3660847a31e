//! What this tier has.

use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Isolation, Language, Modules, Offer};

use crate::installation::Installation;

/// Most memory that a program may ask for.
const MEMORY: u64 = 2 << 30;
/// Longest run.
const WALL: Duration = Duration::from_secs(3600);

pub(crate) fn offer(installation: &Installation, kernels: bool) -> Offer {
    Offer {
        languages: vec![Language::Python],
        runtime: Arc::from(format!("native-{}", installation.digest())),
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
