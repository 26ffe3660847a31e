//! The output of a run on its way to the receiver.

use std::sync::{Arc, Mutex, PoisonError};

use switchtower_contract::{Event, Events, Failure, MimeBundle, Need};
use switchtower_typescript::Translated;
use switchtower_worker::output::{OutputBuffer, StdStream};

use crate::translate;

/// The output of one run: text is gathered for a moment and cut at its limit.
pub(crate) struct RunOutput<'a> {
    buffer: OutputBuffer,
    ready: Arc<Mutex<Vec<Event>>>,
    events: &'a Events,
    /// The last byte of standard output.
    last: Option<u8>,
    missing_module: Option<String>,
    /// What runs, where it is the translation of the source.
    translated: Option<Translated>,
}

/// How often gathered text is sent on.
pub(crate) const TICK: std::time::Duration = std::time::Duration::from_millis(10);

impl<'a> RunOutput<'a> {
    /// Returns an output of at most `limit` bytes of text.
    pub(crate) fn new(events: &'a Events, limit: u64) -> Self {
        let ready: Arc<Mutex<Vec<Event>>> = Arc::default();
        let queue = Arc::clone(&ready);
        let send = Box::new(move |event| {
            queue.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            true
        });
        Self {
            buffer: OutputBuffer::open(send, limit),
            ready,
            events,
            last: None,
            missing_module: None,
            translated: None,
        }
    }

    /// Sets what runs, where it is the translation of the source: failures are shown with positions of the source.
    pub(crate) fn set_translated(&mut self, translated: Option<Translated>) {
        self.translated = translated;
    }

    pub(crate) async fn write(&mut self, stream: StdStream, bytes: &[u8]) {
        self.buffer.write(stream, bytes);
        if stream == StdStream::Stdout {
            self.last = bytes.last().copied().or(self.last);
        }
        self.forward().await;
    }

    /// Ends the last line of standard output, where it has no end.
    pub(crate) async fn end_line(&mut self) {
        if self.last.is_some_and(|last| last != b'\n') {
            self.write(StdStream::Stdout, b"\n").await;
        }
    }

    pub(crate) async fn show(&mut self, data: MimeBundle, main: bool) {
        self.buffer.show(data, main);
        self.forward().await;
    }

    /// Returns what the program lacked, by its error: a module that cannot be imported.
    pub(crate) fn unmet_need(&self) -> Option<Need> {
        self.missing_module.clone().map(Need::Module)
    }

    pub(crate) async fn fail(&mut self, failure: Failure) {
        self.missing_module = missing_module(&failure);
        let failure = match &self.translated {
            Some(translated) => translate::in_source(failure, translated),
            None => failure,
        };
        self.buffer.flush();
        self.buffer.event(Event::Error(failure));
        self.forward().await;
    }

    /// Sends on text that has waited long enough.
    pub(crate) async fn tick(&mut self) {
        self.buffer.tick();
        self.forward().await;
    }

    /// Sends on everything. Returns whether output was left out because of a limit.
    pub(crate) async fn finish(&mut self) -> bool {
        self.buffer.flush();
        self.forward().await;
        self.buffer.is_truncated()
    }

    async fn forward(&mut self) {
        let events = std::mem::take(&mut *self.ready.lock().unwrap_or_else(PoisonError::into_inner));
        for event in events {
            // A receiver that has left reads nothing; its caller drops the run.
            self.events.send(event).await;
        }
    }
}

/// Returns the module that an error of Python or of node says cannot be found.
fn missing_module(failure: &Failure) -> Option<String> {
    let text = match failure.name.as_str() {
        "ModuleNotFoundError" => failure.value.strip_prefix("No module named "),
        "Error" => failure.value.strip_prefix("Cannot find module "),
        _ => None,
    }?;
    let name = text.trim_start_matches(['\'', '"']).split(['\'', '"', '\n']).next().unwrap_or_default();
    let top = name.split('.').next().unwrap_or_default();
    (!top.is_empty() && !name.starts_with(['.', '/'])).then(|| top.to_owned())
}
