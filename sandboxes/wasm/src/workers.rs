//! Workers.
pub struct Workers;
