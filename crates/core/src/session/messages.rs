//! Requests to sessions, and their answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Event, Language, NetworkPolicy, Outcome};

use crate::decide::Decision;
use crate::route::TierName;

/// The options of a session, set at its creation.
#[derive(Debug, Clone)]
pub struct CreateSession {
    /// The template that an E2B client names. It is only stored and returned: a machine uses its tier's own template.
    pub template: String,
    /// Initial lifetime.
    pub timeout: Duration,
    pub metadata: BTreeMap<String, String>,
    /// Environment variables of every cell and every command.
    pub env: BTreeMap<String, String>,
    pub at_end: AtEnd,
    /// Whether a call to the paused session resumes it.
    pub auto_resume: bool,
    /// What its machine may reach. No local tier reaches a network.
    pub network: NetworkPolicy,
    /// Whether the ports of its machine accept requests without a token. Such a request never leases or wakes a machine or
    /// extends its lifetime.
    pub public_ports: bool,
    /// Whether cells run for everybody who knows the session's id.
    pub open_interpreter: bool,
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
    /// Where it names no context: the language, which has a context of its own. `None`: Python.
    pub language: Option<Language>,
    pub source: String,
    /// Additional environment variables of this cell.
    pub env: BTreeMap<String, String>,
    pub stdin: Option<String>,
    /// Longest time from its arrival to its answer; `None`: the setting `cell_timeout`.
    pub timeout: Option<Duration>,
}

/// An event of a running cell.
#[derive(Debug, Clone, PartialEq)]
pub enum CellEvent {
    /// The cell has started. `number` is its execution count.
    Started { number: u32 },
    /// Output of the cell. `remote`: it comes from a cloud, whose interpreter has already formatted the text of values.
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
    pub decision: Arc<Decision>,
    /// Why its context moved for this cell, to another local tier or to a machine; `None` if it did not move.
    pub moved: Option<String>,
    /// How to get a better result, for example which tier or setting provides what the cell lacked.
    pub note: Option<String>,
    /// Whether the kernel ended with the cell. The next cell then runs in a new kernel, with execution count 1.
    pub restarted: bool,
}

/// The public description of a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextInfo {
    pub id: String,
    pub language: Language,
    /// The working folder in which its cells start.
    pub folder: String,
}
