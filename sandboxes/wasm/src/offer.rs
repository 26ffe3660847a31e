//! What this tier has.

use std::time::Duration;

use switchtower_contract::{Isolation, Language, Modules, Offer};

use crate::compiled::Compiled;

/// Most memory that a program may ask for: what is left of the largest instance beside the snapshot.
const MEMORY: u64 = 512 << 20;
/// Longest run.
const WALL: Duration = Duration::from_secs(3600);

pub(crate) fn offer(compiled: &Compiled) -> Offer {
    Offer {
        languages: vec![Language::Python],
        modules: Modules::Named(compiled.modules.clone()),
        isolation: Isolation::Wasm,
        memory: MEMORY,
        wall: WALL,
        observes: true,
        effectful: false,
        kernels: true,
        machines: false,
    }
}
