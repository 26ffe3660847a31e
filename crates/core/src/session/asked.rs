//! What clients ask of sessions, and what they hear.

use std::collections::BTreeMap;
use std::time::Duration;

use switchtower_contract::{Event, Outcome};

use crate::decide::Decision;
use crate::route::TierName;

/// What a session is created with.
#[derive(Debug, Clone)]
pub struct Asked {
    /// As E2B's clients name it; a cloud sandbox is made from the tier's own template.
    pub template: String,
    /// How long it lives unless it is told otherwise.
    pub timeout: Duration,
    pub metadata: BTreeMap<String, String>,
    /// Variables that every cell and every command sees.
    pub env: BTreeMap<String, String>,
    pub at_end: AtEnd,
    /// A call to a paused session wakes it.
    pub auto_resume: bool,
    /// It is never to reach a network: it stays here, where there is none.
    pub offline: bool,
    /// Ports of its machine are open to requests without a token. Such a request never lends, wakes or keeps a machine.
    pub public_ports: bool,
}

/// What becomes of a session when its time is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AtEnd {
    #[default]
    Kill,
    Pause,
}

/// A cell that a client sends.
#[derive(Debug, Clone, Default)]
pub struct CellAsked {
    /// None: the default context.
    pub context: Option<String>,
    pub source: String,
    /// Variables for this cell alone.
    pub env: BTreeMap<String, String>,
    pub stdin: Option<String>,
    /// Longest that it may run; None: as long as requests may here.
    pub timeout: Option<Duration>,
}

/// What is heard of a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// Its turn has come: this is its execution count.
    Began { number: u32 },
    /// `there`: from a machine, whose own interpreter has dressed its values already.
    Event { event: Event, there: bool },
}

/// How a cell ended.
#[derive(Debug, Clone)]
pub struct Done {
    /// The request's id, as records have it.
    pub id: String,
    pub number: u32,
    pub outcome: Outcome,
    pub tier: TierName,
    pub decision: Decision,
    /// Why its context moved for this cell, to another tier here or with its session to a machine; None where it did
    /// not.
    pub moved: Option<String>,
    /// What would have let it fare better.
    pub note: Option<String>,
    /// The kernel ended with it: the next cell begins anew, at execution count 1.
    pub restarted: bool,
}

/// A kernel of a session, as clients know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextInfo {
    pub id: String,
    pub language: String,
    pub folder: String,
}
