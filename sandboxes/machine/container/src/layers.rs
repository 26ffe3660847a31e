//! The layers of isolation of a container.

use serde::{Deserialize, Serialize};

/// One layer of isolation or one limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    pub name: String,
    /// `Err`: it is not in force, with the reason.
    pub status: Result<(), String>,
}

impl Layer {
    pub(crate) fn new(name: &str, status: Result<(), impl ToString>) -> Self {
        Self { name: name.to_owned(), status: status.map_err(|why| why.to_string()) }
    }

    pub(crate) fn in_force(name: &str) -> Self {
        Self { name: name.to_owned(), status: Ok(()) }
    }
}
