//! What the walls are made for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How high the walls are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JailProfile {
    /// Namespaces and a file tree of their own, with everything that [`JailProfile::Reduced`] has behind them.
    Full,
    /// Landlock, seccomp, limits and a user of their own: for containers that forbid namespaces.
    Reduced,
}

/// What the walls are made for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JailConfig {
    /// None: full where the system allows it, else reduced.
    pub profile: Option<JailProfile>,
    /// Folders that programs may read: Python's own, the packages. They keep their paths in both profiles. The
    /// system's libraries, time zones and fonts are added.
    pub readable: Vec<PathBuf>,
    /// Folder for the private folders of children, in the reduced profile. It is made where it is missing. What a process
    /// that was killed leaves in it is removed by the next one that is given the same folder, or by its parent.
    pub scratch: PathBuf,
    /// Bytes that a child may have in `/home/user` and `/tmp` together.
    pub scratch_bytes: u64,
    /// FileAccess and folders that a child may have there.
    pub scratch_entries: u64,
    /// Threads that a child may have.
    pub threads: u64,
    /// Descriptors that a child may hold.
    pub descriptors: u64,
    /// Bytes of memory that this process and all its children may have together, files in memory and what the kernel
    /// keeps for them included. None: no more is said than what each may have.
    pub memory_total: Option<u64>,
    /// Threads that they may have together.
    pub threads_total: Option<u64>,
}
