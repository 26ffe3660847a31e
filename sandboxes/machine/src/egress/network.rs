//! Names and connections of this host's network.

use std::io;
use std::net::SocketAddr;

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

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }
}
