//! The sandbox of one attempt: lent by the tier's pool, or opened for it alone.

use switchtower_contract::{Fault, Sandbox};

use super::pool::Lease;
use crate::request::SideEffects;

/// Dropped, the sandbox is gone.
pub(super) enum SandboxGuard {
    Own(Box<dyn Sandbox>),
    Lent(Lease),
}

impl SandboxGuard {
    pub(super) fn sandbox(&mut self) -> Result<&mut dyn Sandbox, Fault> {
        match self {
            Self::Own(sandbox) => Ok(sandbox.as_mut()),
            Self::Lent(lease) => {
                lease.sandbox().ok_or_else(|| Fault::Unavailable { reason: "the sandbox was given back".to_owned() })
            }
        }
    }

    /// For somebody who keeps it.
    pub(super) fn into_sandbox(self) -> Result<Box<dyn Sandbox>, Fault> {
        match self {
            Self::Own(sandbox) => Ok(sandbox),
            Self::Lent(lease) => lease
                .into_sandbox()
                .ok_or_else(|| Fault::Unavailable { reason: "the sandbox was given back".to_owned() }),
        }
    }

    /// The program came to its own end.
    pub(super) fn give_back(self, side_effects: SideEffects) {
        match self {
            Self::Own(sandbox) => drop(sandbox),
            Self::Lent(lease) => lease.give_back(side_effects),
        }
    }

    /// The backend failed.
    pub(super) fn give_up(self) {
        match self {
            Self::Own(sandbox) => drop(sandbox),
            Self::Lent(lease) => lease.give_up(),
        }
    }
}
