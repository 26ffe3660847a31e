//! The seed of all randomness in the process, forked by name.

use rand::SeedableRng;
use rand_chacha::{ChaCha8Rng, ChaCha20Rng};

/// A seed. Each module gets a fork with its own name, so that the draws of one do not change those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// Returns a seed from the operating system's random source.
    ///
    /// # Errors
    /// `/dev/urandom` cannot be read.
    pub fn from_system() -> Result<Self, std::io::Error> {
        let mut bytes = [0; 32];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
        Ok(Self(bytes))
    }

    /// Returns a seed derived from a number; equal numbers give equal seeds.
    pub fn fixed(number: u64) -> Self {
        Self(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    /// Returns the seed of the module with this name.
    #[must_use]
    pub fn fork(&self, name: &str) -> Self {
        Self(*blake3::keyed_hash(&self.0, name.as_bytes()).as_bytes())
    }

    /// Returns a generator for values that must be unpredictable, such as tokens.
    pub fn strong_rng(&self) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(self.0)
    }

    /// Returns a generator for everything else.
    pub fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.0)
    }
}
