//! All chance of a stand-in: one generator, one seed.

use std::sync::{Mutex, PoisonError};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) struct Chance {
    /// Protects the generator; held for one draw.
    generator: Mutex<ChaCha8Rng>,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self { generator: Mutex::new(ChaCha8Rng::seed_from_u64(seed)) }
    }

    pub(crate) fn number(&self) -> u64 {
        self.generator.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    /// Between nought and one, without one.
    pub(crate) fn share(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
        let drawn = (self.number() >> 11) as f64;
        drawn / (1_u64 << 53) as f64
    }

    /// So often in a hundred. What never happens draws nothing.
    pub(crate) fn happens(&self, percent: f64) -> bool {
        percent > 0.0 && self.share() * 100.0 < percent
    }

    /// The standard normal distribution (Box and Muller).
    pub(crate) fn normal(&self) -> f64 {
        let (radius, angle) = (1.0 - self.share(), self.share());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// Letters and digits, as the ids have them.
    pub(crate) fn word(&self, length: usize) -> String {
        const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        (0..length).map(|_| char::from(LETTERS[(self.number() % 36) as usize])).collect()
    }

    /// An id in the form of a random UUID.
    pub(crate) fn uuid(&self) -> String {
        let (high, low) = (self.number(), self.number());
        let (high, low) = ((high & !0xf000) | 0x4000, (low & !(0b11 << 62)) | (0b10 << 62));
        let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xffff);
        format!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
    }
}
