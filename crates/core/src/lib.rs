//! Switchtower's request path: from a request to an answer and its record.
//!
//! A [`request::Request`] passes through [`router::Router`]: quota, analysis, decision, cache, tiers, record. The HTTP APIs and the
//! command line make requests of what they are given and turn answers and refusals into their own form.

pub mod analyse;
pub mod cache;
pub mod clock;
pub mod decide;
pub mod error;
mod memo;
pub mod memory;
pub mod quota;
mod recheck;
pub mod record;
pub mod request;
pub mod route;
pub mod router;
pub mod schema;
pub mod seed;
pub mod session;
pub mod tier;
