//! The configuration of a worker: the one argument of `switchtower-native`, as JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use switchtower_jail::JailProfile;

/// The configuration of a worker. A change of it is a change of the [protocol](switchtower_worker::protocol).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerConfig {
    /// The prefix of its Python.
    pub home: PathBuf,
    /// The packages.
    pub site: PathBuf,
    /// Modules that are imported before the first program.
    pub preload: Vec<String>,
    /// Folders that programs may read, beside the system's libraries.
    pub readable: Vec<PathBuf>,
    /// The folder for the private folders of children, in the profile without namespaces.
    pub scratch: PathBuf,
    /// The jail's profile; `None`: the full one where the system allows it.
    pub profile: Option<JailProfile>,
    /// Children that are forked ahead.
    pub prewarmed: usize,
    /// Most kernels.
    pub kernels: usize,
    /// Most bytes of a program's files.
    pub scratch_bytes: u64,
    /// Most files and folders of a program.
    pub scratch_entries: u64,
    /// Most threads of a program.
    pub threads: u64,
    /// Most bytes of memory of the worker and all its children, where a control group can be made.
    pub memory_total: Option<u64>,
    /// Most threads of them all, likewise.
    pub threads_total: Option<u64>,
}
