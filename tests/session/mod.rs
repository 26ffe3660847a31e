//! Sessions themselves, without a door: kernels of a toy language here and on machines, on a paused clock; and where
//! the state itself matters, real ones.

mod arrivals;
mod ends;
mod fairness;
pub(crate) mod harness;
mod here;
mod machines;
mod moves;
mod native;
mod spill;
