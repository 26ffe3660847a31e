//! A sandbox of a tier that is leased for longer than one run.

use switchtower_contract::{Language, NetworkPolicy, Remedy, Sandbox, Spec};
use tokio::time::{Instant, sleep, timeout_at};

use super::Tier;
use super::attempt::{Attempt, AttemptRecorder};
use super::sandbox_guard::SandboxGuard;
use super::walk::{AttemptError, NO_SANDBOX, WalkError, requested_delay};
use crate::request::{Caller, Priority};

/// A leased sandbox. It does not count in its tier's pool. Dropping the lease ends the sandbox.
pub struct MachineLease(Box<dyn Sandbox>);

impl MachineLease {
    pub fn sandbox(&mut self) -> &mut dyn Sandbox {
        self.0.as_mut()
    }
}

impl Tier {
    /// Leases a sandbox: waits for a slot in the queue, checks the breaker, opens the sandbox, and retries faults that
    /// a retry may remedy, until `deadline`. Each try is added to `attempts` as it ends. The machine keeps `network`: if
    /// that is not open, it does not come from the pool.
    ///
    /// # Errors
    /// The error of the last try, or [`WalkError::TimedOut`] at the deadline.
    pub async fn lease_machine(
        &self,
        caller: &Caller,
        priority: Priority,
        network: &NetworkPolicy,
        deadline: Instant,
        attempts: &mut Vec<Attempt>,
    ) -> Result<MachineLease, WalkError> {
        let mut repeat = 0;
        loop {
            let mut recorder = AttemptRecorder::new(self.name(), attempts);
            let spec = Spec { network: network.clone(), ..Spec::new(Language::default()) };
            let leased =
                timeout_at(deadline, self.lease_once(caller, priority, &spec, repeat + 1, &mut recorder)).await;
            let error = match leased.unwrap_or(Err(AttemptError::DeadlinePassed(NO_SANDBOX))) {
                Ok(lease) => {
                    recorder.finish("lent", None);
                    return Ok(lease);
                }
                Err(error) => error,
            };
            let (outcome, detail) = error.recorded();
            recorder.finish(outcome, Some(detail));
            let pause = match &error {
                AttemptError::Fault(fault) if fault.remedy(false) == Remedy::RetryHere => {
                    self.pause(repeat, requested_delay(fault))
                }
                _ => None,
            };
            match pause {
                Some(pause) if Instant::now() + pause < deadline => sleep(pause).await,
                _ => return Err(error.walk_error(self, false)),
            }
            repeat += 1;
        }
    }

    async fn lease_once(
        &self,
        caller: &Caller,
        priority: Priority,
        spec: &Spec,
        attempt: u32,
        recorder: &mut AttemptRecorder<'_>,
    ) -> Result<MachineLease, AttemptError> {
        self.check_breaker(None).map_err(AttemptError::Open)?;
        // Held until the sandbox is open: the queue shares the opening of sandboxes fairly, not their use.
        let _slot = self.queue.slot(&caller.user, priority).await.map_err(AttemptError::NoSlot)?;
        let permit = self.permit(None).map_err(AttemptError::Open)?;
        recorder.start();
        let opened = self.sandbox(spec, self.config.open_timeout, attempt).await;
        if let Some(permit) = permit {
            permit.record_outcome(opened.as_ref().err());
        }
        opened.and_then(SandboxGuard::into_sandbox).map(MachineLease).map_err(AttemptError::Fault)
    }
}
