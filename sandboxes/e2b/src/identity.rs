//! Whose sandboxes these are: what a sandbox's metadata says, so that another process can end what one has left.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The keys of the metadata. `MANAGED` is the same for all of ours, so that they are found whatever their owner is called.
pub(crate) const MANAGED: (&str, &str) = ("switchtower-lease", "1");
pub(crate) const OWNER: &str = "switchtower-owner";
pub(crate) const PROCESS: &str = "switchtower-process";

/// Which of our processes this is, and how to know whether another still lives.
#[derive(Clone)]
pub struct Identity {
    /// Whose sandboxes these are, for people who look at the account.
    pub owner: String,
    /// This process: no other, and no later one, has the same.
    pub process: String,
    /// Whether a process lives, by the text that it called itself.
    pub lives: Arc<dyn Fn(&str) -> Liveness + Send + Sync>,
}

/// Whether a process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    Alive,
    /// It is certain that it has ended: what it left is ended at once.
    Dead,
    /// It cannot be seen from here, as behind another container's walls: its sandboxes end when nobody has renewed them.
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
