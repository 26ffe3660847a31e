//! The run of a cell in a kernel on the session's machine.

use std::time::Duration;

use switchtower_contract::{Cell, Escalation, Exit, Fault, Limits, Outcome, Remedy};
use tokio::time::{Instant, sleep};

use super::super::leased_machine::LeasedMachine;
use super::super::session::Session;
use super::kernel::run_relayed;
use super::steps::CellRun;
use crate::error::Error;
use crate::route::TierName;
use crate::tier::attempt::AttemptRecorder;
use crate::tier::{Tier, requested_delay};

/// How a cell on a machine ended.
pub(super) struct RemoteEnd {
    pub(super) outcome: Outcome,
    pub(super) tier: TierName,
    /// Whether the kernel ended with the cell.
    pub(super) restarted: bool,
}

impl CellRun<'_> {
    /// Runs the cell in its context's kernel on the machine.
    ///
    /// # Errors
    /// The machine failed, or it is not known whether the cell has run.
    pub(super) async fn run_remote(&mut self) -> Result<RemoteEnd, Error> {
        let session = self.session;
        let machine = session.machine_slot().after_move().await.ok_or_else(|| session.not_running())?;
        let tier = session.services().tier(machine.tier())?;
        let limits = Limits {
            wall: self.time_left().min(tier.offer().max_wall),
            memory: tier.memory(self.request.memory),
            output: session.services().config.max_output,
            escalation: Escalation::Never,
        };
        // The files are on the machine already.
        let mut cell = Cell { changes: Vec::new(), ..std::mem::take(&mut self.cell) };
        if let Some(sent) = self.sent.take() {
            cell.source = sent;
        }
        let mut repeat = 0;
        loop {
            let fault = match self.try_remote(tier, &cell, &limits).await? {
                Ok(end) => return Ok(end),
                Err(fault) => fault,
            };
            match pause_before_retry(tier, &fault, repeat) {
                Some(pause) if pause < self.time_left() => sleep(pause).await,
                _ => return Err(machine_failed(session, tier, &machine, &fault).await),
            }
            repeat += 1;
        }
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    async fn try_remote(
        &mut self,
        tier: &Tier,
        cell: &Cell,
        limits: &Limits,
    ) -> Result<Result<RemoteEnd, Fault>, Error> {
        if let Some(history) = self.state.remote_history() {
            history.begin(cell, None);
        }
        let Some(kernel) = self.state.remote_kernel() else { return Err(self.session.not_running()) };
        let mut attempt = AttemptRecorder::new(tier.name(), self.attempts);
        attempt.start();
        match run_relayed(kernel.as_mut(), cell, limits, Duration::ZERO, self.relay).await {
            Ok(ran) => {
                attempt.finish(ran.outcome.exit.name(), None);
                let restarted = ran.outcome.exit == Exit::Killed || !ran.alive;
                if restarted {
                    self.state.record_remote_restart();
                } else if let Some(history) = self.state.remote_history() {
                    history.record(cell.clone(), None, &ran);
                }
                if !ran.alive {
                    drop(self.state.take_remote_kernel());
                }
                Ok(Ok(RemoteEnd { outcome: ran.outcome, tier: tier.name().clone(), restarted }))
            }
            Err(fault) => {
                attempt.finish(fault.name(), Some(fault.detail()));
                // It is not known whether one that was lost has run.
                if let Some(history) = self.state.remote_history().filter(|_| !matches!(fault, Fault::Lost { .. })) {
                    history.cancel();
                }
                self.relay.discard_attempt();
                Ok(Err(fault))
            }
        }
    }
}

/// Returns the error for a fault of the machine. If the machine is lost and does not answer, the session is ended.
async fn machine_failed(session: &Session, tier: &Tier, machine: &LeasedMachine, fault: &Fault) -> Error {
    let Fault::Lost { reason } = fault else { return Error::from_fault(tier.name(), fault) };
    if machine.ensure_lifetime(Duration::ZERO).await.is_err() {
        tracing::warn!(session = session.id(), %fault, "a session's machine is gone");
        session.end();
    }
    Error::Lost { reason: format!("{}: {reason}", tier.name()) }
}

/// Returns how long to wait before the cell is run again; `None` if it is not. A cell that may have run is not run again,
/// because on a machine it may have effects outside.
fn pause_before_retry(tier: &Tier, fault: &Fault, repeat: u32) -> Option<Duration> {
    let again = fault.remedy(true) == Remedy::RetryHere;
    again.then(|| tier.pause(repeat, requested_delay(fault))).flatten()
}
