//! Switchtower.

pub mod analyse;
pub mod cache;
pub mod clock;
pub mod decide;
pub mod error;
mod memo;
pub mod quota;
pub mod record;
pub mod request;
pub mod route;
pub mod router;
pub mod seed;
pub mod tier;
