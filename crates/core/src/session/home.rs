//! The machine of a session: lent from a cloud tier when it is first needed, kept to its end.

use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Fault, Kernel, Machine, Maintenance};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::context::Context;
use super::session::Session;
use crate::error::Error;
use crate::request::Priority;
use crate::route::TierName;
use crate::tier::attempt::Attempt;
use crate::tier::{MachineLease, Tier};

/// Longest that a command, a port or a file waits for a session's first machine: E2B's clients wait as long for a call.
const PROMOTION: Duration = Duration::from_secs(60);

/// A machine that a session has moved to.
pub(super) struct Home {
    pub(super) tier: TierName,
    /// None: it was given up.
    loan: Mutex<Option<MachineLease>>,
    pub(super) machine: Arc<dyn Machine>,
}

impl Home {
    pub(super) async fn maintain(&self, how: Maintenance) -> Result<(), Fault> {
        self.loan.lock().await.as_mut().ok_or_else(given_up)?.sandbox().maintain(how).await
    }

    /// Ends it, whoever may still know it.
    pub(super) async fn give_up(&self) {
        drop(self.loan.lock().await.take());
    }

    pub(super) async fn kernel(&self, session: &Session, context: &Context) -> Result<Box<dyn Kernel>, Fault> {
        let loan = self.loan.lock().await;
        loan.as_ref().ok_or_else(given_up)?;
        self.machine.open_kernel(&session.opening(&context.info.folder)).await
    }
}

fn given_up() -> Fault {
    Fault::Unavailable { reason: "the machine was given up".to_owned() }
}

impl Session {
    /// Moves it to a machine, for `need` ("a command", "the file /etc/hosts"). The machine that it has, where it has one.
    ///
    /// # Errors
    /// There is no machine to be had, or the session's state cannot be taken along.
    pub async fn promote(&self, need: &str) -> Result<Arc<dyn Machine>, Error> {
        self.is_running()?;
        self.life.touch();
        if let Some(machine) = self.machine() {
            return Ok(machine);
        }
        let (tiers, why) = (self.machines()?, format!("{need} needs a cloud sandbox"));
        if tiers.is_empty() {
            return Err(self.nowhere(&why));
        }
        let moved = async {
            let context = self.context(None)?;
            let mut seat = tokio::select! {
                biased;
                // The cell whose turn it is has moved it.
                () = self.has_moved() => return self.machine().ok_or_else(|| self.gone()),
                seat = context.seat.lock() => seat,
            };
            let deadline = Instant::now() + PROMOTION;
            self.moves(&tiers, &context, &mut seat, &why, deadline, &mut Vec::new()).await?;
            self.machine().ok_or_else(|| self.gone())
        };
        tokio::select! {
            biased;
            moved = moved => moved,
            () = self.life.stopped() => Err(self.gone()),
        }
    }

    pub(super) async fn lend(
        &self,
        tiers: &[TierName],
        why: &str,
        deadline: Instant,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Home, Error> {
        let mut error = self.nowhere(why);
        for name in tiers {
            let tier = self.standing_tier(name)?;
            let mut loan = match tier.lease_machine(self.caller(), Priority::Normal, deadline, attempts).await {
                Ok(loan) => loan,
                Err(walk_error) => {
                    error = walk_error.into();
                    if Instant::now() >= deadline {
                        break;
                    }
                    continue;
                }
            };
            let machine = loan.sandbox().machine();
            let Some(machine) = machine else { continue };
            return Ok(Home { tier: name.clone(), loan: Mutex::new(Some(loan)), machine });
        }
        Err(error)
    }

    /// There is no machine to move to.
    pub(super) fn nowhere(&self, why: &str) -> Error {
        if self.options().offline {
            let reason = format!("{why}, but this session was created without the internet");
            return Error::NoTier { reason };
        }
        let remedy = self.house.router.tiers().remedies(true);
        let remedy = remedy.unwrap_or_else(|| "none may be used here".to_owned());
        Error::NoTier { reason: format!("{why}: {remedy}") }
    }

    /// The tiers of machines that the rules send a command to.
    pub(super) fn machines(&self) -> Result<Vec<TierName>, Error> {
        if self.options().offline {
            return Ok(Vec::new());
        }
        let decision = self.house.router.explain(&self.command()).decision?;
        let tiers = self.house.router.tiers();
        let machines = decision.route.tiers().filter(|name| tiers.get(name).is_some_and(|tier| tier.offer().machine));
        Ok(machines.cloned().collect())
    }

    pub(super) fn standing_tier(&self, name: &TierName) -> Result<&Tier, Error> {
        let none = || Error::NoTier { reason: format!("the tier {name} is not there any more") };
        self.house.router.tiers().get(name).ok_or_else(none)
    }
}
