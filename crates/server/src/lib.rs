//! The HTTP APIs of Switchtower: the native one ([`api`]) and the one for E2B's clients ([`e2b`]), both over the same
//! [`service`] layer.

pub mod api;
pub mod e2b;
#[cfg(test)]
mod layers;
pub mod service;
