//! One run: what its program was given, what it asked for, what it may still use.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use switchtower_contract::{
    Cell, Effect, Effects, Escalation, Event, Failure, KernelOptions, Limits, Need, Program, Randomness, Tape,
};
use switchtower_worker::output::{OutputBuffer, SendEvent};

use crate::world::World;

/// Whether a run is to be ended. Asked on every tick.
pub(crate) type Cancel = Box<dyn Fn() -> bool + Send>;

/// Why a program was stopped from outside. It travels through the engine as the error of a host call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("out of time")]
    TimedOut,
    #[error("cancelled")]
    Cancelled,
    #[error("left with code {0}")]
    Left(i32),
    #[error("needs {0}")]
    Lacks(Need),
}

/// The virtual clock of a seeded program begins here: 2026-01-01 00:00 UTC.
const VIRTUAL_ORIGIN: Duration = Duration::from_secs(1_767_225_600);

/// What one run may do and has done. WASI's clocks, streams and randomness share it with the engine's callbacks.
pub(crate) struct Run {
    started: Instant,
    wall_at_start: Duration,
    slept: Duration,
    world: World,
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
    /// Before a program is there: nothing is heard, nothing is noted, time is short.
    pub(crate) fn none() -> Self {
        Self {
            started: now(),
            wall_at_start: Duration::ZERO,
            slept: Duration::ZERO,
            world: World::seeded(0),
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

    pub(crate) fn of(program: &Program, limits: &Limits, send: SendEvent, cancel: Cancel) -> Self {
        let world = match program.randomness {
            Randomness::Seeded(seed) => World::seeded(seed),
            Randomness::Fresh => World::Real,
        };
        Self {
            started: now(),
            wall_at_start: since_1970(),
            slept: Duration::ZERO,
            world,
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

    pub(crate) fn of_cell(
        opening: &KernelOptions,
        cell: &Cell,
        limits: &Limits,
        send: SendEvent,
        cancel: Cancel,
    ) -> Self {
        Self {
            started: now(),
            wall_at_start: since_1970(),
            slept: Duration::ZERO,
            world: cell.tape.as_ref().map_or_else(World::recording, World::playing),
            limits: limits.clone(),
            stdin: Bytes::from(cell.stdin.clone().unwrap_or_default()),
            // Without any, the guest raises by itself: nothing is asked of the world.
            stdin_given: true,
            environment: opening.env.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            environment_given: true,
            cancel,
            effects: Effects::NONE,
            unmet_need: None,
            output: OutputBuffer::open(send, limits.output),
        }
    }

    /// What the world has answered; none where it was another world than the real one, or answered something else than
    /// when the cell ran first.
    pub(crate) fn tape(&mut self) -> Option<Tape> {
        std::mem::replace(&mut self.world, World::Real).tape()
    }

    /// Time that the program has had, real and slept.
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
            Escalation::OnNeed => Stop::Lacks(Need::Time(self.limits.wall)),
            Escalation::Never => Stop::TimedOut,
        }
    }

    pub(crate) fn sleep(&mut self, time: Duration) -> Result<(), Stop> {
        // What was printed before a pause is to be seen before it.
        self.output.flush();
        self.slept = self.slept.saturating_add(time);
        self.check()
    }

    pub(crate) fn lack(&mut self, need: Need) -> Result<(), Stop> {
        match self.limits.escalation {
            Escalation::OnNeed => Err(Stop::Lacks(need)),
            Escalation::Never => {
                self.unmet_need.get_or_insert(need);
                Ok(())
            }
        }
    }

    /// Nanoseconds of a clock that begins with the program.
    pub(crate) fn monotonic(&mut self) -> Duration {
        self.effects.add(Effect::Clock);
        let (now, slept) = (self.elapsed(), self.slept);
        self.world.reading(now, |seeded| seeded.tick() + slept)
    }

    /// Time since 1970.
    pub(crate) fn wall_clock(&mut self) -> Duration {
        self.effects.add(Effect::Clock);
        let (now, slept) = (self.wall_at_start + self.elapsed(), self.slept);
        self.world.reading(now, |seeded| VIRTUAL_ORIGIN + seeded.tick() + slept)
    }

    /// When the program began, since 1970.
    pub(crate) fn began(&mut self) -> Duration {
        self.effects.add(Effect::Clock);
        let began = self.wall_at_start;
        self.world.reading(began, |_| VIRTUAL_ORIGIN)
    }

    pub(crate) fn random(&mut self, bytes: &mut [u8]) {
        self.effects.add(Effect::Randomness);
        self.world.draw(bytes);
    }

    /// Up to `most` bytes of standard input; none: it is at its end.
    pub(crate) fn read(&mut self, most: usize) -> Bytes {
        if self.stdin.is_empty() && !self.stdin_given {
            self.effects.add(Effect::Stdin);
        }
        let most = most.min(self.stdin.len());
        self.stdin.split_to(most)
    }

    /// The variables that the program sees.
    pub(crate) fn environment(&mut self) -> Vec<(String, String)> {
        if !self.environment_given {
            self.effects.add(Effect::Environment);
        }
        self.environment.clone()
    }

    /// Tells of the exception that went through.
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
