//! The lease of a machine for a session.

use switchtower_contract::Location;
use tokio::time::Instant;

use super::leased_machine::LeasedMachine;
use super::session::Session;
use crate::error::Error;
use crate::request::Priority;
use crate::route::TierName;
use crate::tier::attempt::Attempt;

/// Leases a machine from the first of these tiers that has one available. Each try is added to `attempts`.
///
/// # Errors
/// The error of the last tier, or `none` where there is no tier. `LimitReached`: the caller has its share of the machines of this
/// host.
pub(super) async fn lease(
    session: &Session,
    tiers: &[TierName],
    deadline: Instant,
    attempts: &mut Vec<Attempt>,
    none: Error,
) -> Result<LeasedMachine, Error> {
    let (services, network) = (session.services(), session.network());
    let mut error = none;
    for name in tiers {
        let tier = services.tier(name)?;
        let share = if tier.offer().location == Location::Local {
            let shares = &services.machine_shares;
            let Some(share) = shares.take(&session.caller().user) else {
                let max = shares.max();
                let reason =
                    format!("one caller may have {max} machines of this host at once: end a sandbox that has one");
                error = Error::LimitReached { reason, retry_after: None };
                continue;
            };
            Some(share)
        } else {
            None
        };
        match tier.lease_machine(session.caller(), Priority::Normal, &network, deadline, attempts).await {
            Ok(mut lease) => {
                if let Some(machine) = lease.sandbox().machine() {
                    return Ok(LeasedMachine::new(name.clone(), lease, share, machine));
                }
            }
            Err(refused) => {
                error = refused.into();
                if Instant::now() >= deadline {
                    break;
                }
            }
        }
    }
    Err(error)
}
