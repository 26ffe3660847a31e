//! A small random generator (splitmix64), so that the contract needs no crate for it.

use std::ops::Range;
use std::time::Duration;

#[derive(Debug, Clone)]
pub(super) struct Splitmix(u64);

impl Splitmix {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns true this many times in a thousand. Zero draws no number.
    pub(super) fn happens(&mut self, in_thousand: u32) -> bool {
        in_thousand > 0 && self.draw() % 1000 < u64::from(in_thousand)
    }

    /// Returns a time in this range, which must not be empty.
    pub(super) fn between(&mut self, range: &Range<Duration>) -> Duration {
        let width = u64::try_from((range.end - range.start).as_micros()).unwrap_or(u64::MAX).max(1);
        range.start + Duration::from_micros(self.draw() % width)
    }
}
