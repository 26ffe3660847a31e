//! What `sudo` and the first process exchange: the length of the request as four bytes, big-endian, with the three standard streams
//! as descriptors; the request in JSON; then from `sudo` a byte for each signal, and from the first process the result in JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the first process listens.
pub(crate) const SOCKET: &str = "/run/switchtower.sudo";
/// Most bytes of a request.
pub(crate) const MAX_REQUEST_BYTES: usize = 4 << 20;
/// Most bytes of a result.
pub(crate) const MAX_RESULT_BYTES: u64 = 64 << 10;

/// A command to run.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SudoRequest {
    /// The name of the user, or `#` and the number of one.
    pub(crate) user: String,
    /// The program and its arguments; none: the user's shell.
    pub(crate) command: Vec<String>,
    /// How the user's shell runs the command.
    pub(crate) shell: Shell,
    pub(crate) env: BTreeMap<String, String>,
    /// The folder of the caller.
    pub(crate) cwd: Option<String>,
}

/// Whether the command is run by a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shell {
    None,
    /// In the folder of the caller.
    Here,
    /// As at a login, in the user's home folder.
    Login,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CommandResult {
    Code(i32),
    Signal(i32),
    /// It did not start.
    Refused(String),
}
