//! A sandbox of a tier, lent for longer than a run.

use switchtower_contract::{Language, Remedy, Sandbox, Spec};
use tokio::time::{Instant, sleep, timeout_at};

use super::Tier;
use super::attempt::{Attempt, Trial};
use super::held::Held;
use super::walk::{Setback, Trouble, asked};
use crate::request::{Caller, Priority};

/// A sandbox that somebody keeps. It counts as none of its tier's pool; dropped, it is ended.
pub struct Loan(Box<dyn Sandbox>);

impl Loan {
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
    pub async fn lend(
        &self,
        caller: &Caller,
        priority: Priority,
        deadline: Instant,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Loan, Setback> {
        let mut repeat = 0;
        loop {
            let mut trial = Trial::new(self.name(), attempts);
            let lent = timeout_at(deadline, self.lend_once(caller, priority, repeat + 1, &mut trial)).await;
            let trouble = match lent.unwrap_or(Err(Trouble::Late("no sandbox was ready"))) {
                Ok(loan) => {
                    trial.ends("lent", None);
                    return Ok(loan);
                }
                Err(trouble) => trouble,
            };
            let pause = match &trouble {
                Trouble::Fault(fault) => {
                    trial.ends(fault.name(), Some(fault.detail()));
                    let again = fault.remedy(false) == Remedy::RetryHere;
                    again.then(|| self.pause(repeat, asked(fault))).flatten()
                }
                Trouble::Open(open) => {
                    trial.ends("open", Some(open.to_string()));
                    None
                }
                Trouble::NoSlot(refusal) => {
                    trial.ends("overloaded", Some(refusal.to_string()));
                    None
                }
                Trouble::Late(missing) => {
                    trial.ends("deadline", Some((*missing).to_owned()));
                    None
                }
            };
            match pause {
                Some(pause) if Instant::now() + pause < deadline => sleep(pause).await,
                _ => return Err(trouble.setback(self, false)),
            }
            repeat += 1;
        }
    }

    async fn lend_once(
        &self,
        caller: &Caller,
        priority: Priority,
        attempt: u32,
        trial: &mut Trial<'_>,
    ) -> Result<Loan, Trouble> {
        self.lets_through(None).map_err(Trouble::Open)?;
        // Held until the sandbox is there: opening one is what the queue is fair about.
        let _slot = self.queue.slot(&caller.user, priority).await.map_err(Trouble::NoSlot)?;
        let permit = self.permit(None).map_err(Trouble::Open)?;
        trial.starts();
        let lent = self.sandbox(&Spec::new(Language::Python), self.config.open_timeout, attempt).await;
        if let Some(permit) = permit {
            permit.tells(lent.as_ref().err());
        }
        lent.and_then(Held::into_kept).map(Loan).map_err(Trouble::Fault)
    }
}
