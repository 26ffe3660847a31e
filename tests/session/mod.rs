//! Sessions without an API: kernels of a toy language, local and on machines, on a paused clock; and real kernels where the
//! state itself matters.

mod eviction;
mod fairness;
pub(crate) mod harness;
mod lifetime;
mod local;
mod machines;
mod native;
mod promotion;
mod state_transfer;
