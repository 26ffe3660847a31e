//! The offer of this backend.

use std::time::Duration;

use switchtower_contract::{Isolation, Language, Location, Modules, Offer};

use crate::compiled::Compiled;

/// Most bytes of memory of a program: the largest instance without the snapshot.
const MEMORY: u64 = 512 << 20;
/// The longest run.
const WALL: Duration = Duration::from_secs(3600);

pub(crate) fn offer(compiled: &Compiled) -> Offer {
    Offer {
        languages: vec![Language::Python],
        modules: Modules::Named(compiled.modules.clone()),
        isolation: Isolation::Wasm,
        location: Location::Local,
        machine: false,
        observes: true,
        replayable: true,
        effectful: false,
        price_per_second: None,
        max_memory: MEMORY,
        max_wall: WALL,
    }
}
