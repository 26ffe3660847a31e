//! All chance in the program comes from one seed, forked by name.

use rand::SeedableRng;
use rand_chacha::{ChaCha8Rng, ChaCha20Rng};

/// A seed. Rooms get a fork with their own name, so that one room's draws never shift another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// From the operating system's randomness.
    ///
    /// # Errors
    /// The operating system has none to give.
    pub fn from_system() -> Result<Self, std::io::Error> {
        let mut bytes = [0; 32];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
        Ok(Self(bytes))
    }

    /// The same number gives the same story.
    pub fn fixed(number: u64) -> Self {
        Self(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    /// A seed of its own for the room with this name.
    #[must_use]
    pub fn fork(&self, name: &str) -> Self {
        Self(*blake3::keyed_hash(&self.0, name.as_bytes()).as_bytes())
    }

    /// For what nobody may guess.
    pub fn strong_rng(&self) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(self.0)
    }

    pub fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.0)
    }
}
