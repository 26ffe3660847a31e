//! Where a context is: nowhere yet, in a kernel of a local tier, or on the session's machine.

use switchtower_contract::Kernel;

use super::native_kernels::KernelPermit;
use crate::route::TierName;
use crate::tier::Tier;

/// Where a context's names are.
#[derive(Default)]
pub(super) enum Place {
    /// Nothing has run, or nothing is left of it.
    #[default]
    Nowhere,
    Here(Local),
    /// In a kernel of the session's machine.
    There(Box<dyn Kernel>),
}

/// The names are in a kernel of a local tier.
pub(super) struct Local {
    pub(super) tier: TierName,
    /// None where it was broken off or spilled: then its history makes it again.
    pub(super) kernel: Option<Box<dyn Kernel>>,
    /// Of a kernel that nothing makes again; held with it.
    pub(super) _permit: Option<KernelPermit>,
}

/// Whether a tier's kernels are made again from their history: it sees what cells ask of the world, so it can answer
/// the same once more. The names of any other kernel live and die with it.
pub(super) fn makes_again(tier: &Tier) -> bool {
    tier.offer().replayable
}

impl Place {
    pub(super) fn here(&self) -> Option<&Local> {
        match self {
            Self::Here(local) => Some(local),
            Self::Nowhere | Self::There(_) => None,
        }
    }

    /// Where its kernel here is, or would be; None where it is none of this tier's.
    pub(super) fn kernel_of(&mut self, tier: &TierName) -> Option<&mut Option<Box<dyn Kernel>>> {
        match self {
            Self::Here(local) if local.tier == *tier => Some(&mut local.kernel),
            Self::Nowhere | Self::Here(_) | Self::There(_) => None,
        }
    }

    pub(super) fn there(&mut self) -> Option<&mut Box<dyn Kernel>> {
        match self {
            Self::There(kernel) => Some(kernel),
            Self::Nowhere | Self::Here(_) => None,
        }
    }

    /// Gives up its kernel here, which can be made again.
    pub(super) fn spill(&mut self) {
        if let Self::Here(local) = self {
            local.kernel = None;
        }
    }

    pub(super) fn is_there(&self) -> bool {
        matches!(self, Self::There(_))
    }
}
