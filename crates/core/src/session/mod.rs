//! Sandboxes that clients keep. A session begins in a local tier with its kernels and costs nobody a machine. A
//! context moves to another local tier when a cell needs that, and the session to a machine of its own (it is
//! *promoted*) when a cell, a file or a command needs one: earlier cells are run again there, what differs is carried
//! over, and what can be neither is an error that says so.

mod carried;
mod config;
mod context;
mod execute;
pub mod files;
mod harmless;
mod history;
mod home;
mod legs;
mod lifetime;
mod messages;

mod local;
mod moving;
mod native_kernels;
mod place;
mod ready;
#[allow(clippy::module_inception, reason = "the noun of the room")]
mod session;
mod table;
mod there;
mod tokens;
mod transfer_schema;
mod transfer_sources;
mod transfers;
mod upkeep;

pub use transfer_sources::restore_prelude;

pub use config::Config;
pub use lifetime::SessionState;
pub use messages::{AtEnd, CellAnswer, CellEvent, ContextInfo, CreateSession, ExecuteCell};
pub use session::{MachineUse, Session};
pub use table::Sessions;
pub use tokens::{TokenCheck, TokenKind};
