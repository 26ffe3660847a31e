//! Whose sandboxes these are: what a sandbox's metadata says, so that a later process can end what an earlier one left.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The keys of the metadata.
pub(crate) const OWNER: &str = "switchtower-owner";
pub(crate) const PROCESS: &str = "switchtower-process";

/// Which of our processes this is, and how to know whether another still lives.
#[derive(Clone)]
pub struct Identity {
    /// Shared by all processes that can see each other.
    pub owner: String,
    /// This process: no other, and no later one, has the same.
    pub process: String,
    /// Whether a process lives, by the text that it called itself.
    pub lives: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Identity {
    pub(crate) fn metadata(&self) -> BTreeMap<String, String> {
        [(OWNER, &self.owner), (PROCESS, &self.process)].map(|(k, v)| (k.to_owned(), v.clone())).into()
    }
}
