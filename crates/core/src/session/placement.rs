//! Where a context runs, and the kernel that it has there.

use switchtower_contract::Kernel;

use super::kernel_permits::KernelPermit;
use crate::route::TierName;
use crate::tier::Tier;

/// Where a context's names are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ContextPlacement {
    /// No cell has run, or nothing is left of those that did.
    Unplaced,
    /// In a kernel of a local tier.
    Local { tier: TierName, rebuild: Rebuild },
    /// In a kernel of the session's machine.
    Remote,
}

/// How a lost local kernel comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rebuild {
    /// The cells of its history are run again, with the same answers of the world.
    ByReplay,
    /// Not at all: its names are lost with it.
    Never,
}

impl Rebuild {
    /// Returns how kernels of a tier come back.
    pub(super) fn of(tier: &Tier) -> Self {
        if tier.offer().replayable { Self::ByReplay } else { Self::Never }
    }
}

/// The kernel of a context, in the place where the context is.
#[derive(Default)]
pub(super) enum PlacedKernel {
    #[default]
    None,
    Local(LocalKernel),
    Remote(Box<dyn Kernel>),
}

/// A context's place in a local tier.
pub(super) struct LocalKernel {
    tier: TierName,
    /// `None` where it was interrupted or evicted: then the history rebuilds it.
    kernel: Option<Box<dyn Kernel>>,
    /// Of a kernel that cannot be rebuilt.
    permit: Option<KernelPermit>,
}

impl LocalKernel {
    /// `permit`: of a kernel that cannot be rebuilt, and of no other.
    pub(super) fn new(tier: TierName, kernel: Box<dyn Kernel>, permit: Option<KernelPermit>) -> Self {
        Self { tier, kernel: Some(kernel), permit }
    }

    pub(super) fn has_kernel(&self) -> bool {
        self.kernel.is_some()
    }
}

impl PlacedKernel {
    pub(super) fn placement(&self) -> ContextPlacement {
        match self {
            Self::None => ContextPlacement::Unplaced,
            Self::Local(LocalKernel { tier, permit, .. }) => {
                let rebuild = if permit.is_some() { Rebuild::Never } else { Rebuild::ByReplay };
                ContextPlacement::Local { tier: tier.clone(), rebuild }
            }
            Self::Remote(_) => ContextPlacement::Remote,
        }
    }

    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Self::Remote(_))
    }

    pub(super) fn local(&self) -> Option<&LocalKernel> {
        match self {
            Self::Local(local) => Some(local),
            Self::None | Self::Remote(_) => None,
        }
    }

    /// Returns the tier of its local kernel, present or to be rebuilt.
    pub(super) fn local_tier(&self) -> Option<&TierName> {
        self.local().map(|local| &local.tier)
    }

    pub(super) fn remote(&mut self) -> Option<&mut Box<dyn Kernel>> {
        match self {
            Self::Remote(kernel) => Some(kernel),
            Self::None | Self::Local(_) => None,
        }
    }

    /// Returns the kernel in its place in `tier`, where there is one.
    pub(super) fn local_kernel(&mut self, tier: &TierName) -> Option<&mut Box<dyn Kernel>> {
        self.local_mut(tier)?.kernel.as_mut()
    }

    /// Takes the kernel out of its place in `tier`; the place stays.
    pub(super) fn take_local(&mut self, tier: &TierName) -> Option<Box<dyn Kernel>> {
        self.local_mut(tier)?.kernel.take()
    }

    /// Puts a kernel into the place in `tier`. Returns it where the context has no place there.
    pub(super) fn put_local(&mut self, tier: &TierName, kernel: Box<dyn Kernel>) -> Option<Box<dyn Kernel>> {
        match self.local_mut(tier) {
            Some(local) => {
                local.kernel = Some(kernel);
                None
            }
            None => Some(kernel),
        }
    }

    /// Drops the local kernel; the place stays.
    pub(super) fn drop_local(&mut self) {
        if let Self::Local(local) = self {
            local.kernel = None;
        }
    }

    fn local_mut(&mut self, tier: &TierName) -> Option<&mut LocalKernel> {
        match self {
            Self::Local(local) if local.tier == *tier => Some(local),
            Self::None | Self::Local(_) | Self::Remote(_) => None,
        }
    }
}
