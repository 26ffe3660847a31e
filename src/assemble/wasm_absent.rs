//! The WebAssembly tier of a build without it: absent, with a sentence that says so.

use std::path::Path;

use switchtower_core::tier::AbsentTier;

use super::{BuildError, NamedBackend, WasmReport, not_built};
use crate::config::Config;

/// The tier as far as it is known here: why it is absent.
pub(super) struct WasmTier {
    pub(super) absent: Option<AbsentTier>,
}

fn absent(config: &Config) -> AbsentTier {
    not_built::tier(config.wasm.tier.clone(), "wasm", false)
}

impl WasmTier {
    pub(super) fn for_command(config: &Config, _report: &dyn Fn(&str)) -> Result<Self, BuildError> {
        Ok(Self { absent: Some(absent(config)) })
    }

    #[cfg(feature = "e2b")]
    pub(super) fn for_measurement(config: &Config, report: &dyn Fn(&str)) -> Result<Self, BuildError> {
        Self::for_command(config, report)
    }

    pub(super) fn for_server(config: &Config, _report: fn(&str)) -> Self {
        Self { absent: Some(absent(config)) }
    }

    pub(super) fn backends(&self) -> Option<NamedBackend> {
        None
    }

    pub(super) async fn close(self) {}
}

/// Returns the state of the tier, as `doctor` reports it.
pub async fn check_workers(config: &Config, _report: fn(&str)) -> WasmReport {
    WasmReport::Absent(absent(config))
}

/// Refuses: there are no such workers.
///
/// # Errors
/// Always.
pub fn run_worker(_python: &Path, _javascript: &Path, _prewarmed: usize, _kernels: usize) -> Result<(), BuildError> {
    Err(not_built::error("the WebAssembly tier", "wasm"))
}
