//! The E2B API without a port, over kernels and machines of a toy language, on a paused clock.

mod access;
mod cells;
mod control;
mod data_plane;
mod files;
mod harness;
mod machines;
mod space;
