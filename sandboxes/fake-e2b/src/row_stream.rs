//! The lines that the interpreter answers with: one JSON object each.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// A line is sent at least this often.
const SILENCE: Duration = Duration::from_secs(5);
/// Lines that nobody has read yet. A slow reader slows the program down.
const ROOM: usize = 256;

/// The writing end of an answer.
#[derive(Clone)]
pub(crate) struct Lines(mpsc::Sender<Item>);

/// What an answer is made of.
enum Item {
    Line(String),
    /// The connection breaks here.
    Cut,
}

impl Lines {
    /// The writing end, and the body that the client reads.
    pub(crate) fn answer() -> (Self, Body) {
        let (to, from) = mpsc::channel(ROOM);
        (Self(to), Body::from_stream(stream::unfold(Some(from), next)))
    }

    pub(crate) async fn send(&self, line: &Value) {
        self.send_text(line.to_string()).await;
    }

    /// A line that is JSON already.
    pub(crate) async fn send_text(&self, line: String) {
        // A reader that is gone is seen by `closed`.
        let _ = self.0.send(Item::Line(line)).await;
    }

    /// Breaks the connection off.
    pub(crate) async fn cut(&self) {
        let _ = self.0.send(Item::Cut).await;
    }

    /// Resolves when the reader is gone.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

type Next = Option<(Result<Bytes, std::io::Error>, Option<mpsc::Receiver<Item>>)>;

async fn next(from: Option<mpsc::Receiver<Item>>) -> Next {
    let mut from = from?;
    let line = match tokio::time::timeout(SILENCE, from.recv()).await {
        Ok(Some(Item::Line(line))) => line,
        Ok(Some(Item::Cut)) => return Some((Err(std::io::ErrorKind::ConnectionReset.into()), None)),
        Ok(None) => return None,
        Err(_) => json!({"type": "keepalive"}).to_string(),
    };
    Some((Ok(Bytes::from(line + "\n")), Some(from)))
}

pub(crate) fn count(number: u64) -> Value {
    json!({"type": "number_of_executions", "execution_count": number})
}

pub(crate) fn stdout(text: &str, timestamp: &str) -> Value {
    json!({"type": "stdout", "text": text, "timestamp": timestamp})
}

pub(crate) fn stderr(text: &str, timestamp: &str) -> Value {
    json!({"type": "stderr", "text": text, "timestamp": timestamp})
}

pub(crate) fn error(name: &str, value: &str, traceback: &str) -> Value {
    json!({"type": "error", "name": name, "value": value, "traceback": traceback})
}

pub(crate) fn end() -> Value {
    json!({"type": "end_of_execution"})
}
