//! What a sandbox is beyond its interpreter: a machine with files, processes and ports.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use http::{Request, Response};

use crate::fault::Fault;
use crate::kernel::Change;

/// A body as it arrives. Dropping it closes the connection.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, Fault>> + Send>>;

/// A whole machine, for those who must speak to it directly. It lives as long as its sandbox.
#[async_trait]
pub trait Machine: Send + Sync {
    /// Sends a request to what listens on a port of it. Of the address, only path and query count; credentials that the
    /// machine asks for are added here. Dropping the future or the body closes the connection.
    async fn call(&self, port: u16, request: Request<Bytes>) -> Result<Response<Body>, Fault>;

    /// Brings files into the state that these changes say.
    async fn apply(&self, changes: &[Change]) -> Result<(), Fault>;

    /// It is awake, and lives for at least so long.
    async fn lasts(&self, time: Duration) -> Result<(), Fault>;
}
