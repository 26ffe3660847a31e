//! The state of a kernel here, taken over into a kernel of another tier or of the session's machine.
//!
//! Telling the state uses up a kernel that is made again from its history: it moves objects about, and so the next
//! state would not be the one that its history leads to. A kernel that nothing makes again is asked and goes on. What
//! telling it does to it: classes of the program's own are asked for their parts as `pickle` asks (`__reduce_ex__`,
//! `__getstate__`), the exception of a task that failed counts as seen, and lazy caches may be filled. Only a class
//! whose `__reduce_ex__` changes its object is another one after it.

use std::time::Duration;

use serde_json::{Value, json};
use switchtower_contract::{Cell, Change, Content, Escalation, Exit, Fault, Kernel, Limits};

use super::context::{Context, Seat};
use super::history::Stuck;
use super::home::Home;
use super::local::unavailable;
use super::moving::Order;
use super::place::makes_again;
use super::ready::{Gone, unheard};
use super::session::Session;
use super::transfer_schema::{ExportOptions, RestoreRequest, Verdict};
use super::transfer_sources;
use crate::error::Error;
use crate::request::Priority;
use crate::tier::Tier;

/// Longest that a kernel here may take to tell its state; a kernel there is given this and what its cells take.
const MOVING: Duration = Duration::from_secs(60);
/// A state of more bytes than this goes as a file.
const EMBEDDED: usize = 192 << 10;
const REQUEST_FILE: &str = "/tmp/.switchtower-restore.json";

/// What a context moves to.
pub(super) enum Destination<'a> {
    /// The session's machine.
    Machine(&'a Home),
    /// A kernel of another local tier, in which nothing has run.
    Here(&'a Tier),
}

impl Destination<'_> {
    /// Makes it ready for code of ours, with a file in it where that takes one.
    async fn receives(&self, tier: &Tier, kernel: &mut dyn Kernel, file: Option<Change>) -> Result<(), Fault> {
        match (self, file) {
            (Self::Machine(home), Some(file)) => home.machine.apply(&[file]).await,
            (Self::Machine(_), None) => Ok(()),
            (Self::Here(_), file) => {
                // A kernel here begins with its first cell. One that is empty counts for nothing, and leaves nothing.
                let cell = Cell { changes: file.into_iter().collect(), ..Cell::default() };
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
            |stuck: Stuck| Error::NotMovable { reason: format!("the session cannot move to {}: {stuck}", tier.name()) };
        let told = self.told(context, seat).await.map_err(|gone| match gone {
            Gone::Stuck(why) => stuck(why),
            Gone::Fault(fault) => stuck(Stuck::new(seat.count, fault.detail())),
            Gone::Refused(error) => error,
        })?;
        let state: Value = serde_json::from_str(&told)
            .map_err(|error| stuck(Stuck::new(seat.count, format!("its state is not told well: {error}"))))?;
        // No other place is slower than where its cells ran first.
        let again = MOVING / 2 + seat.history.spent();
        let request = RestoreRequest {
            cells: seat.history.past_cells().map_err(stuck)?,
            state: &state,
            time_limit_s: again.as_secs(),
            home: &context.info.folder,
            files_in_use: order == Order::Follows,
        };
        let data = json!(request).to_string();
        let failed = |fault: Fault| unavailable(tier, &fault);
        let (given, after, file) = if data.len() > EMBEDDED {
            let file = Change { path: REQUEST_FILE.to_owned(), content: Content::File(data.into_bytes().into()) };
            (json!(REQUEST_FILE), format!("__import__('os').unlink({})\n", json!(REQUEST_FILE)), Some(file))
        } else {
            (json!(data), String::new(), None)
        };
        to.receives(tier, kernel.as_mut(), file).await.map_err(failed)?;
        let code = format!("{}{after}", transfer_sources::restore(&given.to_string()));
        let printed = kernel.run_internal(&code, again + MOVING).await.map_err(failed)?;
        let verdict: Verdict = serde_json::from_str(printed.trim())
            .map_err(|error| stuck(Stuck::new(seat.count, format!("the kernel there says {printed:?}: {error}"))))?;
        if verdict.ok {
            return Ok(());
        }
        let why = verdict.reason.unwrap_or_else(|| "it came out different there".to_owned());
        let why = verdict.name.map_or(why.clone(), |name| format!("{name}: {why}"));
        Err(stuck(Stuck::new(verdict.cell.unwrap_or(seat.count), why)))
    }

    /// What the kernel here tells of its state.
    async fn told(&self, context: &Context, seat: &mut Seat) -> Result<String, Gone> {
        let none = || Gone::Stuck(Stuck::new(seat.count, "no local tier keeps its kernel"));
        let place = seat.place.here().ok_or_else(none)?.tier.clone();
        let tier = self.house.router.tiers().get(&place).ok_or_else(none)?;
        let options = json!(ExportOptions { home: &context.info.folder, env: &self.options().env }).to_string();
        let code = format!(
            "import json\nfrom _switchtower import tracebacks\n\
             from _switchtower.state_transfer.export.state import export_state\n\
             print(export_state(json.dumps({{**json.loads({}), 'files': tracebacks.cell_numbers}})))",
            json!(options)
        );
        if !makes_again(tier)
            && let Some(Some(kernel)) = seat.place.kernel_of(&place)
        {
            return kernel.run_internal(&code, MOVING).await.map_err(Gone::Fault);
        }
        // To run its cells again costs as much as they did: it waits as any cell does.
        let slot = self.house.queue(tier).slot(&self.caller.user, Priority::Normal).await;
        let refused = |refusal| Gone::Refused(crate::tier::overloaded(tier.name(), refusal).into());
        let _slot = slot.map_err(refused)?;
        let mut kernel = self.kernel_here(tier, context, seat).await?;
        context.holds(None);
        kernel.run_internal(&code, MOVING).await.map_err(Gone::Fault)
    }
}
