//! What a program says while it runs: a bounded stream of events, and the whole of it collected.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::outcome::Failure;

/// Representations of one value by MIME type, as Jupyter has them. Binary types are base64 text.
pub type Bundle = BTreeMap<String, String>;

/// One thing that a program said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    Stdout(String),
    Stderr(String),
    /// A value shown: `main` is the value of the last expression, the others were displayed.
    Result {
        data: Bundle,
        main: bool,
    },
    Error(Failure),
    /// A stronger tier took over and prints something else: what was received so far is void.
    Restart,
}

/// Room for events that nobody has read yet. A slow reader slows the program down; it never fills the memory.
const ROOM: usize = 64;

/// The writing end of a run's stream. A reader that is gone is no reason to stop: whoever started the run ends it by
/// dropping the run.
#[derive(Debug, Clone)]
pub struct Events {
    to: mpsc::Sender<Event>,
}

impl Events {
    /// A stream and its reading end.
    pub fn channel() -> (Self, mpsc::Receiver<Event>) {
        let (to, from) = mpsc::channel(ROOM);
        (Self { to }, from)
    }

    /// Waits for room. False: nobody reads any more.
    pub async fn send(&self, event: Event) -> bool {
        self.to.send(event).await.is_ok()
    }

    /// For backends that run on a thread of their own; never call it from async code.
    pub fn send_blocking(&self, event: Event) -> bool {
        self.to.blocking_send(event).is_ok()
    }

    /// Resolves when nobody reads any more.
    pub async fn closed(&self) {
        self.to.closed().await;
    }
}

/// The whole stream of a run, collected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    pub results: Vec<Shown>,
    pub error: Option<Failure>,
}

/// A value that was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub data: Bundle,
    pub main: bool,
}

impl Output {
    /// Takes in the next event.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Stdout(text) => self.stdout.push_str(&text),
            Event::Stderr(text) => self.stderr.push_str(&text),
            Event::Result { data, main } => self.results.push(Shown { data, main }),
            Event::Error(failure) => self.error = Some(failure),
            Event::Restart => *self = Self::default(),
        }
    }

    /// The events that make this output: standard output first, the error last.
    pub fn events(&self) -> impl Iterator<Item = Event> + '_ {
        let text = |text: &String, wrap: fn(String) -> Event| (!text.is_empty()).then(|| wrap(text.clone()));
        text(&self.stdout, Event::Stdout)
            .into_iter()
            .chain(text(&self.stderr, Event::Stderr))
            .chain(self.results.iter().map(|s| Event::Result { data: s.data.clone(), main: s.main }))
            .chain(self.error.iter().cloned().map(Event::Error))
    }

    /// Bytes that this output holds, for caches that count.
    pub fn size(&self) -> usize {
        let shown = |s: &Shown| s.data.iter().map(|(mime, data)| mime.len() + data.len()).sum::<usize>();
        self.stdout.len()
            + self.stderr.len()
            + self.results.iter().map(shown).sum::<usize>()
            + self.error.as_ref().map_or(0, |e| e.name.len() + e.value.len() + e.traceback.len())
    }
}
