//! Jailed worker processes.
