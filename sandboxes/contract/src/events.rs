//! A run's output: a bounded stream of events, and the stream collected.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::outcome::Failure;

/// Representations of one value by MIME type, as Jupyter has them. Binary types are base64 text.
pub type MimeBundle = BTreeMap<String, String>;

/// One piece of output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    Stdout(String),
    Stderr(String),
    /// A displayed value. `main`: it is the value of the last expression, as opposed to one displayed by a call.
    Result {
        data: MimeBundle,
        main: bool,
    },
    Error(Failure),
    /// A stronger tier took over and its output differs: everything received so far is void.
    Restart,
}

/// Events that may wait to be read. A slow reader slows the program down instead of filling the memory.
const CAPACITY: usize = 64;

/// The sending end of a run's stream. A run does not stop because the receiver is gone: its caller ends it by dropping
/// the run's future.
#[derive(Debug, Clone)]
pub struct Events {
    to: mpsc::Sender<Event>,
}

impl Events {
    /// Returns a stream and its receiving end.
    pub fn channel() -> (Self, mpsc::Receiver<Event>) {
        let (to, from) = mpsc::channel(CAPACITY);
        (Self { to }, from)
    }

    /// Sends an event, after waiting for space. Returns false when the receiver is gone.
    pub async fn send(&self, event: Event) -> bool {
        self.to.send(event).await.is_ok()
    }

    /// Does the same as [`send`](Self::send) on a thread of a backend. It must not be called from async code.
    pub fn send_blocking(&self, event: Event) -> bool {
        self.to.blocking_send(event).is_ok()
    }

    /// Resolves when the receiver is gone.
    pub async fn closed(&self) {
        self.to.closed().await;
    }
}

/// The whole stream of a run, collected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    pub results: Vec<DisplayedValue>,
    pub error: Option<Failure>,
}

/// A value that a program displayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisplayedValue {
    pub data: MimeBundle,
    pub main: bool,
}

impl Output {
    /// Adds the next event.
    pub fn push(&mut self, event: Event) {
        match event {
            Event::Stdout(text) => self.stdout.push_str(&text),
            Event::Stderr(text) => self.stderr.push_str(&text),
            Event::Result { data, main } => self.results.push(DisplayedValue { data, main }),
            Event::Error(failure) => self.error = Some(failure),
            Event::Restart => *self = Self::default(),
        }
    }

    /// Returns events that make up this output: standard output first, the error last.
    pub fn events(&self) -> impl Iterator<Item = Event> + '_ {
        let wrapped = |text: &String, wrap: fn(String) -> Event| (!text.is_empty()).then(|| wrap(text.clone()));
        wrapped(&self.stdout, Event::Stdout)
            .into_iter()
            .chain(wrapped(&self.stderr, Event::Stderr))
            .chain(self.results.iter().map(|value| Event::Result { data: value.data.clone(), main: value.main }))
            .chain(self.error.iter().cloned().map(Event::Error))
    }

    /// Returns the size of this output in bytes, for caches that are bounded by size.
    pub fn size(&self) -> usize {
        let bytes =
            |value: &DisplayedValue| value.data.iter().map(|(mime, data)| mime.len() + data.len()).sum::<usize>();
        self.stdout.len()
            + self.stderr.len()
            + self.results.iter().map(bytes).sum::<usize>()
            + self.error.as_ref().map_or(0, |e| e.name.len() + e.value.len() + e.traceback.len())
    }
}
