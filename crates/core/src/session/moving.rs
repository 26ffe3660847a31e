//! Contexts move with their state: to another local tier, each for itself; or to the session's machine, and then the
//! files go there too.

use std::collections::BTreeSet;
use std::sync::Arc;

use switchtower_contract::{Change, Content, Kernel};
use tokio::time::Instant;

use super::carried::Destination;
use super::context::{Context, Seat};
use super::files::Files;
use super::history::Stuck;
use super::home::Home;
use super::local::unavailable;
use super::ready::Ready;
use super::session::Session;
use crate::error::Error;
use crate::route::TierName;
use crate::tier::Tier;
use crate::tier::attempt::Attempt;

/// Sandboxes that are tried beyond the first, where one turns out to be gone.
const OTHERS: u32 = 2;

/// Whether a context comes before the session's files do, or after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Leads,
    Follows,
}

/// The files of a session on their way to a machine: back, unless they arrive.
struct Leaving<'a>(Option<&'a Files>);

impl Leaving<'_> {
    fn arrived(mut self) {
        self.0 = None;
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(files) = self.0 {
            files.stay();
        }
    }
}

impl Session {
    /// Moves a context to the session's machine, which is lent where there is none yet. Where its state cannot be taken
    /// along, everything stays where it is.
    pub(super) async fn moves(
        &self,
        tiers: &[TierName],
        context: &Context,
        seat: &mut Seat,
        why: &str,
        deadline: Instant,
        attempts: &mut Vec<Attempt>,
    ) -> Result<(), Error> {
        let mut home = self.home.lock().await;
        if let Some(home) = &*home {
            return self.follows(context, seat, home).await;
        }
        let mut left = OTHERS;
        loop {
            match self.settles(tiers, context, seat, why, deadline, attempts).await {
                Ok(new) => {
                    *home = Some(new);
                    return Ok(());
                }
                // A warm sandbox may turn out to be gone: there are others.
                Err(Error::Unavailable { .. }) if left > 0 && Instant::now() < deadline => left -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Moves the session: this context, those that nothing runs in, and the files.
    async fn settles(
        &self,
        tiers: &[TierName],
        context: &Context,
        seat: &mut Seat,
        why: &str,
        deadline: Instant,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Arc<Home>, Error> {
        let new = Arc::new(self.lend(tiers, why, deadline, attempts).await?);
        let tier = self.standing_tier(&new.tier)?;
        let mut touched = seat.history.touched().clone();
        let kernel = self.arrives(context, seat, &new, Order::Leads).await?;

        let others: Vec<_> = self.all_contexts().into_iter().filter(|other| other.info.id != context.info.id).collect();
        let mut along = Vec::new();
        for other in &others {
            // One in which a cell runs follows with its next cell.
            let Ok(mut seat) = other.seat.try_lock() else { continue };
            if seat.history.is_empty() {
                continue;
            }
            touched.extend(seat.history.touched().iter().cloned());
            match self.arrives(other, &mut seat, &new, Order::Leads).await {
                Ok(kernel) => along.push((other, seat, kernel)),
                Err(error) => {
                    let context = &other.info.id;
                    tracing::info!(session = self.id(), context, %error, "a context cannot move yet");
                }
            }
        }

        // From here on nobody writes to the files here.
        let (files, leaving) = (self.files.leave(), Leaving(Some(&self.files)));
        new.machine.apply(&brought(&touched, files)).await.map_err(|fault| unavailable(tier, &fault))?;
        leaving.arrived();

        tracing::info!(session = self.id(), tier = new.tier.as_str(), why, "a session moves to a machine");
        self.set_machine(&new);
        // All of it is there now.
        self.files.forget_contents();
        seat.begin_there(kernel);
        context.holds(None);
        for (other, mut seat, kernel) in along {
            seat.begin_there(kernel);
            other.holds(None);
        }
        Ok(new)
    }

    /// Moves a context to the machine that others have moved to before. The files there have gone on meanwhile: cells
    /// that wrote any are not run again, and what cells were given must be there as it was.
    async fn follows(&self, context: &Context, seat: &mut Seat, home: &Home) -> Result<(), Error> {
        if let Some(cell) = seat.history.wrote() {
            let why = "it wrote files, and those have gone on without it";
            let stuck = Stuck::new(cell, why);
            return Err(Error::NotMovable { reason: format!("the context cannot follow to {}: {stuck}", home.tier) });
        }
        let kernel = self.arrives(context, seat, home, Order::Follows).await?;
        seat.begin_there(kernel);
        context.holds(None);
        Ok(())
    }

    /// A kernel there with a context's state. What did not arrive whole is taken away again.
    async fn arrives(
        &self,
        context: &Context,
        seat: &mut Seat,
        home: &Home,
        order: Order,
    ) -> Result<Box<dyn Kernel>, Error> {
        let tier = self.standing_tier(&home.tier)?;
        let mut kernel = home.kernel(self, context).await.map_err(|fault| unavailable(tier, &fault))?;
        match self.carries(context, seat, &Destination::Machine(home), &mut kernel, order).await {
            Ok(()) => Ok(kernel),
            Err(error) => {
                drop(kernel.close().await);
                Err(error)
            }
        }
    }

    /// A kernel of another local tier with a context's state. The context is where it was until a cell has run in it.
    pub(super) async fn arrives_here(&self, tier: &Tier, context: &Context, seat: &mut Seat) -> Result<Ready, Error> {
        let permit = self.house.native_kernels.acquire(tier.name(), &self.caller.user, context.itself())?;
        let opened = tier.open_kernel(&self.opening(&context.info.folder)).await;
        let mut kernel = opened.map_err(|fault| unavailable(tier, &fault))?;
        if !seat.history.is_empty() {
            tracing::info!(
                session = self.id(),
                context = context.info.id,
                tier = tier.name().as_str(),
                "a context moves"
            );
            self.carries(context, seat, &Destination::Here(tier), &mut kernel, Order::Leads).await?;
        }
        let news = (!seat.history.is_empty()).then(|| self.files.since(seat.mark, context.writer()).0);
        let (files, mark) = self.files.whole();
        self.house.transfers.admit(&files).await;
        Ok(Ready { kernel, permit: Some(permit), changes: brought(seat.history.touched(), files), news, mark })
    }
}

/// What makes the files of a place, where cells were run again, those that there are: all of them; and what the cells
/// made again, and was removed since, is gone.
fn brought(touched: &BTreeSet<String>, files: Vec<Change>) -> Vec<Change> {
    let kept: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let gone = touched.iter().filter(|path| !kept.contains(path.as_str()));
    let gone: Vec<_> = gone.map(|path| Change { path: path.clone(), content: Content::Removed }).collect();
    gone.into_iter().chain(files).collect()
}
