//! The native API over a scripted backend, on a paused clock, without a port.

mod connection;
mod execute;
mod executors;
mod harness;
mod health;
mod openapi;
mod order;
mod refusals;
mod schema;
mod sessions;
mod socket;
mod stream;
mod tls;
