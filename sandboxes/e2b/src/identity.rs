//! The metadata of sandboxes that identifies their process, so that another process can end orphans.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The keys of the metadata. `MANAGED` is the same for every sandbox of Switchtower, regardless of its owner.
pub(crate) const MANAGED: (&str, &str) = ("switchtower-lease", "1");
pub(crate) const OWNER: &str = "switchtower-owner";
pub(crate) const PROCESS: &str = "switchtower-process";

/// Identifies this process, and finds out whether another one still runs.
#[derive(Clone)]
pub struct Identity {
    /// The owner of the sandboxes, for people who look at the account.
    pub owner: String,
    /// Identifies this process among all processes, earlier and later ones included.
    pub process: String,
    /// Returns whether the process with this identifier runs.
    pub liveness: Arc<dyn Fn(&str) -> Liveness + Send + Sync>,
}

/// Whether a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    Alive,
    /// It has certainly ended: its sandboxes are ended at once.
    Dead,
    /// It cannot be checked from this process, as in another container: its sandboxes are ended when they were not
    /// renewed.
    Unknown,
}

impl Identity {
    pub(crate) fn metadata(&self) -> BTreeMap<String, String> {
        let (managed, yes) = MANAGED;
        [(managed, yes), (OWNER, &self.owner), (PROCESS, &self.process)]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into()
    }
}
