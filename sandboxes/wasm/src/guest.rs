//! The guest from the build, embedded in the executable.

/// The component, compressed.
pub(crate) static COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.wasm.zst"));

/// A hash of everything that the guest was made from; the same inputs give the same behaviour on every machine.
pub(crate) const HASH: &str = env!("SWITCHTOWER_GUEST_HASH");
