//! Ids of sessions and contexts.

use std::sync::{Mutex, PoisonError};

use rand::{Rng, RngExt};
use rand_chacha::ChaCha20Rng;

/// A source of ids that cannot be guessed.
pub(super) struct IdSource(Mutex<ChaCha20Rng>);

impl IdSource {
    pub(super) fn new(random: ChaCha20Rng) -> Self {
        Self(Mutex::new(random))
    }

    /// Runs `draw` with the random generator.
    pub(super) fn draw<T>(&self, draw: impl FnOnce(&mut ChaCha20Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns a session id: `i` and twenty lowercase letters and digits, the form of E2B's sandbox ids.
    pub(super) fn session(&self) -> String {
        const LETTERS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut id = String::from("i");
        self.draw(|random| id.extend((0..20).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))));
        id
    }

    /// Returns a random UUID (RFC 9562, version 4).
    pub(super) fn uuid(&self) -> String {
        let mut bytes = [0; 16];
        self.draw(|random| random.fill_bytes(&mut bytes));
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}
