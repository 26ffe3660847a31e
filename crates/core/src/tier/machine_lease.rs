//! A sandbox of a tier, lent for longer than a run.

use switchtower_contract::{Language, Remedy, Sandbox, Spec};
use tokio::time::{Instant, sleep, timeout_at};

use super::Tier;
use super::attempt::{Attempt, AttemptRecorder};
use super::sandbox_guard::SandboxGuard;
use super::walk::{AttemptError, WalkError, asked};
use crate::request::{Caller, Priority};

/// A sandbox that somebody keeps. It counts as none of its tier's pool; dropped, it is ended.
pub struct MachineLease(Box<dyn Sandbox>);

impl MachineLease {
    pub fn sandbox(&mut self) -> &mut dyn Sandbox {
        self.0.as_mut()
    }
}

impl Tier {
    /// Lends a sandbox: waits its turn in the queue, asks the breaker, tries again where that may help, until `deadline`.
    /// Each try is added to `attempts` as it ends.
    ///
    /// # Errors
    /// There is none to be had.
    pub async fn lease_machine(
        &self,
        caller: &Caller,
        priority: Priority,
        deadline: Instant,
        attempts: &mut Vec<Attempt>,
    ) -> Result<MachineLease, WalkError> {
        let mut repeat = 0;
        loop {
            let mut recorder = AttemptRecorder::new(self.name(), attempts);
            let lent = timeout_at(deadline, self.lease_once(caller, priority, repeat + 1, &mut recorder)).await;
            let trouble = match lent.unwrap_or(Err(AttemptError::Late("no sandbox was ready"))) {
                Ok(loan) => {
                    recorder.finish("lent", None);
                    return Ok(loan);
                }
                Err(trouble) => trouble,
            };
            let pause = match &trouble {
                AttemptError::Fault(fault) => {
                    recorder.finish(fault.name(), Some(fault.detail()));
                    let again = fault.remedy(false) == Remedy::RetryHere;
                    again.then(|| self.pause(repeat, asked(fault))).flatten()
                }
                AttemptError::Open(open) => {
                    recorder.finish("open", Some(open.to_string()));
                    None
                }
                AttemptError::NoSlot(refusal) => {
                    recorder.finish("overloaded", Some(refusal.to_string()));
                    None
                }
                AttemptError::Late(missing) => {
                    recorder.finish("deadline", Some((*missing).to_owned()));
                    None
                }
            };
            match pause {
                Some(pause) if Instant::now() + pause < deadline => sleep(pause).await,
                _ => return Err(trouble.walk_error(self, false)),
            }
            repeat += 1;
        }
    }

    async fn lease_once(
        &self,
        caller: &Caller,
        priority: Priority,
        attempt: u32,
        recorder: &mut AttemptRecorder<'_>,
    ) -> Result<MachineLease, AttemptError> {
        self.lets_through(None).map_err(AttemptError::Open)?;
        // Held until the sandbox is there: opening one is what the queue is fair about.
        let _slot = self.queue.slot(&caller.user, priority).await.map_err(AttemptError::NoSlot)?;
        let permit = self.permit(None).map_err(AttemptError::Open)?;
        recorder.start();
        let lent = self.sandbox(&Spec::new(Language::default()), self.config.open_timeout, attempt).await;
        if let Some(permit) = permit {
            permit.record_outcome(lent.as_ref().err());
        }
        lent.and_then(SandboxGuard::into_sandbox).map(MachineLease).map_err(AttemptError::Fault)
    }
}
