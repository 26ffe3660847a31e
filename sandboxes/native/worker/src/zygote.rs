//! The engine: children forked ahead, one for each program; kernels, which are children that live on.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use switchtower_contract::{Chance, Escalation, Event, Exit, Fault, Limits, Need, Program, Ran};
use switchtower_jail::{Fork, Walls};
use switchtower_native::worker::Settings;
use switchtower_worker::child::{Cancel, Engine, OpenedCell, Reporter};
use switchtower_worker::frames::Number;
use switchtower_worker::sink::{Send, Sink};

use crate::attend::{Attended, Attention, Bounds, attend};
use crate::child::Child;
use crate::finish::Finish;
use crate::inside;
use crate::interpreter::Interpreter;
use crate::pipes;
use crate::processes::Processes;
use crate::wire::Given;

/// After so long without an order there is time to fork another child.
const REST: Duration = Duration::from_millis(1);

/// Children that may be on their way out before another waits for them.
const LEAVING: usize = 8;

/// The worker's engine.
pub(crate) struct Zygote {
    walls: Walls,
    interpreter: Interpreter,
    processes: Processes,
    ready: VecDeque<Child>,
    reserve: usize,
    /// Killed, and not gone yet.
    leaving: Vec<Child>,
    kernels: HashMap<Number, Child>,
    room: usize,
    bounds: Bounds,
}

impl Zygote {
    pub(crate) fn new(walls: Walls, interpreter: Interpreter, processes: Processes, settings: &Settings) -> Self {
        Self {
            walls,
            interpreter,
            processes,
            ready: VecDeque::new(),
            reserve: settings.reserve,
            leaving: Vec::new(),
            kernels: HashMap::new(),
            room: settings.kernels,
            bounds: Bounds {
                bytes: settings.scratch_bytes,
                entries: settings.scratch_entries,
                threads: settings.threads,
            },
        }
    }

    /// A child that waits: the one that has waited longest, or a new one.
    fn child(&mut self) -> Result<Child, Fault> {
        while let Some(mut child) = self.ready.pop_front() {
            if child.is_waiting() {
                return Ok(child);
            }
        }
        self.fork().map_err(|error| Fault::Unavailable { reason: format!("no child can be forked: {error}") })
    }

    #[allow(unsafe_code, reason = "forking an interpreter")]
    fn fork(&self) -> io::Result<Child> {
        let (ours, theirs) = pipes::pipes()?;
        Python::attach(|py| {
            // SAFETY: this is the only thread; the interpreter is told before and after, on both sides.
            let forked = unsafe {
                pyo3::ffi::PyOS_BeforeFork();
                let forked = self.walls.fork();
                match &forked {
                    Ok(Fork::Child) => pyo3::ffi::PyOS_AfterFork_Child(),
                    Ok(Fork::Parent(_)) | Err(_) => pyo3::ffi::PyOS_AfterFork_Parent(),
                }
                forked
            };
            match forked? {
                Fork::Parent(forked) => Ok(Child::new(forked, ours)),
                Fork::Child => {
                    drop(ours);
                    self.begins(py, theirs)
                }
            }
        })
    }

    /// In a child: its descriptors, its walls, its interpreter.
    fn begins(&self, py: Python<'_>, theirs: pipes::Theirs) -> ! {
        let begun = theirs.take_their_places().map_err(|error| error.to_string()).and_then(|socket| {
            self.walls.enter_child().map_err(|error| error.to_string())?;
            self.interpreter.born(py).map_err(|error| error.to_string())?;
            Ok(socket)
        });
        match begun {
            Ok(socket) => inside::lives(py, &self.interpreter, socket),
            Err(reason) => {
                eprintln!("{reason}");
                inside::leaves(inside::NOT_JAILED)
            }
        }
    }

    fn attention<'a>(&'a self, limits: &'a Limits, cancel: &'a Cancel) -> Attention<'a> {
        Attention { limits, cancel, processes: &self.processes, bounds: self.bounds }
    }

    fn runs(&mut self, program: Program, limits: &Limits, reporter: &Reporter, cancel: &Cancel) -> Finish {
        if matches!(program.chance, Chance::Seeded(_)) {
            let what = "a clock and chance made of a seed".to_owned();
            return Finish { ended: Err(Fault::Unsupported(Need::Language(what))), changes: Vec::new(), alive: false };
        }
        let mut child = match self.child() {
            Ok(child) => child,
            Err(fault) => return Finish { ended: Err(fault), changes: Vec::new(), alive: false },
        };
        let processor = limits.wall.as_secs() + 2;
        let given = Given::Program { program, on_need: limits.escalation == Escalation::OnNeed };
        let begun =
            child.forked().limit(limits.memory, Some(processor)).and_then(|()| child.give(&given, &self.processes));
        if let Err(error) = begun {
            let reason = format!("a child is gone before it was given anything: {error}");
            return Finish { ended: Err(Fault::Unavailable { reason }), changes: Vec::new(), alive: false };
        }
        let mut sink = Sink::open(sending(reporter), limits.output);
        let finish = attend(&mut child, Attended::Program, &self.attention(limits, cancel), &mut sink);
        self.leaves(child);
        finish
    }

    /// Ends a child without waiting for it: the kernel takes longer to clear a process away than most programs run.
    fn leaves(&mut self, child: Child) {
        child.kill();
        self.leaving.push(child);
        if self.leaving.len() > LEAVING {
            // Dropping one waits for it.
            self.leaving.remove(0);
        }
    }

    /// Those that are gone are forgotten, with what they had in files.
    fn clears(&mut self) {
        self.leaving.retain_mut(|child| !matches!(child.ended(), Ok(Some(_)) | Err(_)));
    }

    fn runs_cell(
        &mut self,
        number: Number,
        cell: OpenedCell,
        limits: &Limits,
        reporter: &Reporter,
        cancel: &Cancel,
    ) -> Result<Ran, Fault> {
        let OpenedCell { opening, cell } = cell;
        let mut child = match (self.kernels.remove(&number), &opening) {
            (Some(child), None) => child,
            (_, Some(_)) if self.kernels.len() >= self.room => {
                let reason = format!("this worker keeps {} kernels, and has no room for another", self.room);
                return Err(Fault::Refused { reason, retry_after: None });
            }
            (_, Some(_)) => {
                let child = self.child()?;
                let limited = child.forked().limit(limits.memory, None);
                limited.map_err(|error| Fault::Unavailable { reason: format!("a child is gone: {error}") })?;
                child
            }
            (None, None) => return Err(Fault::Lost { reason: "the kernel is gone".to_owned() }),
        };
        child.signal(libc::SIGCONT);
        let given = Given::Cell { opening, cell, on_need: limits.escalation == Escalation::OnNeed };
        if let Err(error) = child.give(&given, &self.processes) {
            return Err(Fault::Lost { reason: format!("the kernel is gone: {error}") });
        }
        let mut sink = Sink::open(sending(reporter), limits.output);
        let Finish { ended, changes, alive } =
            attend(&mut child, Attended::Cell, &self.attention(limits, cancel), &mut sink);
        child.untold.extend(changes);
        // Nobody hears of what a cell did that was broken off: the next one tells it.
        let changes = if ended.is_ok() { std::mem::take(&mut child.untold) } else { Vec::new() };
        self.puts_back(number, child, alive);
        ended.map(|outcome| Ran { outcome, changes, tape: None, alive })
    }

    /// Between its cells a kernel that lives does nothing: a thread that it left would use what others pay for.
    fn puts_back(&mut self, number: Number, child: Child, alive: bool) {
        if alive {
            child.signal(libc::SIGSTOP);
            self.kernels.insert(number, child);
        } else {
            self.leaves(child);
        }
    }

    /// What code of the parent's own prints in a kernel.
    fn runs_own(&mut self, number: Number, code: &str, most: Duration, cancel: &Cancel) -> Result<String, Fault> {
        let gone = || Fault::Lost { reason: "the kernel is gone".to_owned() };
        let mut child = self.kernels.remove(&number).ok_or_else(gone)?;
        child.signal(libc::SIGCONT);
        child.give(&Given::Own(code.to_owned()), &self.processes).map_err(|_| gone())?;
        let limits = Limits { wall: most, output: u64::MAX, ..Limits::default() };
        let printed = Arc::new(Mutex::new((String::new(), None)));
        let heard = Arc::clone(&printed);
        let mut sink = Sink::open(
            Box::new(move |event| {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                match event {
                    Event::Stdout(text) => heard.0.push_str(&text),
                    Event::Error(failure) => heard.1 = Some(failure),
                    _ => {}
                }
                true
            }),
            limits.output,
        );
        let Finish { ended, alive, .. } =
            attend(&mut child, Attended::Own, &self.attention(&limits, cancel), &mut sink);
        self.puts_back(number, child, alive);
        let outcome = ended?;
        let (text, failure) = std::mem::take(&mut *printed.lock().unwrap_or_else(PoisonError::into_inner));
        match failure {
            Some(failure) => Err(Fault::Lost { reason: format!("{}: {}", failure.name, failure.value) }),
            None if matches!(outcome.exit, Exit::Finished(_)) && alive => Ok(text),
            None => {
                Err(Fault::Lost { reason: format!("the kernel's own code ended otherwise ({})", outcome.exit.name()) })
            }
        }
    }
}

impl Engine for Zygote {
    fn run(&mut self, program: Program, limits: Limits, reporter: &Reporter, cancel: Cancel) {
        let finish = self.runs(program, &limits, reporter, &cancel);
        reporter.done(finish.ended);
    }

    fn cell(&mut self, kernel: Number, cell: OpenedCell, limits: Limits, reporter: &Reporter, cancel: Cancel) {
        let ran = self.runs_cell(kernel, cell, &limits, reporter, &cancel);
        reporter.ran(ran);
    }

    fn own(&mut self, kernel: Number, code: &str, most: Duration, reporter: &Reporter, cancel: Cancel) {
        let printed = self.runs_own(kernel, code, most, &cancel);
        reporter.printed(printed);
    }

    fn forget(&mut self, kernel: Number) {
        if let Some(child) = self.kernels.remove(&kernel) {
            self.leaves(child);
        }
    }

    /// While nobody waits children are forked ahead, and the next one is warmed up.
    fn rests(&mut self, orders: BorrowedFd<'_>) {
        while !readable(orders, REST) {
            self.clears();
            if self.ready.len() < self.reserve {
                match self.fork() {
                    Ok(child) => self.ready.push_back(child),
                    // Whoever needs one is told why there is none.
                    Err(_) => return,
                }
            } else if self.ready.front_mut().is_none_or(Child::is_warm) && self.leaving.is_empty() {
                return;
            }
        }
    }
}

fn sending(reporter: &Reporter) -> Send {
    let reporter = reporter.clone();
    Box::new(move |event| reporter.event(event))
}

#[allow(unsafe_code, reason = "poll has no safe wrapper in std")]
fn readable(descriptor: BorrowedFd<'_>, within: Duration) -> bool {
    let mut wanted = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let within = libc::c_int::try_from(within.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the pointer is to one entry of ours.
    unsafe { libc::poll(&raw mut wanted, 1, within) != 0 }
}
