//! Exit codes: a program's own code is passed through; the codes of Switchtower are listed here.

use switchtower_core::error::{Error, RequestError};
use switchtower_core::request::Invalid;

use crate::assemble::BuildError;
use crate::config::ConfigError;

/// An argument, a setting or an input is wrong. Nothing ran.
pub(super) const USAGE: u8 = 2;
/// Switchtower failed; the request may be valid.
pub(super) const FAILED: u8 = 125;
/// Interrupted by SIGINT: 128 + 2, as in a shell.
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
        let code = if error.is_setting { USAGE } else { FAILED };
        Self { code, message: error.to_string() }
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
