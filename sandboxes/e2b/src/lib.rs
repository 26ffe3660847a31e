//! Cloud sandboxes of E2B, or of another service with the same wire protocol, as a backend.
//!
//! Limits: side effects of programs are not observed, so no result counts as pure by observation. A program may become
//! root in its virtual machine, and what it changes outside of the scratch folders is not undone: a sandbox is reused
//! only after programs without side effects. E2B does not report processor time. Programs are Python only.
//!
//! [`E2b`] opens sandboxes in one account. Each is checked against its template's build tag and modules before its
//! first use, ended when it is dropped, and ended by a later process where this one was killed. The account's
//! [`limits`] are enforced before E2B has to refuse a call. Every failed call has one [`Cause`].

mod account;
mod address;
mod backend;
pub mod budget;
mod config;
mod connect;
mod connections;
mod control;
mod envd;
mod error;
mod identity;
mod interpreter;
mod kernel;
mod key;
pub mod limits;
mod machine;
mod meter;
mod orphans;
mod prelude;
mod request;
mod run;
mod runtime_id;
mod sandbox;
mod sandbox_client;
mod sandbox_guard;
pub mod template;
mod transport;

pub use account::{AccountStatus, CloudSandboxStatus};
pub use address::Address;
pub use backend::{E2b, TemplateReport};
pub use config::Config;
pub use error::{CallError, CallKind, Cause};
pub use identity::{Identity, Liveness};
pub use key::{InvalidKey, Key};
pub use meter::AccountCost;
pub use transport::{BodyStream, Delivery, HttpTransport, Switched, Transport, TransportError, TransportErrorKind};
