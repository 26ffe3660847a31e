//! Integration tests of the whole product: over HTTP, by the command line, in a simulation, and with programs of agents.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod api;
mod backend;
mod certificate;
mod cli;
mod cloud;
mod configuration;
mod containers;
mod cpython;
mod drop_in;
mod e2b;
mod fairness;
mod kernels;
mod metrics;
mod native;
mod pipes;
mod proof;
mod python_lists;
mod server;
mod session;
mod simulation;
mod structure;
mod words;
mod workloads;
