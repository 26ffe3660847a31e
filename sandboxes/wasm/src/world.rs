//! The world that a program asks: the real one, one made of a seed, or one whose answers are kept and given again.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use switchtower_contract::Tape;

/// Every look at a virtual clock moves it on, so that a loop that waits for time to pass ends.
const VIRTUAL_STEP: Duration = Duration::from_micros(1);
/// Readings of a clock that are kept of one cell: 64 KB. Who polls a clock is not run again.
const READINGS: usize = 8192;

/// Where answers come from.
pub(crate) enum World {
    /// The machine's clock and the system's randomness.
    Real,
    /// A virtual clock and a random stream, both made of a seed.
    Seeded(Box<Seeded>),
    /// The machine's clock, and randomness from a seed of the system's; both are kept.
    Recording(Box<ChaCha12Rng>, Tape),
    /// What was kept is given again.
    Playing(Box<ChaCha12Rng>, Played),
}

pub(crate) struct Seeded {
    passed: Duration,
    chance: ChaCha12Rng,
}

/// A tape that runs.
pub(crate) struct Played {
    tape: Tape,
    next: usize,
    /// Something was asked that was not asked then.
    diverged: bool,
}

impl Seeded {
    /// Time on the virtual clock, without what was slept.
    pub(crate) fn tick(&mut self) -> Duration {
        self.passed += VIRTUAL_STEP;
        self.passed
    }
}

impl World {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::Seeded(Box::new(Seeded { passed: Duration::ZERO, chance: ChaCha12Rng::seed_from_u64(seed) }))
    }

    pub(crate) fn recording() -> Self {
        let mut seed = [0; 32];
        fill_from_system(&mut seed);
        Self::Recording(Box::new(ChaCha12Rng::from_seed(seed)), Tape { seed, ..Tape::default() })
    }

    pub(crate) fn playing(tape: &Tape) -> Self {
        let played = Played { tape: tape.clone(), next: 0, diverged: tape.incomplete };
        Self::Playing(Box::new(ChaCha12Rng::from_seed(tape.seed)), played)
    }

    /// A clock's reading: what the machine says, or what this world makes of it.
    pub(crate) fn reading(&mut self, real: Duration, seeded: impl FnOnce(&mut Seeded) -> Duration) -> Duration {
        match self {
            Self::Real => real,
            Self::Seeded(world) => seeded(world),
            Self::Recording(_, tape) => {
                if tape.clock.len() < READINGS {
                    tape.clock.push(nanoseconds(real));
                } else {
                    tape.incomplete = true;
                }
                real
            }
            Self::Playing(_, played) => match played.tape.clock.get(played.next) {
                Some(reading) => {
                    played.next += 1;
                    Duration::from_nanos(*reading)
                }
                None => {
                    played.diverged = true;
                    real
                }
            },
        }
    }

    pub(crate) fn draw(&mut self, bytes: &mut [u8]) {
        match self {
            // Not cryptographic strength is at stake but two programs never drawing the same: the system's own source.
            Self::Real => fill_from_system(bytes),
            Self::Seeded(world) => world.chance.fill_bytes(bytes),
            Self::Recording(chance, _) | Self::Playing(chance, _) => chance.fill_bytes(bytes),
        }
    }

    /// What was kept; none of another world, and none where a play went another way than the recording.
    pub(crate) fn tape(self) -> Option<Tape> {
        match self {
            Self::Recording(_, tape) => Some(tape),
            Self::Playing(_, played) if !played.diverged && played.next == played.tape.clock.len() => Some(played.tape),
            Self::Playing(..) | Self::Real | Self::Seeded(_) => None,
        }
    }
}

pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[allow(unsafe_code, reason = "getrandom has no safe wrapper in libc")]
fn fill_from_system(mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        // SAFETY: the pointer and the length are those of one slice that is ours alone.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        match usize::try_from(got) {
            Ok(got) => bytes = &mut bytes[got..],
            // Interrupted by a signal; getrandom has no other failure here.
            Err(_) => continue,
        }
    }
}
