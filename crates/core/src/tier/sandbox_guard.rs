//! The sandbox of one attempt: leased from the tier's pool, or opened for the attempt.

use switchtower_contract::{Fault, Sandbox};

use super::pool::Lease;
use crate::request::SideEffects;

/// Dropping the guard ends the sandbox.
pub(super) enum SandboxGuard {
    Owned(Box<dyn Sandbox>),
    Leased(Lease),
}

impl SandboxGuard {
    pub(super) fn sandbox(&mut self) -> Result<&mut dyn Sandbox, Fault> {
        match self {
            Self::Owned(sandbox) => Ok(sandbox.as_mut()),
            Self::Leased(lease) => lease
                .sandbox()
                .ok_or_else(|| Fault::Unavailable { reason: "the sandbox was already released".to_owned() }),
        }
    }

    /// Returns the sandbox, which no longer belongs to the pool.
    pub(super) fn into_sandbox(self) -> Result<Box<dyn Sandbox>, Fault> {
        match self {
            Self::Owned(sandbox) => Ok(sandbox),
            Self::Leased(lease) => lease
                .into_sandbox()
                .ok_or_else(|| Fault::Unavailable { reason: "the sandbox was already released".to_owned() }),
        }
    }

    /// Returns a leased sandbox to its pool and ends an owned one. Call this after the program has ended by itself.
    pub(super) fn release(self, side_effects: SideEffects) {
        match self {
            Self::Owned(sandbox) => drop(sandbox),
            Self::Leased(lease) => lease.release(side_effects),
        }
    }

    /// Ends the sandbox after a fault of its backend; the pool then checks its idle sandboxes.
    pub(super) fn discard(self) {
        match self {
            Self::Owned(sandbox) => drop(sandbox),
            Self::Leased(lease) => lease.discard(),
        }
    }
}
