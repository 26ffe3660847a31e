//! Switchtower runs an agent's code where it is cheapest to run safely.
//!
//! A [`request::Request`] goes down one line, [`router::Router`]: quota, analyse, decide, cache, tiers, record. The doors
//! ([`http`], [`cli`]) make requests of what they are given and turn answers and refusals into their own form.

pub mod analyse;
pub mod assemble;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decide;
pub mod e2b;
pub mod error;
pub mod http;
mod memo;
pub mod memory;
pub mod quota;
mod recheck;
pub mod record;
pub mod request;
mod resident;
pub mod route;
pub mod router;
pub mod seed;
pub mod session;
pub mod tier;
