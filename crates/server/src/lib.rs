//! The HTTP APIs of Switchtower: the native one ([`api`]) and the one that E2B's clients speak ([`e2b`]), both over the
//! same [`service`] layer.

pub mod api;
pub mod e2b;
#[cfg(test)]
mod layers;
pub mod service;
