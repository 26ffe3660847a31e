//! Imports of root file systems: what is unpacked, and what hostile archives cannot do.

#![allow(clippy::unwrap_used, reason = "a test fails with a panic")]

mod archives;
mod harness;
mod hostile;
mod images;
mod limits;
mod store;
