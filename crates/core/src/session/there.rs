//! Cells in the kernel of a session's machine, and what cells here leave for it.

use std::time::Duration;

use switchtower_contract::{Cell, Change, Escalation, Exit, Fault, Limits, Outcome, Remedy};
use tokio::time::{Instant, sleep};

use super::context::{Context, Seat};
use super::files::{FileError, Writer};
use super::home::Home;
use super::local::{Turn, heard, unavailable};
use super::place::Place;
use super::session::Session;
use crate::error::Error;
use crate::route::TierName;
use crate::tier::Tier;
use crate::tier::attempt::AttemptRecorder;

impl Session {
    /// Runs a cell in the kernel there.
    pub(super) async fn run_there(
        &self,
        context: &Context,
        seat: &mut Seat,
        turn: &mut Turn<'_>,
    ) -> Result<(Outcome, TierName, bool), Error> {
        let home = self.home.lock().await.clone().ok_or_else(|| self.gone())?;
        let tier = self.standing_tier(&home.tier)?;
        let left = turn.deadline.saturating_duration_since(Instant::now());
        let limits = Limits {
            wall: left.min(tier.offer().max_wall),
            memory: tier.memory(turn.request.memory),
            output: self.house.config.output,
            escalation: Escalation::Never,
        };
        let cell = Cell { changes: Vec::new(), ..std::mem::take(&mut turn.cell) };
        let mut repeat = 0;
        loop {
            let Some(kernel) = seat.place.there() else { return Err(self.gone()) };
            let mut trial = AttemptRecorder::new(tier.name(), turn.attempts);
            trial.start();
            let fault = match heard(kernel.as_mut(), &cell, &limits, Duration::ZERO, turn.relay).await {
                Ok(ran) => {
                    trial.finish(ran.outcome.exit.name(), None);
                    let restarted = ran.outcome.exit == Exit::Killed || !ran.alive;
                    if restarted {
                        seat.count = 0;
                    }
                    if !ran.alive {
                        seat.place = Place::Nowhere;
                    }
                    return Ok((ran.outcome, home.tier.clone(), restarted));
                }
                Err(fault) => fault,
            };
            trial.finish(fault.name(), Some(fault.detail()));
            turn.relay.fails();
            // What may have run is not run again: it is a machine of its own, with a world around it.
            let again = fault.remedy(true) == Remedy::RetryHere;
            match again.then(|| tier.pause(repeat, crate::tier::asked(&fault))).flatten() {
                Some(pause) if pause < turn.deadline.saturating_duration_since(Instant::now()) => sleep(pause).await,
                _ => return Err(self.failed_there(&home, tier, context, &fault).await),
            }
            repeat += 1;
        }
    }

    /// A machine that does not answer any more takes its session with it.
    async fn failed_there(&self, home: &Home, tier: &Tier, context: &Context, fault: &Fault) -> Error {
        if matches!(fault, Fault::Lost { .. }) && home.machine.ensure_lifetime(Duration::ZERO).await.is_err() {
            tracing::warn!(session = self.id(), context = context.info.id, %fault, "a session's machine is gone");
            self.end();
        }
        match fault {
            Fault::Lost { reason } => Error::Lost { reason: format!("{}: {reason}", tier.name()) },
            fault => unavailable(tier, fault),
        }
    }

    /// What a kernel here did to files. `Some`: none of it is kept; why.
    pub(super) async fn takes(&self, changes: Vec<Change>, writer: Writer) -> Result<Option<String>, Error> {
        if changes.is_empty() {
            return Ok(None);
        }
        // Contents are shared with the copy.
        let Err(refused) = self.files.apply(changes.clone(), writer) else { return Ok(None) };
        if refused != FileError::Moved {
            return Ok(Some(format!("the files that this cell wrote are not kept: {refused}")));
        }
        // The session moves, or has moved, for another context's sake while this one ran.
        match self.home.lock().await.clone() {
            Some(home) => {
                let tier = self.standing_tier(&home.tier)?;
                home.machine.apply(&changes).await.map_err(|fault| unavailable(tier, &fault))?;
                Ok(None)
            }
            None => {
                let refused = self.files.apply(changes, writer).err();
                Ok(refused.map(|refused| format!("the files that this cell wrote are not kept: {refused}")))
            }
        }
    }
}
