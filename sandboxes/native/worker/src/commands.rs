//! Reads commands from each connection, starts and supervises their runs, and reports their ends; as many at a time as there
//! are connections.

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

/// A connection and its command.
struct ServedConnection {
    connection: Connection,
    running: Option<ServedCommand>,
}

/// A command that runs.
struct ServedCommand {
    run: SupervisedRun,
    kind: CommandKind,
}

enum CommandKind {
    Program,
    Cell(KernelNumber),
    /// Internal code, and what it printed.
    Internal(KernelNumber, Arc<Mutex<InternalOutput>>),
}

/// The result of polling.
enum PollResult {
    /// No event came in time.
    Timeout,
    /// Descriptors with events.
    Ready(Vec<RawFd>),
}

impl Zygote {
    /// Executes the commands of these connections until the parent closes one.
    ///
    /// # Errors
    /// Invalid bytes came instead of a command.
    pub(crate) fn serve(mut self, sockets: Vec<Arc<UnixStream>>) -> io::Result<()> {
        let connections = sockets
            .into_iter()
            .map(|socket| Connection::new(socket).map(|connection| ServedConnection { connection, running: None }));
        let mut connections: Vec<ServedConnection> = connections.collect::<io::Result<_>>()?;
        loop {
            match self.poll(&connections) {
                // There is nothing to prepare: the worker has been idle for a while.
                PollResult::Timeout
                    if self.preparation_pause().is_none()
                        && connections.iter().all(|served| served.running.is_none()) =>
                {
                    memory::release_free_memory();
                    self.has_released_memory = true;
                }
                PollResult::Timeout => self.prepare(),
                PollResult::Ready(ready) => {
                    for served in &mut connections {
                        match self.handle(served, &ready) {
                            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                            served => served?,
                        }
                    }
                    continue;
                }
            }
            for served in &mut connections {
                self.supervise(served, &[]);
            }
        }
    }

    /// Waits for the next event.
    #[allow(unsafe_code, reason = "poll has no safe wrapper in std")]
    fn poll(&self, connections: &[ServedConnection]) -> PollResult {
        let mut all = Vec::with_capacity(connections.len() * 2);
        let mut add = |fd: RawFd, reads: bool, writes: bool| {
            let events = if reads { libc::POLLIN } else { 0 } | if writes { libc::POLLOUT } else { 0 };
            if fd >= 0 && events != 0 {
                all.push(libc::pollfd { fd, events, revents: 0 });
            }
        };
        let mut within = self.preparation_pause().or_else(|| (!self.has_released_memory).then_some(memory::IDLE));
        for ServedConnection { connection, running } in connections {
            let reads = running.as_ref().is_none_or(|running| running.run.is_cancellable());
            add(connection.descriptor(), reads, !connection.reports().is_empty());
            let Some(running) = running else { continue };
            let congested = connection.reports().is_congested();
            let ([socket, stdout, stderr, pidfd], writes) = running.run.descriptors(congested);
            add(socket, !congested, writes);
            for fd in [stdout, stderr, pidfd] {
                add(fd, true, false);
            }
            within = Some(within.unwrap_or(TICK).min(running.run.next_step_within().max(Duration::from_millis(1))));
        }
        let within = within.map_or(-1, |within| libc::c_int::try_from(within.as_millis()).unwrap_or(1));
        // SAFETY: the pointer is to as many entries of ours as is said.
        let ready = unsafe { libc::poll(all.as_mut_ptr(), all.len() as libc::nfds_t, within) };
        if ready <= 0 {
            return PollResult::Timeout;
        }
        PollResult::Ready(all.into_iter().filter(|one| one.revents != 0).map(|one| one.fd).collect())
    }

    /// Supervises the run of a connection; where there is none, starts its next command.
    fn handle(&mut self, served: &mut ServedConnection, ready: &[RawFd]) -> io::Result<()> {
        self.supervise(served, ready);
        if served.running.is_none()
            && ready.contains(&served.connection.descriptor())
            && let Some(command) = served.connection.next_command()?
        {
            self.begin(command, served);
            self.supervise(served, &[]);
        }
        served.connection.flush();
        Ok(())
    }

    /// Does a step of the run of a connection, if it has events or a step is due.
    fn supervise(&mut self, served: &mut ServedConnection, ready: &[RawFd]) {
        let ServedConnection { connection, running: slot } = served;
        let Some(mut running) = slot.take() else {
            connection.flush();
            return;
        };
        let congested = connection.reports().is_congested();
        let ([socket, stdout, stderr, pidfd], _) = running.run.descriptors(false);
        let has_event = [socket, stdout, stderr, pidfd, connection.descriptor()].iter().any(|fd| ready.contains(fd));
        if !has_event && !running.run.is_due() {
            *slot = Some(running);
            return;
        }
        let cancelled = running.run.is_cancellable() && connection.is_cancelled();
        let signals = Signals { cancelled, congested, ended: ready.contains(&pidfd) };
        match running.run.step(&self.context(), signals) {
            None => *slot = Some(running),
            Some(end) => {
                let report = self.final_report(running, end);
                connection.reports().push(&report);
            }
        }
        connection.flush();
    }

    /// Starts a command. Reports the result of one that ends at once.
    fn begin(&mut self, command: WorkerCommand, served: &mut ServedConnection) {
        self.may_fork = true;
        self.has_released_memory = false;
        let ServedConnection { connection, running: slot } = served;
        let reports = connection.reports();
        let report = match command {
            WorkerCommand::RunProgram { program, limits } => match self.start_program(program, limits, connection) {
                Ok(run) => {
                    *slot = Some(ServedCommand { run, kind: CommandKind::Program });
                    return;
                }
                Err(fault) => WorkerReport::ProgramEnded(Err(fault)),
            },
            WorkerCommand::RunCell { kernel, language: _, options, cell, limits } => {
                match self.start_cell(kernel, options, cell, limits, connection) {
                    Ok(run) => {
                        self.busy_kernels += 1;
                        *slot = Some(ServedCommand { run, kind: CommandKind::Cell(kernel) });
                        return;
                    }
                    Err(fault) => WorkerReport::CellEnded(Err(fault)),
                }
            }
            WorkerCommand::RunInternal { kernel, code, max_time } => {
                match self.start_internal(kernel, code, max_time) {
                    Ok((run, printed)) => {
                        self.busy_kernels += 1;
                        *slot = Some(ServedCommand { run, kind: CommandKind::Internal(kernel, printed) });
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
            // The run that it was for has ended by itself.
            WorkerCommand::Cancel => return,
        };
        reports.push(&report);
    }

    /// Returns the last report of a command. Its kernel can take the next cell before the report is sent.
    fn final_report(&mut self, command: ServedCommand, end: Option<ProcessEnd>) -> WorkerReport {
        let ServedCommand { run, kind } = command;
        let (RunOutcome { ended, changes, alive }, mut child) = run.into_outcome(end, &self.context());
        match kind {
            CommandKind::Program => {
                self.retire(child);
                WorkerReport::ProgramEnded(ended)
            }
            CommandKind::Cell(number) => {
                child.unreported_changes.extend(changes);
                // The changes of a cell without an outcome are reported with the next one.
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
