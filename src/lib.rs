//! Switchtower.

pub mod cache;
pub mod clock;
pub mod error;
pub mod quota;
pub mod request;
pub mod route;
pub mod seed;
pub mod tier;
