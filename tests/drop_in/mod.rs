//! Unmodified clients of E2B against the real server, and sessions that move, with real interpreters on both sides.

mod again;
#[path = "../../sandboxes/fake-e2b/tests/sdk/clients.rs"]
mod clients;
mod frameworks;
mod harness;
mod hosts;
mod moves;
mod parity;
mod registries;
mod sdk;
mod surface;
mod versions;
mod wheels;
