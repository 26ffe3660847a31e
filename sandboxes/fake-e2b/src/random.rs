//! The stand-in's randomness: one generator, one seed.

use std::sync::{Mutex, PoisonError};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

pub(crate) struct SeededRandom {
    /// Held for one draw.
    generator: Mutex<ChaCha8Rng>,
}

impl SeededRandom {
    pub(crate) fn new(seed: u64) -> Self {
        Self { generator: Mutex::new(ChaCha8Rng::seed_from_u64(seed)) }
    }

    pub(crate) fn next_u64(&self) -> u64 {
        self.generator.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    /// Returns a number from 0 to 1, without 1.
    pub(crate) fn fraction(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
        let drawn = (self.next_u64() >> 11) as f64;
        drawn / (1_u64 << 53) as f64
    }

    /// Returns `true` in this percentage of calls. Zero percent draws no number.
    pub(crate) fn is_hit(&self, percent: f64) -> bool {
        percent > 0.0 && self.fraction() * 100.0 < percent
    }

    /// Draws from the standard normal distribution (Box and Muller).
    pub(crate) fn normal(&self) -> f64 {
        let (radius, angle) = (1.0 - self.fraction(), self.fraction());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// Returns a text of lower-case letters and digits, as E2B's ids have them.
    pub(crate) fn alphanumeric(&self, length: usize) -> String {
        const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        (0..length).map(|_| char::from(LETTERS[(self.next_u64() % 36) as usize])).collect()
    }

    /// Returns a random UUID (version 4).
    pub(crate) fn uuid(&self) -> String {
        let (high, low) = (self.next_u64(), self.next_u64());
        uuid::Builder::from_random_bytes(Uuid::from_u64_pair(high, low).into_bytes()).into_uuid().to_string()
    }
}
