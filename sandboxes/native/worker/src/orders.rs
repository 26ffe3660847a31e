//! Orders: taken from each connection, begun, looked after and reported, as many at a time as there are connections.

use std::io;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchtower_contract::Ran;
use switchtower_jail::End;
use switchtower_worker::frames::{KernelNumber, WorkerCommand, WorkerReport};
use switchtower_worker::memory;

use crate::attend::{Look, TICK, Watch};
use crate::connection::Connection;
use crate::finish::Finish;
use crate::zygote::{Printed, Zygote};

/// A connection, and the child that works on its order.
struct Served {
    connection: Connection,
    work: Option<Work>,
}

/// An order under way.
struct Work {
    watch: Watch,
    kind: Kind,
}

enum Kind {
    Program,
    Cell(KernelNumber),
    /// Code of the parent's own, with what it printed.
    Own(KernelNumber, Arc<Mutex<Printed>>),
}

/// What became of waiting.
enum Wakeup {
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
            .map(|socket| Connection::new(socket).map(|connection| Served { connection, work: None }));
        let mut all_served: Vec<Served> = all_served.collect::<io::Result<_>>()?;
        loop {
            match self.poll(&all_served) {
                // Nothing is to be prepared either: it has been idle for a while.
                Wakeup::Timeout
                    if self.preparation_pause().is_none() && all_served.iter().all(|served| served.work.is_none()) =>
                {
                    memory::release_free_memory();
                    self.has_given_back = true;
                }
                Wakeup::Timeout => self.prepare(),
                Wakeup::Ready(ready) => {
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
    fn poll(&self, all_served: &[Served]) -> Wakeup {
        let mut all = Vec::with_capacity(all_served.len() * 2);
        let mut wants = |fd: RawFd, reads: bool, writes: bool| {
            let events = if reads { libc::POLLIN } else { 0 } | if writes { libc::POLLOUT } else { 0 };
            if fd >= 0 && events != 0 {
                all.push(libc::pollfd { fd, events, revents: 0 });
            }
        };
        let mut within = self.preparation_pause().or_else(|| (!self.has_given_back).then_some(memory::IDLE));
        for Served { connection, work } in all_served {
            let hears = work.as_ref().is_none_or(|work| work.watch.may_be_cancelled());
            wants(connection.descriptor(), hears, !connection.reports().is_empty());
            let Some(work) = work else { continue };
            let congested = connection.reports().is_congested();
            let ([speaks, stdout, stderr, pidfd], writes) = work.watch.descriptors(congested);
            wants(speaks, !congested, writes);
            for fd in [stdout, stderr, pidfd] {
                wants(fd, true, false);
            }
            within = Some(within.unwrap_or(TICK).min(work.watch.next_step_within().max(Duration::from_millis(1))));
        }
        let within = within.map_or(-1, |within| libc::c_int::try_from(within.as_millis()).unwrap_or(1));
        // SAFETY: the pointer is to as many entries of ours as is said.
        let ready = unsafe { libc::poll(all.as_mut_ptr(), all.len() as libc::nfds_t, within) };
        if ready <= 0 {
            return Wakeup::Timeout;
        }
        Wakeup::Ready(all.into_iter().filter(|one| one.revents != 0).map(|one| one.fd).collect())
    }

    /// Looks after what works on a connection; where nothing does, begins with its next order.
    fn handle(&mut self, served: &mut Served, ready: &[RawFd]) -> io::Result<()> {
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
    fn supervise(&mut self, served: &mut Served, ready: &[RawFd]) {
        let Served { connection, work } = served;
        let Some(mut at_work) = work.take() else {
            connection.flush();
            return;
        };
        let congested = connection.reports().is_congested();
        let ([speaks, stdout, stderr, pidfd], _) = at_work.watch.descriptors(false);
        let is_heard = [speaks, stdout, stderr, pidfd, connection.descriptor()].iter().any(|fd| ready.contains(fd));
        if !is_heard && !at_work.watch.is_due() {
            *work = Some(at_work);
            return;
        }
        let cancelled = at_work.watch.may_be_cancelled() && connection.is_cancelled();
        let look = Look { cancelled, congested, ended: ready.contains(&pidfd) };
        match at_work.watch.step(&self.attention(), look) {
            None => *work = Some(at_work),
            Some(end) => {
                let report = self.finish(at_work, end);
                connection.reports().push(&report);
            }
        }
        connection.flush();
    }

    /// Begins with an order. What ends at once is reported at once.
    fn begin(&mut self, order: WorkerCommand, served: &mut Served) {
        self.may_fork = true;
        self.has_given_back = false;
        let Served { connection, work } = served;
        let reports = connection.reports();
        let report = match order {
            WorkerCommand::RunProgram { program, limits } => match self.runs(program, limits, connection) {
                Ok(watch) => {
                    *work = Some(Work { watch, kind: Kind::Program });
                    return;
                }
                Err(fault) => WorkerReport::ProgramEnded(Err(fault)),
            },
            WorkerCommand::RunCell { kernel, options, cell, limits } => {
                match self.runs_cell(kernel, options, cell, limits, connection) {
                    Ok(watch) => {
                        self.busy_kernels += 1;
                        *work = Some(Work { watch, kind: Kind::Cell(kernel) });
                        return;
                    }
                    Err(fault) => WorkerReport::CellEnded(Err(fault)),
                }
            }
            WorkerCommand::RunInternal { kernel, code, max_time } => match self.runs_own(kernel, code, max_time) {
                Ok((watch, printed)) => {
                    self.busy_kernels += 1;
                    *work = Some(Work { watch, kind: Kind::Own(kernel, printed) });
                    return;
                }
                Err(fault) => WorkerReport::InternalOutput(Err(fault)),
            },
            WorkerCommand::CloseKernel { kernel } => {
                if let Some(child) = self.kernels.remove(&kernel) {
                    self.leaves(child);
                }
                WorkerReport::KernelClosed
            }
            // What it was for has ended by itself.
            WorkerCommand::Cancel => return,
        };
        reports.push(&report);
    }

    /// What is reported of the end of a child's work. A kernel that lives is kept before anybody hears of it.
    fn finish(&mut self, work: Work, end: Option<End>) -> WorkerReport {
        let Work { watch, kind } = work;
        let (Finish { ended, changes, alive }, mut child) = watch.finish(end, &self.attention());
        match kind {
            Kind::Program => {
                self.leaves(child);
                WorkerReport::ProgramEnded(ended)
            }
            Kind::Cell(number) => {
                child.untold.extend(changes);
                // Nobody hears of what a cell did that was broken off: the next one tells it.
                let changes = if ended.is_ok() { std::mem::take(&mut child.untold) } else { Vec::new() };
                self.puts_back(number, child, alive);
                WorkerReport::CellEnded(ended.map(|outcome| Ran { outcome, changes, tape: None, alive }))
            }
            Kind::Own(number, printed) => {
                self.puts_back(number, child, alive);
                let printed = std::mem::take(&mut *printed.lock().unwrap_or_else(PoisonError::into_inner));
                WorkerReport::InternalOutput(ended.and_then(|outcome| printed.judged(&outcome, alive)))
            }
        }
    }
}
