//! A program's events on their way to the caller, over all its attempts. Nobody sees output twice.
//!
//! An attempt's events are held back for a moment, so that a quick change of tier is invisible; after that they flow.
//! What a later attempt says must begin with what was already sent: that is swallowed. Where it differs, the caller is
//! told that the output starts again.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use switchtower_contract::{Event, Events, Output};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::event_buffer::{EventBuffer, append};

/// A caller's ear, or nobody's.
pub struct Relay {
    /// None: nobody listens, and the output is only collected.
    to: Option<EventBuffer>,
    /// What the caller was told by attempts that came to nothing.
    sent: Output,
    /// What this attempt has said.
    said: Output,
    /// What of it is held back, in its order.
    held: VecDeque<Event>,
    /// Its exception, until it is certain that this attempt is the answer: one that says that something is missing here
    /// may lead to another tier, and nobody has to see it then.
    error: Option<Event>,
    mode: Mode,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Held,
    /// It has not yet said all that was sent before; so much of it, it has.
    Follows(Followed),
    Flows,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Followed {
    stdout: usize,
    stderr: usize,
    results: usize,
}

enum OutputMatch {
    Partial,
    Extended,
    Different,
}

impl Relay {
    pub fn new(to: Option<Events>) -> Self {
        let (to, sent, said) = (to.map(EventBuffer::new), Output::default(), Output::default());
        Self { to, sent, said, held: VecDeque::new(), error: None, mode: Mode::Flows }
    }

    /// Takes in an attempt's events until the run is over and its last event is here. Meanwhile the caller is told.
    pub(crate) async fn attempt(
        &mut self,
        hold_back: Duration,
        mut from: mpsc::Receiver<Event>,
        mut over: oneshot::Receiver<()>,
    ) {
        self.said = Output::default();
        self.held.clear();
        self.error = None;
        self.mode = Mode::Held;
        if hold_back.is_zero() || self.to.is_none() {
            self.release();
        }
        let mut held = std::pin::pin!(sleep_until(Instant::now() + hold_back));
        loop {
            tokio::select! {
                biased;
                Some(event) = from.recv() => self.take(event),
                _ = &mut over => break,
                () = &mut held, if self.mode == Mode::Held => self.release(),
                () = self.deliver(), if self.to.as_ref().is_some_and(|to| !to.is_empty()) => {}
            }
        }
        while let Ok(event) = from.try_recv() {
            self.take(event);
        }
    }

    /// Adds an event of ours to what the attempt said.
    pub(crate) fn add(&mut self, event: Event) {
        self.take(event);
    }

    /// The attempt came to nothing; what the caller was told of it stays told.
    pub(crate) fn fails(&mut self) {
        if self.mode == Mode::Flows && self.to.is_some() {
            self.sent = mem::take(&mut self.said);
            if self.error.take().is_some() {
                self.sent.error = None;
            }
        }
    }

    /// The attempt is the answer.
    pub(crate) fn ends(&mut self) -> Output {
        self.release();
        if matches!(self.mode, Mode::Follows(_)) {
            self.restart();
        }
        if let (Some(to), Some(error)) = (&mut self.to, self.error.take()) {
            to.push(error);
        }
        mem::take(&mut self.said)
    }

    /// The line of the exception that this attempt has ended with.
    pub(crate) fn error_line(&self) -> Option<u32> {
        self.said.error.as_ref()?.line
    }

    /// Waits until the caller has read all.
    pub async fn deliver(&mut self) {
        if let Some(to) = &mut self.to {
            to.deliver().await;
        }
    }

    fn take(&mut self, event: Event) {
        match (&self.to, self.mode) {
            (Some(_), Mode::Flows) => self.tell([event.clone()]),
            (Some(_), Mode::Held) => append(&mut self.held, event.clone()),
            (Some(_), Mode::Follows(_)) | (None, _) => {}
        }
        self.said.push(event);
        self.follow();
    }

    /// Ends holding back.
    fn release(&mut self) {
        if self.mode != Mode::Held {
            return;
        }
        let held = mem::take(&mut self.held);
        if self.sent == Output::default() {
            self.mode = Mode::Flows;
            self.tell(held);
        } else {
            self.mode = Mode::Follows(Followed::default());
            self.follow();
        }
    }

    /// Looks how far it has come in saying what was sent before.
    fn follow(&mut self) {
        let Mode::Follows(followed) = &mut self.mode else { return };
        match followed.compare(&self.said, &self.sent) {
            OutputMatch::Partial => {}
            OutputMatch::Different => self.restart(),
            OutputMatch::Extended => {
                self.mode = Mode::Flows;
                let sent = &self.sent;
                let more = Output {
                    stdout: self.said.stdout[sent.stdout.len()..].to_owned(),
                    stderr: self.said.stderr[sent.stderr.len()..].to_owned(),
                    results: self.said.results[sent.results.len()..].to_vec(),
                    error: if sent.error.is_some() { None } else { self.said.error.clone() },
                };
                self.tell(more.events());
            }
        }
    }

    fn restart(&mut self) {
        self.mode = Mode::Flows;
        self.tell([Event::Restart]);
        let said = mem::take(&mut self.said);
        self.tell(said.events());
        self.said = said;
    }

    fn tell(&mut self, events: impl IntoIterator<Item = Event>) {
        let Some(to) = &mut self.to else { return };
        for event in events {
            // Something follows on the last exception: it was not the end.
            if let Some(error) = self.error.take() {
                to.push(error);
            }
            match event {
                Event::Error(_) => self.error = Some(event),
                event => to.push(event),
            }
        }
    }
}

impl Followed {
    fn compare(&mut self, said: &Output, sent: &Output) -> OutputMatch {
        let texts = [(&mut self.stdout, &said.stdout, &sent.stdout), (&mut self.stderr, &said.stderr, &sent.stderr)];
        for (followed, said, sent) in texts {
            let until = said.len().min(sent.len());
            if said.as_bytes()[*followed..until] != sent.as_bytes()[*followed..until] {
                return OutputMatch::Different;
            }
            *followed = until;
        }
        let until = said.results.len().min(sent.results.len());
        if said.results[self.results..until] != sent.results[self.results..until] {
            return OutputMatch::Different;
        }
        self.results = until;
        if said.error.is_some() && sent.error.is_some() && said.error != sent.error {
            return OutputMatch::Different;
        }
        let all = self.stdout == sent.stdout.len()
            && self.stderr == sent.stderr.len()
            && self.results == sent.results.len()
            && (said.error.is_some() || sent.error.is_none());
        if all { OutputMatch::Extended } else { OutputMatch::Partial }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_millis(250);

    /// Attempts that each say this, a text every 100 ms; the last one is the answer. What the caller hears.
    async fn heard(attempts: &[&[Event]]) -> Vec<Event> {
        let (to, mut from) = Events::channel();
        let mut relay = Relay::new(Some(to));
        let says = async {
            for attempt in attempts {
                relay.fails();
                let (events, said) = Events::channel();
                let (over, is_over) = oneshot::channel();
                let run = async {
                    for event in attempt.iter() {
                        events.send(event.clone()).await;
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    let _ = over.send(());
                };
                tokio::join!(run, relay.attempt(HOLD, said, is_over));
            }
            relay.ends();
            relay.deliver().await;
            drop(relay);
        };
        let listens = async {
            let mut heard = Vec::new();
            while let Some(event) = from.recv().await {
                heard.push(event);
            }
            heard
        };
        tokio::join!(says, listens).1
    }

    fn out(text: &str) -> Event {
        Event::Stdout(text.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_held_back_keeps_its_order() {
        let err = || Event::Stderr("!".to_owned());
        assert_eq!(heard(&[&[out("a"), err(), out("b")]]).await, [out("a"), err(), out("b")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_attempt_that_fails_is_never_heard() {
        assert_eq!(heard(&[&[out("a")], &[out("b"), out("c")]]).await, [out("bc")]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_exception_that_ends_an_attempt_which_is_not_the_answer_is_never_heard() {
        let error = |name: &str| {
            let (name, value) = (name.to_owned(), String::new());
            Event::Error(switchtower_contract::Failure { name, value, traceback: String::new(), line: None })
        };
        let long = [out("a"), out("b"), out("c"), out("d"), error("ModuleNotFoundError")];
        let again = [out("ab"), out("cd"), out("e")];
        assert_eq!(heard(&[&long, &again]).await, [out("abc"), out("d"), out("e")]);
        // That of the answer is heard, at its place.
        let last = [out("ab"), out("cd"), out("e"), error("ValueError")];
        assert_eq!(heard(&[&long, &last]).await, [out("abc"), out("d"), out("e"), error("ValueError")]);
        let goes_on = [out("a"), out("b"), error("KeyError"), out("c"), out("d")];
        assert_eq!(heard(&[&goes_on]).await, [out("ab"), error("KeyError"), out("c"), out("d")]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_heard_is_swallowed_wherever_it_is_cut() {
        let long = [out("ab"), out("c"), out("d")];
        let err = Event::Stderr("!".to_owned());
        let again = [out("a"), out("bcd"), err.clone(), out("e")];
        assert_eq!(heard(&[&long, &long, &again]).await, [out("abcd"), err, out("e")]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_stops_short_of_what_was_heard_starts_again() {
        let long = [out("a"), out("b"), out("c"), out("d")];
        assert_eq!(heard(&[&long, &[out("ab")]]).await, [out("abc"), out("d"), Event::Restart, out("ab")]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_differs_starts_again_and_then_flows() {
        let (long, other) = ([out("a"), out("b"), out("c")], [out("a"), out("x"), out("y"), out("z")]);
        assert_eq!(heard(&[&long, &other]).await, [out("abc"), Event::Restart, out("axy"), out("z")]);
    }
}
