//! The HTTP APIs of Switchtower: the native one ([`http`]) and the one that E2B's clients speak ([`e2b`]).

pub mod e2b;
pub mod http;
