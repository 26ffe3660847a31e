//! The state of a kernel here, taken over into a kernel of another tier or of the session's machine.
//!
//! Telling the state uses up a kernel that is made again from its history: it moves objects about, and so the next
//! state would not be the one that its history leads to. A kernel that nothing makes again is asked and goes on. What
//! telling it does to it: classes of the program's own are asked for their parts as `pickle` asks (`__reduce_ex__`,
//! `__getstate__`), the exception of a task that failed counts as seen, and lazy caches may be filled. Only a class
//! whose `__reduce_ex__` changes its object is another one after it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use switchtower_contract::{Cell, Change, Content, Escalation, Exit, Fault, Kernel, Limits};

use super::context::{Context, Seat};
use super::history::Stuck;
use super::home::Home;
use super::local::unavailable;
use super::moving::Order;
use super::place::makes_again;
use super::ready::{Gone, unheard};
use super::session::Session;
use crate::error::Error;
use crate::request::Priority;
use crate::tier::Tier;

/// Runs the cells again in another kernel and mends what differs.
const ARRIVE: &str = concat!(
    include_str!("../../../../sandboxes/python/transfer/restore/arrival.py"),
    include_str!("../../../../sandboxes/python/transfer/restore/kernel.py"),
    include_str!("../../../../sandboxes/python/transfer/restore/quiet.py"),
    include_str!("../../../../sandboxes/python/transfer/restore/state.py"),
    include_str!("../../../../sandboxes/python/transfer/restore/settings.py"),
    include_str!("../../../../sandboxes/python/transfer/restore/reading.py"),
);
/// Longest that a kernel here may take to tell its state; a kernel there is given this and what its cells take.
const MOVING: Duration = Duration::from_secs(60);
/// A state of more bytes than this goes as a file.
const EMBEDDED: usize = 192 << 10;
const PARCEL: &str = "/tmp/.switchtower-arrival.json";

/// Code that prepares a kernel there for sessions that may arrive: to read so much text ahead saves a move some tens of
/// milliseconds. `canon` makes the digests, as the kernel here tells it.
pub fn restore_prelude(canon: &str) -> String {
    let (arrive, canon) = (json!(ARRIVE), json!(canon));
    format!(
        "(lambda room, sys: (exec({arrive}, room.__dict__), room.prepare({canon}), \
         sys.modules.__setitem__('_switchtower_room', room)))(\
         type(__import__('sys'))('_switchtower_room'), __import__('sys'))[0]\n"
    )
}

/// What `restore/` prints.
#[derive(Debug, Deserialize)]
struct Verdict {
    ok: bool,
    cell: Option<u32>,
    name: Option<String>,
    why: Option<String>,
}

/// What a context moves to.
pub(super) enum Destination<'a> {
    /// The session's machine.
    Machine(&'a Home),
    /// A kernel of another local tier, in which nothing has run.
    Here(&'a Tier),
}

impl Destination<'_> {
    /// Makes it ready for code of ours, with a file in it where that takes one.
    async fn receives(&self, tier: &Tier, kernel: &mut dyn Kernel, parcel: Option<Change>) -> Result<(), Fault> {
        match (self, parcel) {
            (Self::Machine(home), Some(parcel)) => home.machine.apply(&[parcel]).await,
            (Self::Machine(_), None) => Ok(()),
            (Self::Here(_), parcel) => {
                // A kernel here begins with its first cell. One that is empty counts for nothing, and leaves nothing.
                let cell = Cell { changes: parcel.into_iter().collect(), ..Cell::default() };
                let (memory, escalation) = (tier.memory(None), Escalation::Never);
                let ran = unheard(kernel, &cell, &Limits { wall: MOVING, memory, output: 0, escalation }).await?;
                match ran.outcome.exit {
                    Exit::Finished(_) if ran.alive => Ok(()),
                    exit => Err(Fault::Unavailable { reason: format!("an empty cell did not run: {}", exit.name()) }),
                }
            }
        }
    }
}

impl Session {
    /// Takes a context's state over into another kernel.
    pub(super) async fn carries(
        &self,
        context: &Context,
        seat: &mut Seat,
        to: &Destination<'_>,
        kernel: &mut Box<dyn Kernel>,
        order: Order,
    ) -> Result<(), Error> {
        if seat.history.is_empty() {
            return Ok(());
        }
        let tier = match to {
            Destination::Machine(home) => self.standing_tier(&home.tier)?,
            Destination::Here(tier) => tier,
        };
        let stuck =
            |stuck: Stuck| Error::NoTier { reason: format!("the session cannot move to {}: {stuck}", tier.name()) };
        let cells = seat.history.told().map_err(stuck)?;
        let told = self.told(context, seat).await.map_err(|gone| match gone {
            Gone::Stuck(why) => stuck(why),
            Gone::Fault(fault) => stuck(Stuck::new(seat.count, fault.detail())),
            Gone::Refused(error) => error,
        })?;
        let told: serde_json::Value = serde_json::from_str(&told)
            .map_err(|error| stuck(Stuck::new(seat.count, format!("its state is not told well: {error}"))))?;
        // No other place is slower than where its cells ran first.
        let again = MOVING / 2 + seat.history.spent();
        let data = json!({
            "cells": cells, "told": told, "limit_s": again.as_secs(), "home": context.info.folder,
            "follows": order == Order::Follows,
        })
        .to_string();
        let failed = |fault: Fault| unavailable(tier, &fault);
        let (given, after, parcel) = if data.len() > EMBEDDED {
            let parcel = Change { path: PARCEL.to_owned(), content: Content::File(data.into_bytes().into()) };
            (json!(PARCEL), format!("__import__('os').unlink({})\n", json!(PARCEL)), Some(parcel))
        } else {
            (json!(data), String::new(), None)
        };
        to.receives(tier, kernel.as_mut(), parcel).await.map_err(failed)?;
        let code = format!(
            "_switchtower_room = __import__('sys').modules.pop('_switchtower_room', None)\n\
             if _switchtower_room is None:\n    \
                 _switchtower_room = type(__import__('sys'))('_switchtower_room')\n    \
                 exec({}, _switchtower_room.__dict__)\n\
             print(_switchtower_room.arrive({given}))\n{after}",
            json!(ARRIVE)
        );
        let printed = kernel.run_internal(&code, again + MOVING).await.map_err(failed)?;
        let verdict: Verdict = serde_json::from_str(printed.trim())
            .map_err(|error| stuck(Stuck::new(seat.count, format!("the kernel there says {printed:?}: {error}"))))?;
        if verdict.ok {
            return Ok(());
        }
        let why = verdict.why.unwrap_or_else(|| "it came out different there".to_owned());
        let why = verdict.name.map_or(why.clone(), |name| format!("{name}: {why}"));
        Err(stuck(Stuck::new(verdict.cell.unwrap_or(seat.count), why)))
    }

    /// What the kernel here tells of its state.
    async fn told(&self, context: &Context, seat: &mut Seat) -> Result<String, Gone> {
        let none = || Gone::Stuck(Stuck::new(seat.count, "no local tier keeps its kernel"));
        let place = seat.place.here().ok_or_else(none)?.tier.clone();
        let tier = self.house.router.tiers().get(&place).ok_or_else(none)?;
        let options = json!({ "home": context.info.folder, "env": self.options().env }).to_string();
        let code = format!(
            "import json\nfrom _switchtower import carry, tracebacks\n\
             print(carry.tell(json.dumps({{**json.loads({}), 'files': tracebacks.numbers}})))",
            json!(options)
        );
        if !makes_again(tier)
            && let Some(Some(kernel)) = seat.place.kernel_of(&place)
        {
            return kernel.run_internal(&code, MOVING).await.map_err(Gone::Fault);
        }
        // To run its cells again costs as much as they did: it waits as any cell does.
        let slot = self.house.queue(tier).slot(&self.caller.user, Priority::Normal).await;
        let refused = |refusal| Gone::Refused(Error::from_walk(crate::tier::overloaded(tier.name(), refusal), &[]));
        let _slot = slot.map_err(refused)?;
        let mut kernel = self.kernel_here(tier, context, seat).await?;
        context.holds(None);
        kernel.run_internal(&code, MOVING).await.map_err(Gone::Fault)
    }
}
