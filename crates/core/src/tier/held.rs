//! The sandbox of one attempt: lent by the tier's pool, or opened for it alone.

use switchtower_contract::{Fault, Sandbox};

use super::pool::Lease;
use crate::request::Footprint;

/// Dropped, the sandbox is gone.
pub(super) enum Held {
    Own(Box<dyn Sandbox>),
    Lent(Lease),
}

impl Held {
    pub(super) fn sandbox(&mut self) -> Result<&mut dyn Sandbox, Fault> {
        match self {
            Self::Own(sandbox) => Ok(sandbox.as_mut()),
            Self::Lent(lease) => {
                lease.sandbox().ok_or_else(|| Fault::Unavailable { reason: "the sandbox was given back".to_owned() })
            }
        }
    }

    /// For somebody who keeps it.
    pub(super) fn into_kept(self) -> Result<Box<dyn Sandbox>, Fault> {
        match self {
            Self::Own(sandbox) => Ok(sandbox),
            Self::Lent(lease) => {
                lease.into_kept().ok_or_else(|| Fault::Unavailable { reason: "the sandbox was given back".to_owned() })
            }
        }
    }

    /// The program came to its own end.
    pub(super) fn give_back(self, footprint: Footprint) {
        match self {
            Self::Own(sandbox) => drop(sandbox),
            Self::Lent(lease) => lease.give_back(footprint),
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
