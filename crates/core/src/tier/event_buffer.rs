//! A buffer between a run's events and a caller that may read slowly. Neither a program nor its slot waits for the
//! reader: unread events are kept here. The output limit of a run bounds the buffer's size.

use std::collections::VecDeque;
use std::pin::Pin;

use switchtower_contract::{Event, Events};

pub(super) struct EventBuffer {
    to: Events,
    unsent: VecDeque<Event>,
    sending: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
}

impl EventBuffer {
    pub(super) fn new(to: Events) -> Self {
        Self { to, unsent: VecDeque::new(), sending: None }
    }

    pub(super) fn push(&mut self, event: Event) {
        append(&mut self.unsent, event);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unsent.is_empty() && self.sending.is_none()
    }

    /// Sends events until the buffer is empty. Cancel safe: after a cancelled call, the next one continues where it
    /// stopped.
    pub(super) async fn deliver(&mut self) {
        loop {
            if self.sending.is_none() {
                let Some(event) = self.unsent.pop_front() else { return };
                let to = self.to.clone();
                self.sending = Some(Box::pin(async move { to.send(event).await }));
            }
            if let Some(sending) = &mut self.sending {
                let received = sending.await;
                self.sending = None;
                if !received {
                    // The receiver is closed. The run continues: a caller ends a run by dropping its future.
                    self.unsent.clear();
                }
            }
        }
    }
}

/// Appends an event. Text is merged into a preceding event of the same kind, so output that arrives byte by byte costs
/// one byte of memory each, not one event.
pub(super) fn append(events: &mut VecDeque<Event>, event: Event) {
    match (events.back_mut(), event) {
        (Some(Event::Stdout(last)), Event::Stdout(text)) | (Some(Event::Stderr(last)), Event::Stderr(text)) => {
            last.push_str(&text);
        }
        (_, event) => events.push_back(event),
    }
}
