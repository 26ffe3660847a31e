//! The address of the other end of a connection.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;

/// The address of the other end of a connection, as an extension of its requests. Behind a proxy it is that of the
/// proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// The other end of a listener's connection.
pub trait Peer {
    /// Returns the IP address, if there is one: a pipe has none.
    fn ip(&self) -> Option<IpAddr>;
}

/// A connection of a listener.
pub trait PeerStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Makes the end of the connection, when it is dropped, a reset for the other side: what it has received is not all there was.
    fn reset_when_dropped(&self);
}

impl PeerStream for TcpStream {
    fn reset_when_dropped(&self) {
        // Without it, the other side sees an ordinary end in the middle of a message.
        let _ = self.set_zero_linger();
    }
}

/// A pipe in the memory of this process, which has no reset.
impl PeerStream for DuplexStream {
    fn reset_when_dropped(&self) {}
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
