//! Names and connections of this host's network.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use async_trait::async_trait;
use tokio::net::TcpStream;

/// How the proxy of machines resolves names and connects. [`SystemNetwork`] is that of this host.
#[async_trait]
pub trait EgressNetwork: Send + Sync {
    /// Returns the addresses of a host, each with `port`.
    ///
    /// # Errors
    /// The name has none, or none can be found out.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;

    /// Returns whether an address is one of this host's own, public ones included.
    fn is_own(&self, address: IpAddr) -> bool;

    /// Connects to an address.
    ///
    /// # Errors
    /// Nothing answers there.
    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream>;
}

/// The resolver and the network of this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemNetwork;

#[async_trait]
impl EgressNetwork for SystemNetwork {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }

    fn is_own(&self, address: IpAddr) -> bool {
        // A socket is bound to addresses of this host only. Nothing is sent.
        UdpSocket::bind((address, 0)).is_ok()
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }
}
