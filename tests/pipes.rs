//! A network of pipes, for tests of the whole server on a paused clock.

use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// A listener whose connections are pipes.
pub(crate) struct Pipes(pub(crate) mpsc::Receiver<DuplexStream>);

impl axum::serve::Listener for Pipes {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(pipe) => (pipe, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}
