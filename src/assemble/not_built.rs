//! Messages about parts that this build does not include.

use switchtower_core::route::TierName;
use switchtower_core::tier::AbsentTier;

const REASON: &str = "this build of Switchtower does not include it";

fn remedy(feature: &str) -> String {
    format!("build with the Cargo feature `{feature}`")
}

/// Returns a tier that is absent because this build lacks a Cargo feature. `machine`: whether it would provide machines.
pub(super) fn tier(tier: TierName, feature: &str, machine: bool) -> AbsentTier {
    AbsentTier { tier, reason: REASON.to_owned(), remedy: Some(remedy(feature)), machine }
}

/// Returns the error of something that needs `what`, which this build does not include.
#[cfg(not(all(feature = "wasm", feature = "native")))]
pub(super) fn error(what: &str, feature: &str) -> super::BuildError {
    super::BuildError::new(format!("{what} is needed, and {REASON}; {}", remedy(feature)))
}
