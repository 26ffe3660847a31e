//! A kernel for the next cell: the one that there is, one made again from its context's history, or one of another
//! tier.

use std::time::Duration;

use switchtower_contract::{Cell, CellOutcome, Change, Escalation, Events, Fault, Kernel, KernelOptions, Limits};

use super::context::{Context, Seat};
use super::files::Revision;
use super::history::Stuck;
use super::native_kernels::KernelPermit;
use super::place::makes_again;
use super::session::Session;
use crate::error::Error;
use crate::route::TierName;
use crate::tier::Tier;

/// A cell of a history is given this much more time than a cell may take; machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A kernel to run the next cell in, and what it has not heard of the files.
pub(super) struct Ready {
    pub(super) kernel: Box<dyn Kernel>,
    /// Of one that nothing makes again, and that is no place of its context yet.
    pub(super) permit: Option<KernelPermit>,
    pub(super) changes: Vec<Change>,
    /// What of that its history keeps, where it is not all: the rest is there when the cells before have run again.
    pub(super) news: Option<Vec<Change>>,
    pub(super) mark: Revision,
}

/// A kernel while a cell runs in it. Broken off, it goes back to its seat where it outlives that; else it is gone.
pub(super) struct Running<'a> {
    pub(super) kernel: Option<Box<dyn Kernel>>,
    pub(super) tier: &'a TierName,
    pub(super) seat: &'a mut Seat,
}

impl Running<'_> {
    /// It can run the next cell.
    pub(super) fn stays(&mut self) {
        if let (Some(slot), Some(kernel)) = (self.seat.place.kernel_of(self.tier), self.kernel.take()) {
            *slot = Some(kernel);
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.kernel.as_ref().is_some_and(|kernel| kernel.survives_interrupt()) {
            self.stays();
        }
    }
}

/// There is no kernel to go on with.
pub(super) enum Gone {
    Stuck(Stuck),
    Fault(Fault),
    /// There is none to begin with.
    Refused(Error),
}

impl Session {
    /// A kernel for the next cell: the one that there is, or that its history makes again; or one of another tier than
    /// before, with the context's state.
    pub(super) async fn ready(&self, tier: &Tier, context: &Context, seat: &mut Seat) -> Result<Ready, Gone> {
        if seat.place.kernel_of(tier.name()).is_some() || makes_again(tier) {
            let is_new = seat.history.is_empty();
            let kernel = self.kernel_here(tier, context, seat).await?;
            // A new one has not even what this context wrote before it began anew.
            let (changes, mark) =
                if is_new { self.files.whole() } else { self.files.since(seat.mark, context.writer()) };
            self.house.transfers.admit(&changes).await;
            return Ok(Ready { kernel, permit: None, changes, news: None, mark });
        }
        self.arrives_here(tier, context, seat).await.map_err(Gone::Refused)
    }

    /// The kernel of a context here, as its last cell left it. Whoever takes it puts it back when its cell has ended.
    pub(super) async fn kernel_here(
        &self,
        tier: &Tier,
        context: &Context,
        seat: &mut Seat,
    ) -> Result<Box<dyn Kernel>, Gone> {
        if let Some(kernel) = seat.place.kernel_of(tier.name()).and_then(Option::take) {
            return Ok(kernel);
        }
        let past = seat.history.cells().map_err(Gone::Stuck)?;
        let opening = self.opening(&context.info.folder);
        let mut kernel = tier.open_kernel(&opening).await.map_err(Gone::Fault)?;
        for past in past {
            // What it slept counts as time, so it needs as much as it may have had; and it must be refused the memory
            // that it was refused then.
            let limits = Limits {
                wall: self.house.config.cell_timeout + PATIENCE,
                memory: tier.memory(None),
                output: u64::MAX,
                escalation: Escalation::Never,
            };
            let ran = unheard(kernel.as_mut(), &past.cell, &limits).await.map_err(Gone::Fault)?;
            if !ran.alive || ran.outcome.exit != past.exit || ran.tape.is_none() {
                return Err(Gone::Stuck(Stuck::new(past.cell.number, "it did not run as it did before")));
            }
        }
        Ok(kernel)
    }

    pub(super) fn opening(&self, folder: &str) -> KernelOptions {
        KernelOptions { env: self.options().env.clone(), folder: Some(folder.to_owned()) }
    }
}

/// Runs a cell that everything has been heard of before.
pub(super) async fn unheard(kernel: &mut dyn Kernel, cell: &Cell, limits: &Limits) -> Result<CellOutcome, Fault> {
    let (events, mut from) = Events::channel();
    let run = async {
        let ran = kernel.run(cell, limits, &events).await;
        drop(events);
        ran
    };
    let (ran, ()) = tokio::join!(run, async { while from.recv().await.is_some() {} });
    ran
}
