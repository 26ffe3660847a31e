//! The nondeterministic inputs of a program (clocks and random numbers): real, seeded, recorded, or replayed.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use switchtower_contract::Tape;

/// Every reading of a virtual clock advances it, so that a loop that waits for time to pass ends.
const VIRTUAL_STEP: Duration = Duration::from_micros(1);
/// Most clock readings that are recorded of one cell: 64 KB. A cell with more cannot be replayed.
const MAX_READINGS: usize = 8192;

/// The source of the inputs.
pub(crate) enum Inputs {
    /// The machine's clock and the system's randomness.
    Real,
    /// A virtual clock and a random stream, both from a seed.
    Seeded(Box<Seeded>),
    /// The machine's clock, and random numbers from a seed of the system; both are recorded.
    Recording(Box<ChaCha12Rng>, Tape),
    /// The recorded inputs.
    Replaying(Box<ChaCha12Rng>, Replay),
}

pub(crate) struct Seeded {
    passed: Duration,
    random: ChaCha12Rng,
}

/// A tape that is replayed.
pub(crate) struct Replay {
    tape: Tape,
    next: usize,
    /// The program read more than was recorded.
    diverged: bool,
}

impl Seeded {
    /// Returns the time of the virtual clock, without virtual sleep.
    pub(crate) fn tick(&mut self) -> Duration {
        self.passed += VIRTUAL_STEP;
        self.passed
    }
}

impl Inputs {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::Seeded(Box::new(Seeded { passed: Duration::ZERO, random: ChaCha12Rng::seed_from_u64(seed) }))
    }

    pub(crate) fn recording() -> Self {
        let mut seed = [0; 32];
        fill_from_system(&mut seed);
        Self::Recording(Box::new(ChaCha12Rng::from_seed(seed)), Tape { seed, ..Tape::default() })
    }

    pub(crate) fn replaying(tape: &Tape) -> Self {
        let replay = Replay { tape: tape.clone(), next: 0, diverged: tape.incomplete };
        Self::Replaying(Box::new(ChaCha12Rng::from_seed(tape.seed)), replay)
    }

    /// Returns the reading of a clock: the machine's, or the one of this source.
    pub(crate) fn reading(&mut self, real: Duration, seeded: impl FnOnce(&mut Seeded) -> Duration) -> Duration {
        match self {
            Self::Real => real,
            Self::Seeded(world) => seeded(world),
            Self::Recording(_, tape) => {
                if tape.clock.len() < MAX_READINGS {
                    tape.clock.push(nanoseconds(real));
                } else {
                    tape.incomplete = true;
                }
                real
            }
            Self::Replaying(_, replay) => match replay.tape.clock.get(replay.next) {
                Some(reading) => {
                    replay.next += 1;
                    Duration::from_nanos(*reading)
                }
                None => {
                    replay.diverged = true;
                    real
                }
            },
        }
    }

    pub(crate) fn fill_random(&mut self, bytes: &mut [u8]) {
        match self {
            // The system's own source, so that two programs never get the same numbers.
            Self::Real => fill_from_system(bytes),
            Self::Seeded(world) => world.random.fill_bytes(bytes),
            Self::Recording(random, _) | Self::Replaying(random, _) => random.fill_bytes(bytes),
        }
    }

    /// Returns the tape; `None` for other sources, and where a replay differed from the recording.
    pub(crate) fn tape(self) -> Option<Tape> {
        match self {
            Self::Recording(_, tape) => Some(tape),
            Self::Replaying(_, replay) if !replay.diverged && replay.next == replay.tape.clock.len() => {
                Some(replay.tape)
            }
            Self::Replaying(..) | Self::Real | Self::Seeded(_) => None,
        }
    }
}

pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[allow(unsafe_code, reason = "getrandom has no safe wrapper in libc")]
fn fill_from_system(mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        // SAFETY: the pointer and the length are those of one exclusively borrowed slice.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        match usize::try_from(got) {
            Ok(got) => bytes = &mut bytes[got..],
            // Interrupted by a signal; getrandom has no other failure here.
            Err(_) => continue,
        }
    }
}
