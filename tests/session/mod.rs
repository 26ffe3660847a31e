//! Sessions without an API, over scripted kernels, local and on machines, on a paused clock; over real kernels where the state
//! itself matters.

mod eviction;
mod fairness;
pub(crate) mod harness;
mod lifetime;
mod local;
mod machines;
mod native;
mod onward;
mod promotion;
mod state_transfer;
