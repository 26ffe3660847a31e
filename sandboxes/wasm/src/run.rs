//! One run: the inputs of its program, the effects it had, and the limits that remain.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use switchtower_contract::{
    Cell, Effect, Effects, Escalation, Event, Failure, KernelOptions, Limits, Need, Program, Randomness, Tape,
};
use switchtower_worker::output::{OutputBuffer, SendEvent};

use crate::inputs::Inputs;
use crate::instance::clock_time;

/// Returns whether a run is cancelled. Called on every tick.
pub(crate) type Cancel = Box<dyn Fn() -> bool + Send>;

/// Why a program was stopped by the host. It passes through the engine as the error of a host call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("out of time")]
    TimedOut,
    #[error("cancelled")]
    Cancelled,
    #[error("exited with code {0}")]
    Exited(i32),
    #[error("needs {0}")]
    Need(Need),
}

/// The start of the virtual clock of a seeded program: 2026-01-01 00:00 UTC.
const VIRTUAL_ORIGIN: Duration = Duration::from_secs(1_767_225_600);

/// The state of one run. WASI's clocks, streams and randomness share it with the engine's callbacks.
pub(crate) struct Run {
    started: Instant,
    wall_at_start: Duration,
    slept: Duration,
    /// How far the clocks are ahead of those of the host: what the cells before it have slept.
    ahead: Duration,
    /// Zero in a program.
    uptime_at_start: Duration,
    inputs: Inputs,
    limits: Limits,
    stdin: Bytes,
    stdin_given: bool,
    environment: Vec<(String, String)>,
    environment_given: bool,
    cancel: Cancel,
    pub(crate) effects: Effects,
    pub(crate) unmet_need: Option<Need>,
    pub(crate) output: OutputBuffer,
}

impl Run {
    /// Returns the run of an instance without a program: output is discarded, and the time limit is short.
    pub(crate) fn without_program() -> Self {
        Self {
            started: now(),
            wall_at_start: Duration::ZERO,
            slept: Duration::ZERO,
            ahead: Duration::ZERO,
            uptime_at_start: Duration::ZERO,
            inputs: Inputs::seeded(0),
            limits: Limits { wall: Duration::from_secs(60), ..Limits::default() },
            stdin: Bytes::new(),
            stdin_given: true,
            environment: Vec::new(),
            environment_given: true,
            cancel: Box::new(|| false),
            effects: Effects::NONE,
            unmet_need: None,
            output: OutputBuffer::closed(),
        }
    }

    pub(crate) fn for_program(program: &Program, limits: &Limits, send: SendEvent, cancel: Cancel) -> Self {
        let inputs = match program.randomness {
            Randomness::Seeded(seed) => Inputs::seeded(seed),
            Randomness::Fresh => Inputs::Real,
        };
        Self {
            started: now(),
            wall_at_start: since_1970(),
            slept: Duration::ZERO,
            ahead: Duration::ZERO,
            uptime_at_start: Duration::ZERO,
            inputs,
            limits: limits.clone(),
            stdin: Bytes::from(program.stdin.clone().unwrap_or_default()),
            stdin_given: program.stdin.is_some(),
            environment: program.env.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
            environment_given: program.env.is_some(),
            cancel,
            effects: Effects::NONE,
            unmet_need: None,
            output: OutputBuffer::open(send, limits.output),
        }
    }

    /// `before`: the run of the cell before it, or of the instance.
    pub(crate) fn for_cell(
        before: &Self,
        options: &KernelOptions,
        cell: &Cell,
        limits: &Limits,
        send: SendEvent,
        cancel: Cancel,
    ) -> Self {
        Self {
            started: now(),
            wall_at_start: since_1970(),
            slept: Duration::ZERO,
            ahead: before.ahead + before.slept,
            uptime_at_start: clock_time(libc::CLOCK_MONOTONIC),
            inputs: cell.tape.as_ref().map_or_else(Inputs::recording, Inputs::replaying),
            limits: limits.clone(),
            stdin: Bytes::from(cell.stdin.clone().unwrap_or_default()),
            // Without standard input the guest raises by itself, which is no effect.
            stdin_given: true,
            environment: options.env.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            environment_given: true,
            cancel,
            effects: Effects::NONE,
            unmet_need: None,
            output: OutputBuffer::open(send, limits.output),
        }
    }

    /// Returns the recorded inputs; `None` where they were not recorded, or a replay differed from the recording.
    pub(crate) fn tape(&mut self) -> Option<Tape> {
        std::mem::replace(&mut self.inputs, Inputs::Real).tape()
    }

    /// Returns the time that the program has used, virtual sleep included.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed() + self.slept
    }

    pub(crate) fn real_time(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn check(&self) -> Result<(), Stop> {
        if (self.cancel)() || !self.output.has_receiver() {
            return Err(Stop::Cancelled);
        }
        if self.elapsed() >= self.limits.wall {
            return Err(self.out_of_time());
        }
        Ok(())
    }

    fn out_of_time(&self) -> Stop {
        match self.limits.escalation {
            Escalation::OnNeed => Stop::Need(Need::Time(self.limits.wall)),
            Escalation::Never => Stop::TimedOut,
        }
    }

    pub(crate) fn sleep(&mut self, time: Duration) -> Result<(), Stop> {
        // Output before a pause is to arrive before it.
        self.output.flush();
        self.slept = self.slept.saturating_add(time);
        self.check()
    }

    pub(crate) fn lack(&mut self, need: Need) -> Result<(), Stop> {
        match self.limits.escalation {
            Escalation::OnNeed => Err(Stop::Need(need)),
            Escalation::Never => {
                self.unmet_need.get_or_insert(need);
                Ok(())
            }
        }
    }

    /// Returns the time since the start of the program; in a cell that of the host, which goes on from cell to cell and in a machine
    /// of this host.
    pub(crate) fn monotonic(&mut self) -> Duration {
        self.effects.add(Effect::Clock);
        let (now, slept) = (self.uptime_at_start + self.ahead + self.elapsed(), self.slept);
        self.inputs.reading(now, |seeded| seeded.tick() + slept)
    }

    /// Returns the time since 1970.
    pub(crate) fn wall_clock(&mut self) -> Duration {
        self.effects.add(Effect::Clock);
        let (now, slept) = (self.wall_at_start + self.ahead + self.elapsed(), self.slept);
        self.inputs.reading(now, |seeded| VIRTUAL_ORIGIN + seeded.tick() + slept)
    }

    /// Returns the start of the program, since 1970.
    pub(crate) fn began(&mut self) -> Duration {
        self.effects.add(Effect::Clock);
        let began = self.wall_at_start;
        self.inputs.reading(began, |_| VIRTUAL_ORIGIN)
    }

    pub(crate) fn random(&mut self, bytes: &mut [u8]) {
        self.effects.add(Effect::Randomness);
        self.inputs.fill_random(bytes);
    }

    /// Returns up to `max` bytes of standard input; none at its end.
    pub(crate) fn read(&mut self, max: usize) -> Bytes {
        if self.stdin.is_empty() && !self.stdin_given {
            self.effects.add(Effect::Stdin);
        }
        let max = max.min(self.stdin.len());
        self.stdin.split_to(max)
    }

    /// Returns the environment variables of the program.
    pub(crate) fn environment(&mut self) -> Vec<(String, String)> {
        if !self.environment_given {
            self.effects.add(Effect::Environment);
        }
        self.environment.clone()
    }

    /// Reports the exception that ended the run.
    pub(crate) fn fail(&mut self, failure: Failure) {
        self.output.flush();
        self.output.event(Event::Error(failure));
    }
}

#[allow(clippy::disallowed_methods, reason = "programs run in real time")]
fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods, reason = "programs see the real date")]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
