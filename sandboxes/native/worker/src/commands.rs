//! Orders: taken from each connection, begun, looked after and reported, as many at a time as there are connections.

use std::io;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchtower_contract::CellOutcome;
use switchtower_jail::ProcessEnd;
use switchtower_worker::frames::{KernelNumber, WorkerCommand, WorkerReport};
use switchtower_worker::memory;

use crate::connection::Connection;
use crate::outcome::RunOutcome;
use crate::supervise::{Signals, SupervisedRun, TICK};
use crate::zygote::{InternalOutput, Zygote};

/// A connection, and the child that works on its order.
struct ServedConnection {
    connection: Connection,
    work: Option<RunningCommand>,
}

/// An order under way.
struct RunningCommand {
    watch: SupervisedRun,
    kind: CommandKind,
}

enum CommandKind {
    Program,
    Cell(KernelNumber),
    /// Code of the parent's own, with what it printed.
    Internal(KernelNumber, Arc<Mutex<InternalOutput>>),
}

/// What became of waiting.
enum PollResult {
    /// Nothing happened.
    Timeout,
    /// Descriptors that something happened on.
    Ready(Vec<RawFd>),
}

impl Zygote {
    /// Takes orders from these connections until the parent closes one.
    ///
    /// # Errors
    /// What came was no order.
    pub(crate) fn serve(mut self, sockets: Vec<Arc<UnixStream>>) -> io::Result<()> {
        let all_served = sockets
            .into_iter()
            .map(|socket| Connection::new(socket).map(|connection| ServedConnection { connection, work: None }));
        let mut all_served: Vec<ServedConnection> = all_served.collect::<io::Result<_>>()?;
        loop {
            match self.poll(&all_served) {
                // Nothing is to be prepared either: it has been idle for a while.
                PollResult::Timeout
                    if self.preparation_pause().is_none() && all_served.iter().all(|served| served.work.is_none()) =>
                {
                    memory::release_free_memory();
                    self.has_given_back = true;
                }
                PollResult::Timeout => self.prepare(),
                PollResult::Ready(ready) => {
                    for served in &mut all_served {
                        match self.handle(served, &ready) {
                            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                            served => served?,
                        }
                    }
                    continue;
                }
            }
            for served in &mut all_served {
                self.supervise(served, &[]);
            }
        }
    }

    /// Waits for whatever comes next.
    #[allow(unsafe_code, reason = "poll has no safe wrapper in std")]
    fn poll(&self, all_served: &[ServedConnection]) -> PollResult {
        let mut all = Vec::with_capacity(all_served.len() * 2);
        let mut wants = |fd: RawFd, reads: bool, writes: bool| {
            let events = if reads { libc::POLLIN } else { 0 } | if writes { libc::POLLOUT } else { 0 };
            if fd >= 0 && events != 0 {
                all.push(libc::pollfd { fd, events, revents: 0 });
            }
        };
        let mut within = self.preparation_pause().or_else(|| (!self.has_given_back).then_some(memory::IDLE));
        for ServedConnection { connection, work } in all_served {
            let hears = work.as_ref().is_none_or(|work| work.watch.is_cancellable());
            wants(connection.descriptor(), hears, !connection.reports().is_empty());
            let Some(work) = work else { continue };
            let congested = connection.reports().is_congested();
            let ([socket, stdout, stderr, pidfd], writes) = work.watch.descriptors(congested);
            wants(socket, !congested, writes);
            for fd in [stdout, stderr, pidfd] {
                wants(fd, true, false);
            }
            within = Some(within.unwrap_or(TICK).min(work.watch.next_step_within().max(Duration::from_millis(1))));
        }
        let within = within.map_or(-1, |within| libc::c_int::try_from(within.as_millis()).unwrap_or(1));
        // SAFETY: the pointer is to as many entries of ours as is said.
        let ready = unsafe { libc::poll(all.as_mut_ptr(), all.len() as libc::nfds_t, within) };
        if ready <= 0 {
            return PollResult::Timeout;
        }
        PollResult::Ready(all.into_iter().filter(|one| one.revents != 0).map(|one| one.fd).collect())
    }

    /// Looks after what works on a connection; where nothing does, begins with its next order.
    fn handle(&mut self, served: &mut ServedConnection, ready: &[RawFd]) -> io::Result<()> {
        self.supervise(served, ready);
        if served.work.is_none()
            && ready.contains(&served.connection.descriptor())
            && let Some(order) = served.connection.order()?
        {
            self.begin(order, served);
            self.supervise(served, &[]);
        }
        served.connection.flush();
        Ok(())
    }

    /// Looks after the child that works on a connection, where there is something to see.
    fn supervise(&mut self, served: &mut ServedConnection, ready: &[RawFd]) {
        let ServedConnection { connection, work } = served;
        let Some(mut at_work) = work.take() else {
            connection.flush();
            return;
        };
        let congested = connection.reports().is_congested();
        let ([socket, stdout, stderr, pidfd], _) = at_work.watch.descriptors(false);
        let is_heard = [socket, stdout, stderr, pidfd, connection.descriptor()].iter().any(|fd| ready.contains(fd));
        if !is_heard && !at_work.watch.is_due() {
            *work = Some(at_work);
            return;
        }
        let cancelled = at_work.watch.is_cancellable() && connection.is_cancelled();
        let look = Signals { cancelled, congested, ended: ready.contains(&pidfd) };
        match at_work.watch.step(&self.context(), look) {
            None => *work = Some(at_work),
            Some(end) => {
                let report = self.finish(at_work, end);
                connection.reports().push(&report);
            }
        }
        connection.flush();
    }

    /// Begins with an order. What ends at once is reported at once.
    fn begin(&mut self, order: WorkerCommand, served: &mut ServedConnection) {
        self.may_fork = true;
        self.has_given_back = false;
        let ServedConnection { connection, work } = served;
        let reports = connection.reports();
        let report = match order {
            WorkerCommand::RunProgram { program, limits } => match self.start_program(program, limits, connection) {
                Ok(watch) => {
                    *work = Some(RunningCommand { watch, kind: CommandKind::Program });
                    return;
                }
                Err(fault) => WorkerReport::ProgramEnded(Err(fault)),
            },
            WorkerCommand::RunCell { kernel, options, cell, limits } => {
                match self.start_cell(kernel, options, cell, limits, connection) {
                    Ok(watch) => {
                        self.busy_kernels += 1;
                        *work = Some(RunningCommand { watch, kind: CommandKind::Cell(kernel) });
                        return;
                    }
                    Err(fault) => WorkerReport::CellEnded(Err(fault)),
                }
            }
            WorkerCommand::RunInternal { kernel, code, max_time } => {
                match self.start_internal(kernel, code, max_time) {
                    Ok((watch, printed)) => {
                        self.busy_kernels += 1;
                        *work = Some(RunningCommand { watch, kind: CommandKind::Internal(kernel, printed) });
                        return;
                    }
                    Err(fault) => WorkerReport::InternalOutput(Err(fault)),
                }
            }
            WorkerCommand::CloseKernel { kernel } => {
                if let Some(child) = self.kernels.remove(&kernel) {
                    self.retire(child);
                }
                WorkerReport::KernelClosed
            }
            // What it was for has ended by itself.
            WorkerCommand::Cancel => return,
        };
        reports.push(&report);
    }

    /// What is reported of the end of a child's work. A kernel that lives is kept before anybody hears of it.
    fn finish(&mut self, work: RunningCommand, end: Option<ProcessEnd>) -> WorkerReport {
        let RunningCommand { watch, kind } = work;
        let (RunOutcome { ended, changes, alive }, mut child) = watch.finish(end, &self.context());
        match kind {
            CommandKind::Program => {
                self.retire(child);
                WorkerReport::ProgramEnded(ended)
            }
            CommandKind::Cell(number) => {
                child.unreported_changes.extend(changes);
                // Nobody hears of what a cell did that was broken off: the next one tells it.
                let changes = if ended.is_ok() { std::mem::take(&mut child.unreported_changes) } else { Vec::new() };
                self.return_kernel(number, child, alive);
                WorkerReport::CellEnded(ended.map(|outcome| CellOutcome { outcome, changes, tape: None, alive }))
            }
            CommandKind::Internal(number, printed) => {
                self.return_kernel(number, child, alive);
                let printed = std::mem::take(&mut *printed.lock().unwrap_or_else(PoisonError::into_inner));
                WorkerReport::InternalOutput(ended.and_then(|outcome| printed.evaluate(&outcome, alive)))
            }
        }
    }
}
