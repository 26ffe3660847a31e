//! The placement of a context: unplaced, in a local tier, or on the session's machine; and its kernel there.

use switchtower_contract::Kernel;

use super::kernel_permits::KernelPermit;
use crate::route::TierName;
use crate::tier::Tier;

/// Where the state of a context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ContextPlacement {
    /// No kernel: no cell has run, or the state was dropped.
    Unplaced,
    /// In a kernel of a local tier.
    Local { tier: TierName, rebuild: Rebuild },
    /// In a kernel of the session's machine.
    Remote,
}

/// How a lost local kernel is rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rebuild {
    /// The cells of its history are run again with their tapes: the recorded clock readings and random seed.
    ByReplay,
    /// Not at all: its state is lost with it.
    Never,
}

impl Rebuild {
    /// Returns how kernels of a tier are rebuilt.
    pub(super) fn of(tier: &Tier) -> Self {
        if tier.offer().replayable { Self::ByReplay } else { Self::Never }
    }
}

/// The kernel of a context, according to its placement.
#[derive(Default)]
pub(super) enum PlacedKernel {
    #[default]
    None,
    Local(LocalKernel),
    Remote(RemoteKernel),
}

/// A kernel on the session's machine.
pub(super) struct RemoteKernel {
    pub(super) kernel: Box<dyn Kernel>,
    /// Whether its cells are recorded: from a machine of this host, the state may move on.
    pub(super) is_recorded: bool,
}

/// A placement in a local tier.
pub(super) struct LocalKernel {
    tier: TierName,
    /// `None` after it was interrupted or evicted, until the history rebuilds it.
    kernel: Option<Box<dyn Kernel>>,
    /// Set if and only if the kernel cannot be rebuilt.
    permit: Option<KernelPermit>,
}

impl LocalKernel {
    /// `permit` is given if and only if the kernel cannot be rebuilt.
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

    /// Returns whether it is on a machine and its cells are recorded.
    pub(super) fn is_recorded_remote(&self) -> bool {
        matches!(self, Self::Remote(RemoteKernel { is_recorded: true, .. }))
    }

    pub(super) fn local(&self) -> Option<&LocalKernel> {
        match self {
            Self::Local(local) => Some(local),
            Self::None | Self::Remote(_) => None,
        }
    }

    /// Returns the tier of its local kernel, whether that is present or has to be rebuilt.
    pub(super) fn local_tier(&self) -> Option<&TierName> {
        self.local().map(|local| &local.tier)
    }

    pub(super) fn remote(&mut self) -> Option<&mut Box<dyn Kernel>> {
        match self {
            Self::Remote(remote) => Some(&mut remote.kernel),
            Self::None | Self::Local(_) => None,
        }
    }

    /// Returns the kernel in `tier`, if there is one.
    pub(super) fn local_kernel(&mut self, tier: &TierName) -> Option<&mut Box<dyn Kernel>> {
        self.local_mut(tier)?.kernel.as_mut()
    }

    /// Takes the kernel in `tier`; the placement is kept.
    pub(super) fn take_local(&mut self, tier: &TierName) -> Option<Box<dyn Kernel>> {
        self.local_mut(tier)?.kernel.take()
    }

    /// Sets the kernel in `tier`. Returns it if the context is not placed there.
    pub(super) fn put_local(&mut self, tier: &TierName, kernel: Box<dyn Kernel>) -> Option<Box<dyn Kernel>> {
        match self.local_mut(tier) {
            Some(local) => {
                local.kernel = Some(kernel);
                None
            }
            None => Some(kernel),
        }
    }

    /// Drops the local kernel; the placement is kept.
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
