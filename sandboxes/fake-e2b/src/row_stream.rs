//! The response to an execution: rows as they come, keepalives between them.

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde_json::Value;
use switchtower_e2b_wire::rows::{KEEPALIVE_INTERVAL, keepalive};
use tokio::sync::mpsc;

/// Rows that are buffered. A client that reads slowly slows the program down.
const BUFFERED_ROWS: usize = 256;

/// The writing end of a response.
#[derive(Clone)]
pub(crate) struct RowSender(mpsc::Sender<Item>);

enum Item {
    Row(String),
    /// Breaks the connection.
    Cut,
}

impl RowSender {
    /// Returns the writing end, and the body that the client reads.
    pub(crate) fn channel() -> (Self, Body) {
        let (sender, receiver) = mpsc::channel(BUFFERED_ROWS);
        (Self(sender), Body::from_stream(stream::unfold(Some(receiver), next)))
    }

    pub(crate) async fn send(&self, row: &Value) {
        self.send_encoded(row.to_string()).await;
    }

    /// Sends a row that is JSON text already.
    pub(crate) async fn send_encoded(&self, row: String) {
        // A client that left shows in `closed`.
        let _ = self.0.send(Item::Row(row)).await;
    }

    /// Breaks the connection.
    pub(crate) async fn cut(&self) {
        let _ = self.0.send(Item::Cut).await;
    }

    /// Resolves when the client has left.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

type Next = Option<(Result<Bytes, std::io::Error>, Option<mpsc::Receiver<Item>>)>;

async fn next(receiver: Option<mpsc::Receiver<Item>>) -> Next {
    let mut receiver = receiver?;
    let row = match tokio::time::timeout(KEEPALIVE_INTERVAL, receiver.recv()).await {
        Ok(Some(Item::Row(row))) => row,
        Ok(Some(Item::Cut)) => return Some((Err(std::io::ErrorKind::ConnectionReset.into()), None)),
        Ok(None) => return None,
        Err(_) => keepalive().to_string(),
    };
    Some((Ok(Bytes::from(row + "\n")), Some(receiver)))
}
