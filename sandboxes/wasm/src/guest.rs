//! The guest as the build made it, carried inside the program.

/// The component, compressed.
pub(crate) static COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.wasm.zst"));

/// Names the guest by everything it was made from; the same inputs give the same behaviour on every machine.
pub(crate) const HASH: &str = env!("SWITCHTOWER_GUEST_HASH");
