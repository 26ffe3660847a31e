//! The configuration of a jail.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The set of layers that a jail has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JailProfile {
    /// Namespaces and a file tree, and all layers of [`JailProfile::Reduced`] behind them.
    Full,
    /// Landlock, seccomp, limits and a user of its own: for containers that forbid namespaces.
    Reduced,
}

/// The configuration of a jail.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JailConfig {
    /// `None`: full where the system allows it, else reduced.
    pub profile: Option<JailProfile>,
    /// Folders that programs may read: Python's own, the packages. They keep their paths in both profiles. The
    /// system's libraries, time zones and fonts are added.
    pub readable: Vec<PathBuf>,
    /// Folder for the private folders of children, in the reduced profile. It is made where it is missing. What a killed
    /// process leaves in it is removed by the next process with the same folder, or by its parent.
    pub scratch: PathBuf,
    /// Bytes that a child may have in `/home/user` and `/tmp` together.
    pub scratch_bytes: u64,
    /// FileAccess and folders that a child may have there.
    pub scratch_entries: u64,
    /// Threads that a child may have.
    pub threads: u64,
    /// Descriptors that a child may hold.
    pub descriptors: u64,
    /// Bytes of memory that this process and all its children may have together, including files in memory and the
    /// kernel's memory for them. `None`: there is no limit but that of each child.
    pub memory_total: Option<u64>,
    /// Threads that they may have together.
    pub threads_total: Option<u64>,
}
