//! The cloud tier against the stand-in for E2B: the real client, the real wire, no network.

mod black_holes;
mod conformance;
mod house;
mod lacks;
mod server;
mod simulation;
mod tenants;
pub(crate) mod through;
mod tier;
