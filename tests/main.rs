//! The product from outside: over HTTP, by the command line, in a simulation, with programs that agents send.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod api;
mod backend;
mod cli;
mod cloud;
mod configuration;
mod drop_in;
mod e2b;
mod fairness;
mod kernels;
mod native;
mod proof;
mod python_lists;
mod served;
mod session;
mod simulation;
mod structure;
mod words;
mod workloads;
