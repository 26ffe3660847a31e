//! A cell's way along the local tiers of its route, to the first that has what it needs.

use std::time::Duration;

use switchtower_contract::Exit;

use super::context::{Context, Seat};
use super::execute::{Ended, Places};
use super::local::{Here, Turn};
use super::place::makes_again;
use super::session::Session;
use crate::error::Error;

/// How a cell fared in the local tiers.
pub(super) enum Near {
    Ran(Ended),
    /// It has to go on to a machine; why.
    Elsewhere(String),
}

impl Session {
    /// Runs a cell in the first local tier that has what it needs; `why`: what the rules said. Its context goes with
    /// it, and stays where it was until a cell has run elsewhere.
    pub(super) async fn run_near(
        &self,
        places: &Places,
        why: &str,
        context: &Context,
        seat: &mut Seat,
        turn: &mut Turn<'_>,
    ) -> Result<Near, Error> {
        let (tiers, machines) = (self.house.router.tiers(), places.there.first());
        let mut legs: Vec<_> = places.here.iter().filter_map(|leg| Some((tiers.get(&leg.tier)?, leg.budget))).collect();
        let begins = legs.first().map(|(tier, _)| tier.name().clone());
        let was = seat.place.here().map(|local| local.tier.clone()).or(begins);
        let mut reason = None;
        let mut at = 0;
        while let Some(&(tier, budget)) = legs.get(at) {
            // Without a place to move on to, a budget ends nothing.
            let further = machines.is_some() || at + 1 < legs.len();
            let budget = further.then(|| budget.unwrap_or(Duration::MAX));
            match self.run_here(tier, budget, context, seat, turn).await? {
                Here::Ran { outcome, restarted, mut note } => {
                    if let (Some(machine), Some(need), Exit::Raised) = (machines, &outcome.unmet_need, outcome.exit)
                        && !makes_again(tier)
                    {
                        let next = format!("it needs {need}; what it did until then is done");
                        note = Some(format!("{next}, and the next cell runs in {machine}"));
                        seat.wants = Some(need.clone());
                    }
                    let moves = was.as_ref() != Some(tier.name());
                    let moved = moves.then(|| reason.unwrap_or_else(|| why.to_owned()));
                    return Ok(Near::Ran(Ended { outcome, tier: tier.name().clone(), moved, restarted, note }));
                }
                Here::Lacks(need) => {
                    reason = Some(format!("it needs {need}"));
                    let has = |(tier, _): &(&crate::tier::Tier, _)| tier.may_have(&need, turn.request.memory);
                    match legs[at + 1..].iter().position(has) {
                        Some(skipped) => at += 1 + skipped,
                        None if machines.is_some() => break,
                        // Nobody has it: the cell runs here again and sees its own exception.
                        None => legs.truncate(at + 1),
                    }
                }
                Here::Refused(error) => {
                    at += 1;
                    if machines.is_none() && at == legs.len() {
                        return Err(error);
                    }
                    reason = Some(error.to_string());
                }
            }
        }
        Ok(Near::Elsewhere(reason.unwrap_or_else(|| why.to_owned())))
    }
}
