//! What a backend is: the two traits that every place where code runs implements, and the words that go with them.
//!
//! A [`Backend`] can open sandboxes; a [`Sandbox`] is one live, isolated environment. A run is given a [`Program`],
//! its [`Limits`] and a stream of [`Events`] to write to, and ends in an [`Outcome`] (the program's own end) or in a
//! [`Fault`] (ours). Nothing here knows a tier, a route or a cache: those are the router's.

pub mod backend;
#[cfg(feature = "scripted")]
pub mod conformance;
pub mod events;
pub mod fault;
pub mod kernel;
pub mod limits;
pub mod machine;
pub mod outcome;
pub mod program;
pub mod rounded;
#[cfg(feature = "scripted")]
pub mod scripted;

pub use backend::{Backend, InterpreterId, Isolation, Modules, Offer, Sandbox, Spec, Upkeep};
pub use events::{Bundle, Event, Events, Output};
pub use fault::{Fault, Need, Remedy};
pub use kernel::{Cell, Change, Content, Kernel, Opening, Ran, Tape};
pub use limits::{Escalation, Limits};
pub use machine::{Body, Machine};
pub use outcome::{Effect, Effects, Exit, Failure, Outcome, Price, Usage};
pub use program::{Chance, File, Language, Program};
pub use rounded::rounded;
