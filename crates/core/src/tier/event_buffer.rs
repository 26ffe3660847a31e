//! Events on their way to a caller who may be slow. Neither a program nor its slot waits for a reader: what is not read
//! yet waits here, and it is no more than the output that is kept anyway.

use std::collections::VecDeque;
use std::pin::Pin;

use switchtower_contract::{Event, Events};

pub(super) struct EventBuffer {
    to: Events,
    waiting: VecDeque<Event>,
    sending: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
}

impl EventBuffer {
    pub(super) fn new(to: Events) -> Self {
        Self { to, waiting: VecDeque::new(), sending: None }
    }

    pub(super) fn push(&mut self, event: Event) {
        append(&mut self.waiting, event);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sending.is_none()
    }

    /// Sends until nothing waits. Dropped in the middle and called again, it goes on where it was.
    pub(super) async fn deliver(&mut self) {
        loop {
            if self.sending.is_none() {
                let Some(event) = self.waiting.pop_front() else { return };
                let to = self.to.clone();
                self.sending = Some(Box::pin(async move { to.send(event).await }));
            }
            if let Some(sending) = &mut self.sending {
                let read = sending.await;
                self.sending = None;
                if !read {
                    // Nobody reads any more. That is no reason to stop: a caller ends a run by leaving.
                    self.waiting.clear();
                }
            }
        }
    }
}

/// Text behind text of the same kind becomes one event, so a byte at a time costs a byte each.
pub(super) fn append(events: &mut VecDeque<Event>, event: Event) {
    match (events.back_mut(), event) {
        (Some(Event::Stdout(last)), Event::Stdout(text)) | (Some(Event::Stderr(last)), Event::Stderr(text)) => {
            last.push_str(&text);
        }
        (_, event) => events.push_back(event),
    }
}
