//! The cloud tier against the stand-in for E2B: the real client, the real wire, no network.

mod conformance;
mod harness;
pub(crate) mod in_process;
mod missing_modules;
mod reuse;
mod server;
mod simulation;
mod tier;
mod unresponsive;
