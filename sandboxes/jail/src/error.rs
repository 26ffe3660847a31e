//! Errors of the jail.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

/// A required layer is not in force: nothing may run in this jail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{layer}: {why}")]
pub struct JailError {
    /// The layer's name, as in [`Jail::layers`](crate::Jail::layers).
    pub layer: String,
    pub why: String,
}

impl JailError {
    pub(crate) fn new(layer: &str, why: impl Display) -> Self {
        Self { layer: layer.to_owned(), why: why.to_string() }
    }
}

/// Adds the layer to an error.
pub(crate) trait OfLayer<T> {
    fn of(self, layer: &str) -> Result<T, JailError>;
}

impl<T, E: Display> OfLayer<T> for Result<T, E> {
    fn of(self, layer: &str) -> Result<T, JailError> {
        self.map_err(|why| JailError::new(layer, why))
    }
}
