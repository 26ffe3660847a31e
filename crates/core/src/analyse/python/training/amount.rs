//! Numbers of which the source may show only a lower bound.

use std::ops::{Add, Mul};

/// The largest number, so that products stay finite.
const MAX: f64 = 1e30;

/// A number, or a lower bound of it where the source does not show it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Amount {
    pub(super) at_least: f64,
    pub(super) exact: bool,
}

impl Amount {
    pub(super) const ONE: Self = Self { at_least: 1.0, exact: true };
    pub(super) const ZERO: Self = Self { at_least: 0.0, exact: true };
    pub(super) const UNKNOWN: Self = Self { at_least: 1.0, exact: false };

    pub(super) fn exactly(number: f64) -> Self {
        Self { at_least: number.clamp(0.0, MAX), exact: true }
    }

    /// Returns a number, or what is known of it if it is `None`.
    pub(super) fn or_unknown(number: Option<f64>) -> Self {
        number.map_or(Self::UNKNOWN, Self::exactly)
    }

    /// Returns this lower bound for a number that also depends on `other`.
    pub(super) fn and(self, other: Self) -> Self {
        Self { exact: self.exact && other.exact, ..self }
    }

    pub(super) fn min(self, most: f64) -> Self {
        Self { at_least: self.at_least.min(most), exact: self.exact || self.at_least >= most }
    }
}

impl Mul for Amount {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self { at_least: (self.at_least * other.at_least).min(MAX), exact: self.exact && other.exact }
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { at_least: (self.at_least + other.at_least).min(MAX), exact: self.exact && other.exact }
    }
}
