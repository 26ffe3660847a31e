//! What the caller learns of a start.

use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use switchtower_jail::Layer;

/// The container could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{step}: {why}")]
pub struct LaunchError {
    /// What failed.
    pub step: String,
    pub why: String,
}

impl LaunchError {
    pub(crate) fn new(step: &str, why: impl Display) -> Self {
        Self { step: step.to_owned(), why: why.to_string() }
    }
}

/// Adds the step to an error.
pub(crate) trait InStep<T> {
    fn during(self, step: &str) -> Result<T, LaunchError>;
}

impl<T, E: Display> InStep<T> for Result<T, E> {
    fn during(self, step: &str) -> Result<T, LaunchError> {
        self.map_err(|why| LaunchError::new(step, why))
    }
}

/// What the caller of [`launch`](crate::launch) learns, as one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchReport {
    /// The machine's first process runs.
    Started {
        layers: Vec<Layer>,
    },
    Failed {
        error: LaunchError,
    },
}

/// Sends the report. A caller that has left does not read it.
pub(crate) fn send(to: OwnedFd, report: &LaunchReport) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _ = File::from(to).write_all(&line);
    }
}
