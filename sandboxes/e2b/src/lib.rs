//! E2B cloud sandboxes as a backend, and any service with the same wire.
//!
//! [`E2b`] opens sandboxes in one account. Each is held against its template's tag and modules before it is used, ended
//! when it is dropped, and swept up by a later process where this one was killed. Limits are kept before E2B has to
//! refuse ([`limits`]); what goes wrong has one cause each ([`Cause`]).
//!
//! Limits of this backend: what a program asks the world for is not observed, so nothing is pure by observation. A
//! program may be root in its own virtual machine; what it changed outside the scratch folders is not undone, so a tier
//! lends a sandbox again only after programs that leave nothing behind. Its processor time is not told by E2B.

mod account;
mod address;
mod backend;
pub mod budget;
mod cause;
mod config;
mod connect;
mod connections;
mod control;
mod envd;
mod glue;
mod held;
mod identity;
mod inside;
mod interpreter;
mod kernel;
mod key;
pub mod limits;
mod machine;
mod meter;
mod orphans;
mod prelude;
mod run;
mod runtime;
mod sandbox;
pub mod template;
mod transport;
mod wire;

pub use account::{Live, Status};
pub use address::Address;
pub use backend::{E2b, Inspection};
pub use cause::{Call, Cause, Trouble};
pub use config::Config;
pub use identity::{Identity, Liveness};
pub use key::{Key, NoKey};
pub use meter::Bought;
pub use transport::{Broken, Pieces, Reached, Transport, Web};
