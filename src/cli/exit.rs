//! Exit codes: the program's own passes through, ours are few.

use switchtower_core::error::{Error, RequestError};
use switchtower_core::request::Invalid;

use crate::assemble::BuildError;
use crate::config::ConfigError;

/// An argument, a setting or an input is wrong. Nothing ran.
pub(super) const USAGE: u8 = 2;
/// Switchtower could not do it.
pub(super) const FAILED: u8 = 125;
/// SIGINT, as a shell counts it.
pub(super) const INTERRUPTED: u8 = 130;

/// Why a command failed: its exit code and its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    pub code: u8,
    pub message: String,
}

impl CliError {
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: message.into() }
    }
}

impl From<RequestError> for CliError {
    fn from(refused: RequestError) -> Self {
        refused.error.into()
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        Self { code: error.class().exit_code, message: error.to_string() }
    }
}

impl From<BuildError> for CliError {
    fn from(error: BuildError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<Invalid> for CliError {
    fn from(invalid: Invalid) -> Self {
        Self::usage(invalid.to_string())
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}
