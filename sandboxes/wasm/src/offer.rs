//! The offer of this backend.

use std::time::Duration;

use switchtower_contract::{Isolation, Language, Location, Modules, Offer};

use crate::compiled::Compiled;
use crate::javascript;

/// Most bytes of memory of a program: the largest instance without the snapshot.
const MEMORY: u64 = 512 << 20;
/// The longest run.
const WALL: Duration = Duration::from_secs(3600);

/// The languages of programs and kernels.
pub(crate) const LANGUAGES: [Language; 3] = [Language::Python, Language::JavaScript, Language::TypeScript];

/// What the guest was built with.
const REQUIREMENTS: &str = include_str!("../guest/packages.txt");

/// Returns the guest's packages and their versions.
pub(crate) fn packages() -> Vec<(String, String)> {
    let pinned = |line: &str| {
        let (name, version) = line.split_whitespace().next()?.split_once("==")?;
        Some((name.to_owned(), version.to_owned()))
    };
    REQUIREMENTS.lines().filter_map(pinned).collect()
}

pub(crate) fn offer(compiled: &Compiled) -> Offer {
    let javascript = Modules::named(javascript::modules().iter().copied());
    Offer {
        languages: [
            (Language::Python, Modules::Named(compiled.modules.clone())),
            (Language::JavaScript, javascript.clone()),
            (Language::TypeScript, javascript),
        ]
        .into_iter()
        .collect(),
        isolation: Isolation::Wasm,
        location: Location::Local,
        machine: false,
        internet: false,
        observes: true,
        replayable: true,
        effectful: false,
        price_per_second: None,
        max_memory: MEMORY,
        max_wall: WALL,
    }
}
