//! What happens in a worker process that keeps kernels: cells, code of the parent's own, the ends of kernels.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use switchtower_contract::{Cell, Escalation, Events, Exit, Fault, Limits, Need, Opening, Outcome, Ran, Usage};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot, watch};
use tokio::time::timeout;

use crate::connection::{After, Connection, Stopped, out_of_turn};
use crate::frames::{Number, Order, Report};
use crate::keeper::Reply;
use crate::process::StartError;

/// Longest that a kernel's end may take.
const FORGETTING: Duration = Duration::from_secs(10);

/// One of what is counted, until it is dropped.
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to be the one thing that happens in a kernel. A cell that its caller left keeps it until it has ended.
pub(crate) type Turn = OwnedMutexGuard<()>;

/// What a keeper is given.
pub(crate) enum Job {
    Cell {
        kernel: Number,
        opening: Opening,
        /// Set when the worker is told of the kernel.
        begun: Arc<AtomicBool>,
        endings: Arc<Endings>,
        cell: Box<Cell>,
        limits: Limits,
        events: Events,
        /// Closed when the caller leaves.
        ended: oneshot::Sender<Result<Ran, Fault>>,
        held: (Turn, Admitted),
    },
    Own {
        kernel: Number,
        code: String,
        most: Duration,
        ended: oneshot::Sender<Result<String, Fault>>,
        held: (Turn, Admitted),
    },
    Forget {
        kernel: Number,
        turns: Arc<Mutex<()>>,
        /// None where a cell of the kernel may still be on its way out.
        turn: Option<Turn>,
        /// Counts the kernel, where it does not begin anew.
        held: Option<Held>,
        ending: EndingKernel,
    },
}

/// A cell in the queue of a process, or under way there.
pub(crate) struct Admitted(#[allow(dead_code, reason = "held until it is dropped")] pub(crate) Counted);
/// A kernel that a process holds.
pub(crate) struct Held(#[allow(dead_code, reason = "held until it is dropped")] pub(crate) Counted);

/// Ends of kernels that the process was told of, and those that are over: there may be room for another then.
#[derive(Default)]
pub(crate) struct Endings {
    told: AtomicU64,
    over: watch::Sender<u64>,
}

impl Endings {
    /// Waits for those that are under way now. False: there are none.
    async fn are_over(&self) -> bool {
        let told = self.told.load(Ordering::Relaxed);
        if *self.over.borrow() >= told {
            return false;
        }
        // The sender is this one's own. One that takes too long ends its process.
        let _ = timeout(FORGETTING, self.over.subscribe().wait_for(|over| *over >= told)).await;
        true
    }
}

/// The end of a kernel, under way until this is dropped.
pub(crate) struct EndingKernel(Arc<Endings>);

impl EndingKernel {
    pub(crate) fn new(endings: &Arc<Endings>) -> Self {
        endings.told.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(endings))
    }
}

impl Drop for EndingKernel {
    fn drop(&mut self) {
        self.0.over.send_modify(|over| *over += 1);
    }
}

/// The process was ended while the job was under way, or before it began.
pub(crate) fn ended_with_its_process() -> Fault {
    Fault::Lost { reason: "the kernel's process has ended".to_owned() }
}

impl Job {
    /// Has it done; returns what became of the connection, and the answer to the caller.
    pub(crate) async fn done_by(self, connection: &mut Connection) -> (After, Reply) {
        match self {
            Self::Cell { kernel, opening, begun, endings, cell, limits, events, mut ended, held } => {
                if ended.is_closed() {
                    // Its caller left while it waited: the kernel is as it was.
                    return (After::Whole, Box::new(|| ()));
                }
                let opening = (!begun.swap(true, Ordering::Relaxed)).then_some(opening);
                let is_new = opening.is_some();
                let (wall, escalation) = (limits.wall, limits.escalation);
                let order = Order::Cell { kernel, opening, cell: *cell, limits };
                let (mut end, mut after) = connection.carry_out(&order, wall, Some(&events), ended.closed()).await;
                let is_refused = matches!(&end, Ok(Report::Ran(Err(Fault::Refused { .. }))));
                if is_new && is_refused && endings.are_over().await {
                    // There was no room while others were on their way out.
                    (end, after) = connection.carry_out(&order, wall, Some(&events), ended.closed()).await;
                }
                let (ran, after) = match end {
                    Ok(Report::Ran(ran)) => (ran, after),
                    Ok(_) => out_of_turn(),
                    Err(Stopped::Fault(fault)) => (Err(fault), after),
                    Err(Stopped::Gone(_)) => (Err(ended_with_its_process()), after),
                    Err(Stopped::Late(ran)) => (killed_at_its_deadline(wall, escalation, ran), after),
                };
                if is_new && matches!(ran, Err(Fault::Refused { .. })) {
                    // Nothing ran, and there is no such kernel: the next cell may open it.
                    begun.store(false, Ordering::Relaxed);
                }
                drop(events);
                let reply = move || {
                    // The caller may have left; then nobody waits for this.
                    let _ = ended.send(ran);
                    drop(held);
                };
                (after, Box::new(reply))
            }
            Self::Own { kernel, code, most, mut ended, held } => {
                let (end, after) =
                    connection.carry_out(&Order::Own { kernel, code, most }, most, None, ended.closed()).await;
                let (printed, after) = match end {
                    Ok(Report::Printed(printed)) => (printed, after),
                    Ok(_) => out_of_turn(),
                    Err(Stopped::Fault(fault)) => (Err(fault), after),
                    Err(Stopped::Gone(_)) => (Err(ended_with_its_process()), after),
                    Err(Stopped::Late(_)) => {
                        (Err(Fault::Lost { reason: "a kernel does not answer".to_owned() }), after)
                    }
                };
                let reply = move || {
                    let _ = ended.send(printed);
                    drop(held);
                };
                (after, Box::new(reply))
            }
            Self::Forget { kernel, turns, turn, held: _held, ending: _ending } => {
                let _turn = match turn {
                    Some(turn) => turn,
                    None => turns.lock_owned().await,
                };
                let forgotten =
                    connection.carry_out(&Order::Forget { kernel }, FORGETTING, None, std::future::pending()).await;
                match forgotten {
                    (Ok(Report::Forgotten), after) => (after, Box::new(|| ())),
                    _ => (After::Broken, Box::new(|| ())),
                }
            }
        }
    }

    /// There is no process to do it.
    pub(crate) fn refused(self, error: &StartError) {
        let why = || Fault::Unavailable { reason: error.to_string() };
        match self {
            // Nobody may wait any more.
            Self::Cell { ended, .. } => drop(ended.send(Err(why()))),
            Self::Own { ended, .. } => drop(ended.send(Err(why()))),
            Self::Forget { .. } => {}
        }
    }
}

fn killed_at_its_deadline(wall: Duration, escalation: Escalation, ran: Duration) -> Result<Ran, Fault> {
    match escalation {
        Escalation::OnNeed => Err(Fault::Unsupported(Need::Time(wall))),
        Escalation::Never => {
            let usage = Usage { wall: ran, ..Usage::default() };
            let outcome = Outcome { exit: Exit::TimedOut, observed: None, truncated: false, usage, lacked: None };
            Ok(Ran { outcome, changes: Vec::new(), tape: None, alive: false })
        }
    }
}
