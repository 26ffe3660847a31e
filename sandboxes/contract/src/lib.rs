//! The contract between the router and its backends: the traits that every backend implements, and their vocabulary.
//!
//! A [`Backend`] opens sandboxes; a [`Sandbox`] is one live, isolated environment. A run takes a [`Program`] and its
//! [`Limits`], writes to a stream of [`Events`], and ends in an [`Outcome`] (the program's own end) or in a [`Fault`]
//! (a failure of the backend). Tiers, routes and caches belong to the router and are not known here.

pub mod backend;
pub mod byte_size;
#[cfg(feature = "scripted")]
pub mod conformance;
pub mod duration;
pub mod egress;
pub mod events;
pub mod fault;
pub mod kernel;
pub mod language;
pub mod limits;
pub mod machine;
pub mod outcome;
pub mod program;
pub mod python;
pub mod rounded;
#[cfg(feature = "scripted")]
pub mod scripted;
pub mod stored;

pub use backend::{
    Backend, InterpreterId, Isolation, Languages, Location, Maintenance, Modules, NetworkPolicy, Offer, Sandbox,
    SandboxLabel, Spec,
};
pub use egress::EgressRule;
pub use events::{Event, Events, MimeBundle, Output};
pub use fault::{Fault, Need, Remedy};
pub use kernel::{Cell, CellOutcome, Change, Content, Kernel, KernelOptions, Kernels, Tape};
pub use language::Language;
pub use limits::{Escalation, Limits};
pub use machine::{Body, Connection, Machine, PortClosed, Upgraded};
pub use outcome::{Effect, Effects, Exit, Failure, Outcome, Price, Usage};
pub use program::{File, Program, Randomness};
pub use rounded::rounded;
