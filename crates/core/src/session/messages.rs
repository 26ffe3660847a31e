//! What clients send to sessions, and what they get back.

use std::collections::BTreeMap;
use std::time::Duration;

use switchtower_contract::{Event, Outcome};

use crate::decide::Decision;
use crate::route::TierName;

/// The options of a session, set at its creation.
#[derive(Debug, Clone)]
pub struct CreateSession {
    /// The template that E2B's clients name. It is kept and shown; a machine is made from its tier's own template.
    pub template: String,
    /// How long the session lives unless its time is changed.
    pub timeout: Duration,
    pub metadata: BTreeMap<String, String>,
    /// Environment variables of every cell and every command.
    pub env: BTreeMap<String, String>,
    pub at_end: AtEnd,
    /// A call to the session while it is paused resumes it.
    pub auto_resume: bool,
    /// The session must never reach a network: it stays local, where there is none.
    pub offline: bool,
    /// Ports of its machine are open to requests without a token. Such a request never leases, wakes or keeps a machine.
    pub public_ports: bool,
}

/// What happens to a session when its time is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AtEnd {
    #[default]
    Kill,
    Pause,
}

/// A cell to run.
#[derive(Debug, Clone, Default)]
pub struct ExecuteCell {
    /// The context to run it in; `None`: the default context.
    pub context: Option<String>,
    pub source: String,
    /// Environment variables for this cell alone.
    pub env: BTreeMap<String, String>,
    pub stdin: Option<String>,
    /// Longest time from its arrival to its answer; `None`: the setting `cell_timeout`.
    pub timeout: Option<Duration>,
}

/// What happens while a cell runs.
#[derive(Debug, Clone, PartialEq)]
pub enum CellEvent {
    /// Its turn has come. `number` is its execution count.
    Started { number: u32 },
    /// `remote`: it comes from a machine, whose own interpreter has formatted the text of its values already.
    Output { event: Event, remote: bool },
}

/// How a cell ended.
#[derive(Debug, Clone)]
pub struct CellAnswer {
    /// The request's id, as in its record.
    pub id: String,
    pub number: u32,
    pub outcome: Outcome,
    pub tier: TierName,
    pub decision: Decision,
    /// Why its context moved for this cell, to another local tier or with its session to a machine; `None` where it did
    /// not move.
    pub moved: Option<String>,
    /// What would have helped the cell.
    pub note: Option<String>,
    /// The kernel ended with the cell: the next cell begins in a new one, at execution count 1.
    pub restarted: bool,
}

/// A context of a session, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextInfo {
    pub id: String,
    pub language: String,
    /// The folder that its cells begin in.
    pub folder: String,
}
