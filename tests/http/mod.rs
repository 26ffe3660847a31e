//! The door over a scripted backend, on a paused clock, without a port.

mod connection;
mod described;
mod execute;
mod house;
mod refusals;
mod schema;
mod sessions;
mod standing;
mod stream;
