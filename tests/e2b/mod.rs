//! The E2B API without a port, over scripted kernels and machines, on a paused clock.

mod access;
mod cells;
mod control;
mod data_plane;
mod files;
mod harness;
mod machines;
mod space;
mod websocket;
