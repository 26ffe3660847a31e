//! The door that E2B's clients know, without a port, over kernels and machines of a toy, on a paused clock.

mod access;
mod cells;
mod control;
mod files;
mod harness;
mod machines;
mod plane;
mod space;
