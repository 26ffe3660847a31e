//! A sandbox that is more than an interpreter: a machine with files, processes and ports.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::backend::NetworkPolicy;
use crate::fault::Fault;
use crate::kernel::{Change, Kernels};

/// A response's body, streamed. Dropping it closes the connection.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, Fault>> + Send>>;

/// A connection whose protocol has changed: bytes in both directions. Dropping it closes it.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// The answer to a request to change the protocol.
pub enum Upgraded {
    /// The program has changed it: its answer, and the connection from then on.
    Switched(Response<()>, Box<dyn Connection>),
    /// The program has answered by the old protocol.
    Refused(Response<Body>),
}

/// An extension of a machine's answer: nothing listens on the port that was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortClosed;

/// A machine: files, processes, ports, and kernels that share its files and run side by side. It lives as long as its
/// sandbox.
#[async_trait]
pub trait Machine: Kernels {
    /// Sends an HTTP request to a port of the machine. Only path and query of its URI are used; credentials that the
    /// machine's own services require are added. Dropping the future or the body closes the connection. An answer for a port on
    /// which nothing listens may have the extension [`PortClosed`].
    async fn call(&self, port: u16, request: Request<Bytes>) -> Result<Response<Body>, Fault>;

    /// Sends a request to a port that asks for another protocol, such as WebSocket, otherwise as [`call`](Self::call) does.
    /// Dropping the future, the body or the connection closes the connection.
    async fn upgrade(&self, port: u16, request: Request<Bytes>) -> Result<Upgraded, Fault>;

    /// Creates, replaces and removes files by these changes, in order.
    async fn apply(&self, changes: &[Change]) -> Result<(), Fault>;

    /// Writes a file with its metadata: names and values of a client's own, in printable ASCII. Returns whether the machine
    /// keeps metadata; if not, the file is written without it.
    async fn write_with(&self, path: &str, content: Bytes, metadata: &BTreeMap<String, String>) -> Result<bool, Fault>;

    /// Returns the files of its users, as changes that make them on another machine. Fails where they have more bytes than
    /// `max_bytes`, or the machine cannot list them.
    async fn export_files(&self, max_bytes: u64) -> Result<Vec<Change>, Fault>;

    /// Returns whether a process of a client runs on it.
    async fn has_processes(&self) -> Result<bool, Fault>;

    /// Replaces what the machine reaches on the internet. Its ports keep their policy.
    async fn set_network(&self, network: &NetworkPolicy) -> Result<(), Fault>;

    /// Wakes the machine if it sleeps, and extends its life to at least this long from now.
    async fn ensure_lifetime(&self, at_least: Duration) -> Result<(), Fault>;
}
