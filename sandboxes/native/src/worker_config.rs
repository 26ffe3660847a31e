//! What a worker is told when it is started: the one argument of `switchtower-native`, as JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use switchtower_jail::JailProfile;

/// Everything that a worker must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerConfig {
    /// The prefix of its Python.
    pub home: PathBuf,
    /// The packages.
    pub site: PathBuf,
    /// Modules that are imported before the first program.
    pub preload: Vec<String>,
    /// Folders that programs may read, beside what the system's libraries are made of.
    pub readable: Vec<PathBuf>,
    /// Where children have private folders, in the profile without namespaces.
    pub scratch: PathBuf,
    /// The jail's profile; none: the full one where the system allows it.
    pub profile: Option<JailProfile>,
    /// Children that wait, jailed, for a program.
    pub prewarmed: usize,
    /// KernelPool that there is room for.
    pub kernels: usize,
    /// Bytes that a program may have in files.
    pub scratch_bytes: u64,
    /// Files and folders that it may have.
    pub scratch_entries: u64,
    /// Threads that it may have.
    pub threads: u64,
    /// Bytes of memory that the worker and all its children may have together, where the system lets it say so.
    pub memory_total: Option<u64>,
    /// Threads that they may have together, likewise.
    pub threads_total: Option<u64>,
}
