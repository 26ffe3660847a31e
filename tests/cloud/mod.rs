//! The cloud tier against the stand-in for E2B: the real client, the real wire, no network.

mod conformance;
mod house;
mod server;
mod simulation;
mod tenants;
pub(crate) mod through;
mod tier;
