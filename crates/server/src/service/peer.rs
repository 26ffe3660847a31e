//! The address of the other end of a connection.

use std::net::{IpAddr, SocketAddr};

/// The address of the other end of a connection, as an extension of its requests. Behind a proxy it is that of the
/// proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// The other end of a listener's connection.
pub trait Peer {
    /// Returns the IP address, if there is one: a pipe has none.
    fn ip(&self) -> Option<IpAddr>;
}

impl Peer for SocketAddr {
    fn ip(&self) -> Option<IpAddr> {
        Some(Self::ip(self))
    }
}

impl Peer for () {
    fn ip(&self) -> Option<IpAddr> {
        None
    }
}
