//! The services that all sessions share.

use std::sync::Arc;

use super::config::Config;
use super::file_transfers::FileTransfers;
use super::ids::IdSource;
use super::kernel_permits::{KernelLimits, KernelPermits};
use super::machine_shares::MachineShares;
use super::placement::Rebuild;
use super::tokens::Tokens;
use crate::error::Error;
use crate::memory::MemoryAccount;
use crate::request::RequestLimits;
use crate::route::TierName;
use crate::router::Router;
use crate::tier::queue::FairQueue;
use crate::tier::{Tier, Tiers};

/// Handles to the services that all sessions share.
pub(super) struct Services {
    pub(super) router: Arc<Router>,
    pub(super) config: Config,
    pub(super) request_limits: RequestLimits,
    pub(super) kernel_permits: Arc<KernelPermits>,
    pub(super) machine_shares: Arc<MachineShares>,
    pub(super) ids: Arc<IdSource>,
    pub(super) tokens: Tokens,
    pub(super) memory: MemoryAccount,
    pub(super) file_transfers: FileTransfers,
    /// The queue of cells for replayable kernels.
    replayable_queue: FairQueue,
    /// The queue of cells for the other local kernels.
    native_queue: FairQueue,
}

impl Services {
    pub(super) fn new(
        router: Arc<Router>,
        config: &Config,
        request_limits: &RequestLimits,
        memory: MemoryAccount,
    ) -> Self {
        let cells = config.cells();
        let queue = |name| FairQueue::new(TierName::from(name), cells.clone());
        let ids = Arc::new(IdSource::new(router.seed().fork("sessions").strong_rng()));
        let tokens = ids.draw(Tokens::new);
        let permits = KernelLimits {
            total: config.max_native_kernels,
            per_caller: config.native_kernels_per_caller(),
            idle: config.native_kernel_idle,
        };
        Self {
            router,
            config: config.clone(),
            request_limits: request_limits.clone(),
            kernel_permits: KernelPermits::new(permits),
            machine_shares: MachineShares::new(config.max_machines_per_caller),
            ids,
            tokens,
            memory,
            file_transfers: FileTransfers::default(),
            replayable_queue: queue("kernels"),
            native_queue: queue("native kernels"),
        }
    }

    pub(super) fn tiers(&self) -> &Tiers {
        self.router.tiers()
    }

    /// Returns the tier with this name.
    ///
    /// # Errors
    /// `NoTier`: there is none.
    pub(super) fn tier(&self, name: &TierName) -> Result<&Tier, Error> {
        let none = || Error::NoTier { reason: format!("the tier {name} does not exist any more") };
        self.tiers().get(name).ok_or_else(none)
    }

    /// Refuses every cell that waits for a slot, now and from now on; what runs goes on.
    pub(super) fn refuse_waiting(&self) {
        self.replayable_queue.refuse_waiting();
        self.native_queue.refuse_waiting();
    }

    /// Returns the queue for the local kernels of a tier. Replayable and other kernels have a queue each, so that long cells
    /// in one kind of kernel do not delay those in the other.
    pub(super) fn queue(&self, tier: &Tier) -> &FairQueue {
        match Rebuild::of(tier) {
            Rebuild::ByReplay => &self.replayable_queue,
            Rebuild::Never => &self.native_queue,
        }
    }
}
