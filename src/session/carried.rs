//! The state of a kernel here, taken over into a kernel there.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use switchtower_contract::{Change, Content, Fault, Kernel};

use super::context::{Context, Seat};
use super::history::Stuck;
use super::home::Home;
use super::local::{Gone, unavailable};
use super::moving::Order;
use super::session::Session;
use crate::error::Error;

/// Runs the cells again in a cloud kernel and mends what differs.
const ARRIVE: &str = concat!(
    include_str!("arrive/arrival.py"),
    include_str!("arrive/kernel.py"),
    include_str!("arrive/quiet.py"),
    include_str!("arrive/state.py"),
    include_str!("arrive/settings.py"),
    include_str!("arrive/reading.py"),
);
/// Longest that a kernel here may take to tell its state; a kernel there is given this and what its cells take.
const MOVING: Duration = Duration::from_secs(60);
/// A state of more bytes than this goes as a file.
const EMBEDDED: usize = 192 << 10;
const PARCEL: &str = "/tmp/.switchtower-arrival.json";

/// Code that prepares a kernel there for sessions that may arrive: to read so much text ahead saves a move some tens of
/// milliseconds. `canon` makes the digests, as the kernel here tells it.
pub(crate) fn prepares_arrival(canon: &str) -> String {
    let (arrive, canon) = (json!(ARRIVE), json!(canon));
    format!(
        "(lambda room, sys: (exec({arrive}, room.__dict__), room.prepare({canon}), \
         sys.modules.__setitem__('_switchtower_room', room)))(\
         type(__import__('sys'))('_switchtower_room'), __import__('sys'))[0]\n"
    )
}

/// What `arrive/` prints.
#[derive(Debug, Deserialize)]
struct Verdict {
    ok: bool,
    cell: Option<u32>,
    name: Option<String>,
    why: Option<String>,
}

impl Session {
    /// Takes a context's state over into a kernel there.
    pub(super) async fn carries(
        &self,
        context: &Context,
        seat: &mut Seat,
        home: &Home,
        kernel: &mut Box<dyn Kernel>,
        order: Order,
    ) -> Result<(), Error> {
        if seat.history.is_empty() {
            return Ok(());
        }
        let stuck =
            |stuck: Stuck| Error::NoTier { reason: format!("the session cannot move to {}: {stuck}", home.tier) };
        let cells = seat.history.told().map_err(stuck)?;
        let told = self.told(context, seat).await.map_err(|gone| match gone {
            Gone::Stuck(why) => stuck(why),
            Gone::Fault(fault) => stuck(Stuck::new(seat.count, fault.detail())),
        })?;
        let told: serde_json::Value = serde_json::from_str(&told)
            .map_err(|error| stuck(Stuck::new(seat.count, format!("its state is not told well: {error}"))))?;
        // A machine computes faster than WebAssembly; what its cells cost here is more than they need there.
        let again = MOVING / 2 + seat.history.cost().unwrap_or_default();
        let data = json!({
            "cells": cells, "told": told, "limit_s": again.as_secs(), "home": context.info.folder,
            "follows": order == Order::Follows,
        })
        .to_string();
        let tier = self.standing_tier(&home.tier)?;
        let failed = |fault: Fault| unavailable(tier, &fault);
        let (given, after) = if data.len() > EMBEDDED {
            let parcel = Change { path: PARCEL.to_owned(), content: Content::File(data.into_bytes()) };
            home.machine.apply(&[parcel]).await.map_err(failed)?;
            (json!(PARCEL), format!("__import__('os').unlink({})\n", json!(PARCEL)))
        } else {
            (json!(data), String::new())
        };
        let code = format!(
            "_switchtower_room = __import__('sys').modules.pop('_switchtower_room', None)\n\
             if _switchtower_room is None:\n    \
                 _switchtower_room = type(__import__('sys'))('_switchtower_room')\n    \
                 exec({}, _switchtower_room.__dict__)\n\
             print(_switchtower_room.arrive({given}))\n{after}",
            json!(ARRIVE)
        );
        let printed = kernel.own(&code, again + MOVING).await.map_err(failed)?;
        let verdict: Verdict = serde_json::from_str(printed.trim())
            .map_err(|error| stuck(Stuck::new(seat.count, format!("the kernel there says {printed:?}: {error}"))))?;
        if verdict.ok {
            return Ok(());
        }
        let why = verdict.why.unwrap_or_else(|| "it came out different there".to_owned());
        let why = verdict.name.map_or(why.clone(), |name| format!("{name}: {why}"));
        Err(stuck(Stuck::new(verdict.cell.unwrap_or(seat.count), why)))
    }

    /// What the kernel here tells of its state. It is used up by that.
    async fn told(&self, context: &Context, seat: &mut Seat) -> Result<String, Gone> {
        let tiers = self.house.router.tiers();
        let none = || Gone::Stuck(Stuck::new(seat.count, "no local tier keeps kernels"));
        let tier = tiers.iter().find(|tier| tier.offer().kernels).ok_or_else(none)?;
        let mut kernel = self.kernel_here(tier, context, seat).await?;
        context.holds(None);
        let options = json!({ "home": context.info.folder, "env": self.asked().env }).to_string();
        let code = format!(
            "import json\nfrom _switchtower import carry, tracebacks\n\
             print(carry.tell(json.dumps({{**json.loads({}), 'files': tracebacks.numbers}})))",
            json!(options)
        );
        kernel.own(&code, MOVING).await.map_err(Gone::Fault)
    }
}
