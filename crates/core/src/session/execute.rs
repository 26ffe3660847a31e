//! A cell's way: quota, its turn, the decision, the kernel here or the machine, the record.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use switchtower_contract::{Cell, Effects, Events, Exit, File, Need, Outcome, Program, Usage, rounded};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::context::{Context, GivenUp, Seat};
use super::harmless;
use super::legs::Near;
use super::local::{Turn, ended, gone_note};
use super::messages::{CellAnswer, CellEvent, ExecuteCell};
use super::place::makes_again;
use super::session::Session;
use crate::cache::CacheStatus;
use crate::decide::Decision;
use crate::error::{Error, RequestError};
use crate::record::OpenRecord;
use crate::request::{CacheMode, Invalid, Request};
use crate::route::{Leg, Route, TierName};
use crate::tier::{OVERTIME, Relay};

/// Where a route leads a cell.
pub(super) struct Places {
    /// Tiers that keep kernels here, before any machine.
    pub(super) here: Vec<Leg>,
    /// Tiers of machines, in their order.
    pub(super) there: Vec<TierName>,
}

/// From a cell to whoever sent it, and from whoever restarts its context to the cell.
struct Line<'a> {
    said: &'a mpsc::Sender<CellEvent>,
    broken: watch::Receiver<()>,
    /// When the cell's time is over.
    deadline: Instant,
}

/// How a cell ended, and where.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) tier: TierName,
    pub(super) moved: Option<String>,
    pub(super) restarted: bool,
    pub(super) note: Option<String>,
}

impl Ended {
    /// Its context was restarted, or closed.
    fn broken_off(tier: &TierName, began: Instant) -> Self {
        let usage = Usage { wall: began.elapsed(), ..Usage::default() };
        let outcome = Outcome { exit: Exit::Killed, observed: None, truncated: false, usage, unmet_need: None };
        Self { outcome, tier: tier.clone(), moved: None, restarted: true, note: None }
    }
}

/// A cell's time-out passed, and it had not come to an end by itself.
fn out_of_time(request: &Request) -> Error {
    let reason =
        format!("after {}: the cell had not come to an end, all that it waited for included", rounded(request.timeout));
    Error::TimedOut { reason }
}

impl Session {
    /// Runs a cell when its turn comes: cells of one context run one after the other. `said` gets `Began`, then what it
    /// says. Dropping the future ends the cell.
    ///
    /// # Errors
    /// Before `Began`: nothing ran. After it: the cell could not be run to an end.
    pub async fn execute(
        &self,
        asked: ExecuteCell,
        said: &mpsc::Sender<CellEvent>,
    ) -> Result<CellAnswer, RequestError> {
        self.is_running()?;
        self.life.touch();
        let done = tokio::select! {
            biased;
            done = self.cell(asked, said) => done,
            () = self.life.stopped() => Err(self.gone().into()),
        };
        self.life.touch();
        done
    }

    async fn cell(&self, asked: ExecuteCell, said: &mpsc::Sender<CellEvent>) -> Result<CellAnswer, RequestError> {
        let router = &self.house.router;
        router.admit(&self.caller)?;
        let context = self.context(asked.context.as_deref())?;
        let request = self.request(&asked)?;
        let deadline = Instant::now() + request.timeout;
        let mut entry = router.open(&request);
        let mut line = Line { said, broken: context.breaks(), deadline };
        let turn = async {
            let mut seat = context.seat.lock().await;
            context.touch();
            self.turn(&context, &mut seat, asked, &request, &mut line, &mut entry).await
        };
        // A cell that runs keeps its time itself. This is for all that goes before it: its turn, a slot, its kernel, a
        // machine, what it has to bring there.
        let done = match timeout_at(deadline + OVERTIME, turn).await {
            Ok(done) => done,
            Err(_) => Err(out_of_time(&request)),
        };
        context.touch();
        match done {
            Ok(done) => {
                let pure = done.outcome.observed.is_some_and(Effects::is_empty);
                entry.answered(&done.tier, &done.outcome, CacheStatus::Bypass, pure);
                Ok(done)
            }
            Err(error) => Err(entry.refused(error)),
        }
    }

    async fn turn(
        &self,
        context: &Context,
        seat: &mut Seat,
        asked: ExecuteCell,
        request: &Request,
        line: &mut Line<'_>,
        entry: &mut OpenRecord<'_>,
    ) -> Result<CellAnswer, Error> {
        let decision = self.house.router.explain(request).decision?;
        entry.decided(&decision);
        seat.count += 1;
        let number = seat.count;
        // Whoever is gone drops this future.
        let _ = line.said.send(CellEvent::Started { number }).await;
        let ExecuteCell { source, env, stdin, .. } = asked;
        let cell = Cell { source, number, env, stdin, ..Cell::default() };

        let (events, mut from) = Events::channel();
        let mut relay = Relay::new(Some(events));
        let id = entry.id().to_owned();
        let deadline = line.deadline;
        let is_there = AtomicBool::new(false);
        let run = async {
            let mut turn =
                Turn { request, cell, deadline, relay: &mut relay, attempts: &mut entry.attempts, is_there: &is_there };
            let ended = self.run(context, seat, &decision, &mut turn, &mut line.broken).await;
            if ended.is_ok() {
                relay.ends();
            }
            relay.deliver().await;
            drop(relay);
            ended
        };
        let forward = async {
            while let Some(event) = from.recv().await {
                let remote = is_there.load(Ordering::Relaxed);
                let _ = line.said.send(CellEvent::Output { event, remote }).await;
            }
        };
        let (ended, ()) = tokio::join!(run, forward);
        let Ended { outcome, tier, moved, restarted, note } = ended?;
        // A machine has what there is: nothing would have let it fare better.
        let here = !self.house.router.tiers().get(&tier).is_some_and(|tier| tier.offer().machine);
        let unmet_need = outcome.unmet_need.as_ref().filter(|_| here);
        let note = note.or_else(|| unmet_need.map(|need| self.note(need, request.memory, &tier)));
        Ok(CellAnswer { id, number, outcome, tier, decision, moved, note, restarted })
    }

    async fn run(
        &self,
        context: &Context,
        seat: &mut Seat,
        decision: &Decision,
        turn: &mut Turn<'_>,
        broken: &mut watch::Receiver<()>,
    ) -> Result<Ended, Error> {
        let began = Instant::now();
        let places = self.places(&decision.route, seat);
        // A kernel was given up with the names in it: a cell that counts on them is not run without them.
        if let Some(GivenUp { tier, why }) = seat.given_up.take() {
            let note = Some(format!("{}; the context begins anew: run its earlier cells again", gone_note(&why)));
            seat.begin_anew();
            let outcome = ended(Exit::Killed, Duration::ZERO);
            return Ok(Ended { outcome, tier, moved: None, restarted: true, note });
        }
        let mut why = decision.reason.clone();
        let is_here = !seat.place.is_there() && self.machine().is_none();
        let mut moved = None;
        // A cell before this one was refused something in a kernel that it could not leave.
        if is_here
            && !places.there.is_empty()
            && let Some(need) = seat.wants.take()
        {
            let reason = format!("a cell before it needed {need}");
            match self.moves(&places.there, context, seat, &reason, turn.deadline, turn.attempts).await {
                Ok(()) => moved = Some(reason),
                // It may still do without.
                Err(Error::Unavailable { .. } | Error::Overloaded { .. }) => seat.wants = Some(need),
                Err(error) => return Err(error),
            }
        }
        if is_here
            && !seat.place.is_there()
            && let Some(first) = places.here.first()
        {
            let near = tokio::select! {
                biased;
                Ok(()) = broken.changed() => {
                    context.holds(None);
                    return Ok(Ended::broken_off(&first.tier, began));
                }
                near = self.run_near(&places, &why, context, seat, turn) => near?,
            };
            match near {
                Near::Ran(ended) => return Ok(ended),
                Near::Elsewhere(reason) => why = reason,
            }
        }
        if !seat.place.is_there() {
            self.moves(&places.there, context, seat, &why, turn.deadline, turn.attempts).await?;
            moved = Some(why);
        }
        turn.is_there.store(true, Ordering::Relaxed);
        let (outcome, tier, restarted) = tokio::select! {
            biased;
            Ok(()) = broken.changed() => {
                let tier = self.tier().ok_or_else(|| self.gone())?;
                return Ok(Ended::broken_off(tier, began));
            }
            there = self.run_there(context, seat, turn) => there?,
        };
        Ok(Ended { outcome, tier, moved, restarted, note: None })
    }

    fn places(&self, route: &Route, seat: &Seat) -> Places {
        let tiers = self.house.router.tiers();
        let mut places = Places { here: Vec::new(), there: Vec::new() };
        for leg in &route.0 {
            let Some(tier) = tiers.get(&leg.tier) else { continue };
            if tier.offer().machine {
                if self.options().offline {
                    continue;
                }
                places.there.push(leg.tier.clone());
            } else if tier.kernels().is_some() && places.there.is_empty() {
                places.here.push(leg.clone());
            }
        }
        // Names that nothing makes again stay where they are, for every cell that could run here at all.
        let settled = seat.place.here().and_then(|local| tiers.get(&local.tier)).filter(|tier| !makes_again(tier));
        if let Some(tier) = settled
            && !places.here.is_empty()
        {
            places.here = vec![Leg { tier: tier.name().clone(), budget: None }];
        }
        places
    }

    /// A cell as a request: what quota, analysis, rules and records look at. The session's files are there by name.
    fn request(&self, asked: &ExecuteCell) -> Result<Request, Error> {
        let request_limits = &self.house.request_limits;
        let mut program = Program::python(harmless::without(&asked.source));
        program.stdin.clone_from(&asked.stdin);
        program.env = Some(asked.env.clone());
        let mut request = Request::new(program, request_limits)?;
        request.caller = self.caller.clone();
        request.cache = CacheMode::Bypass;
        let most = self.house.config.cell_timeout;
        request.timeout = asked.timeout.unwrap_or(most);
        if request.timeout.is_zero() || request.timeout > most {
            return Err(Invalid::new("timeout", format!("between 1ms and {}", rounded(most))).into());
        }
        request.program.files = self.files.paths().into_iter().map(|path| File { path, content: Vec::new() }).collect();
        Ok(request)
    }

    pub(super) fn context(&self, id: Option<&str>) -> Result<std::sync::Arc<Context>, Error> {
        self.find_context(id).ok_or_else(|| {
            let known: Vec<_> = self.contexts().into_iter().map(|context| context.id).collect();
            Invalid::new("context", format!("one of {}", known.join(", "))).into()
        })
    }

    fn note(&self, need: &Need, memory: Option<u64>, tier: &TierName) -> String {
        self.house.router.tiers().note(need, memory, tier)
    }
}
