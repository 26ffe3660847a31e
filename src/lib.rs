//! Switchtower.

pub mod clock;
pub mod request;
pub mod route;
pub mod seed;
