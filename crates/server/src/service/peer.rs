//! The address that a connection comes from.

use std::net::{IpAddr, SocketAddr};

/// The address of the other end of a connection, as an extension of its requests. Behind a proxy it is the proxy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// Where a listener's connections come from.
pub trait Peer {
    /// Returns the IP address; `None` where there is none, as with a pipe.
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
