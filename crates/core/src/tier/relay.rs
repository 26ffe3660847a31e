//! Relays a program's events to the caller across all of its attempts, without sending any output twice.
//!
//! The events of an attempt are held back at first, so that the caller does not see the output of an attempt that soon
//! moves to another tier; then they are streamed. The output of a later attempt must start with the output that was
//! already sent; that prefix is not sent again. If the output differs, the caller gets [`Event::Restart`] and the whole
//! output of the later attempt.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use switchtower_contract::{Event, Events, Output};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::event_buffer::{EventBuffer, append};

/// Collects the output of each attempt and relays it to the caller, if there is one.
pub struct Relay {
    /// `None`: output is collected and sent nowhere.
    to: Option<EventBuffer>,
    /// The output that earlier, discarded attempts have sent to the caller.
    sent: Output,
    /// The output of the current attempt so far.
    output: Output,
    /// The events of the current attempt that are held back, in order.
    held: VecDeque<Event>,
    /// The exception of the current attempt, kept until the attempt is known to be the final one: an exception about a
    /// missing module may lead to another tier, and the caller must not see it then.
    error: Option<Event>,
    mode: Mode,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Events are held back.
    Holding,
    /// The output is compared with what was sent by earlier attempts and has not reached its end yet.
    Matching(MatchedPrefix),
    /// Events are sent as they arrive.
    Streaming,
}

/// How much of the sent output the current attempt has repeated: bytes of the texts, number of results.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct MatchedPrefix {
    stdout: usize,
    stderr: usize,
    results: usize,
}

/// How the output of an attempt compares with the sent output.
enum OutputMatch {
    /// It is a proper prefix of the sent output.
    Partial,
    /// It starts with the whole sent output.
    Complete,
    Different,
}

impl Relay {
    pub fn new(to: Option<Events>) -> Self {
        let (to, sent, output) = (to.map(EventBuffer::new), Output::default(), Output::default());
        Self { to, sent, output, held: VecDeque::new(), error: None, mode: Mode::Streaming }
    }

    /// Relays the events of an attempt until the run is over and its last event has arrived.
    pub(crate) async fn attempt(
        &mut self,
        output_delay: Duration,
        mut from: mpsc::Receiver<Event>,
        mut is_over: oneshot::Receiver<()>,
    ) {
        self.output = Output::default();
        self.held.clear();
        self.error = None;
        self.mode = Mode::Holding;
        if output_delay.is_zero() || self.to.is_none() {
            self.release();
        }
        let mut output_delay = std::pin::pin!(sleep_until(Instant::now() + output_delay));
        loop {
            tokio::select! {
                biased;
                Some(event) = from.recv() => self.take(event),
                _ = &mut is_over => break,
                () = &mut output_delay, if self.mode == Mode::Holding => self.release(),
                () = self.deliver(), if self.to.as_ref().is_some_and(|to| !to.is_empty()) => {}
            }
        }
        while let Ok(event) = from.try_recv() {
            self.take(event);
        }
    }

    /// Adds an event to the output of the current attempt.
    pub(crate) fn add(&mut self, event: Event) {
        self.take(event);
    }

    /// Discards the current attempt. Output that was sent to the caller is remembered, so that the next attempt does
    /// not repeat it.
    pub(crate) fn discard_attempt(&mut self) {
        if self.mode == Mode::Streaming && self.to.is_some() {
            self.sent = mem::take(&mut self.output);
            if self.error.take().is_some() {
                self.sent.error = None;
            }
        }
    }

    /// Ends the relay: the current attempt is the final one. Returns its output.
    pub(crate) fn finish(&mut self) -> Output {
        self.release();
        if matches!(self.mode, Mode::Matching(_)) {
            self.restart();
        }
        if let (Some(to), Some(error)) = (&mut self.to, self.error.take()) {
            to.push(error);
        }
        mem::take(&mut self.output)
    }

    /// Returns the line of the exception that the current attempt has ended with.
    pub(crate) fn error_line(&self) -> Option<u32> {
        self.output.error.as_ref()?.line
    }

    /// Waits until the caller has received every event.
    pub async fn deliver(&mut self) {
        if let Some(to) = &mut self.to {
            to.deliver().await;
        }
    }

    fn take(&mut self, event: Event) {
        match (&self.to, self.mode) {
            (Some(_), Mode::Streaming) => self.send([event.clone()]),
            (Some(_), Mode::Holding) => append(&mut self.held, event.clone()),
            (Some(_), Mode::Matching(_)) | (None, _) => {}
        }
        self.output.push(event);
        self.match_sent();
    }

    /// Stops holding events back.
    fn release(&mut self) {
        if self.mode != Mode::Holding {
            return;
        }
        let held = mem::take(&mut self.held);
        if self.sent == Output::default() {
            self.mode = Mode::Streaming;
            self.send(held);
        } else {
            self.mode = Mode::Matching(MatchedPrefix::default());
            self.match_sent();
        }
    }

    /// Compares the output of the current attempt with the sent output, and streams what goes beyond it.
    fn match_sent(&mut self) {
        let Mode::Matching(matched) = &mut self.mode else { return };
        match matched.advance(&self.output, &self.sent) {
            OutputMatch::Partial => {}
            OutputMatch::Different => self.restart(),
            OutputMatch::Complete => {
                self.mode = Mode::Streaming;
                let sent = &self.sent;
                let rest = Output {
                    stdout: self.output.stdout[sent.stdout.len()..].to_owned(),
                    stderr: self.output.stderr[sent.stderr.len()..].to_owned(),
                    results: self.output.results[sent.results.len()..].to_vec(),
                    error: if sent.error.is_some() { None } else { self.output.error.clone() },
                };
                self.send(rest.events());
            }
        }
    }

    /// Sends the whole output of the current attempt after [`Event::Restart`].
    fn restart(&mut self) {
        self.mode = Mode::Streaming;
        self.send([Event::Restart]);
        let output = mem::take(&mut self.output);
        self.send(output.events());
        self.output = output;
    }

    /// Sends events to the caller. An exception is kept until another event follows it or the relay ends.
    fn send(&mut self, events: impl IntoIterator<Item = Event>) {
        let Some(to) = &mut self.to else { return };
        for event in events {
            // An event follows the exception, so the exception did not end the program.
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

impl MatchedPrefix {
    /// Compares what was not compared before.
    fn advance(&mut self, output: &Output, sent: &Output) -> OutputMatch {
        let texts =
            [(&mut self.stdout, &output.stdout, &sent.stdout), (&mut self.stderr, &output.stderr, &sent.stderr)];
        for (matched, output, sent) in texts {
            let until = output.len().min(sent.len());
            if output.as_bytes()[*matched..until] != sent.as_bytes()[*matched..until] {
                return OutputMatch::Different;
            }
            *matched = until;
        }
        let until = output.results.len().min(sent.results.len());
        if output.results[self.results..until] != sent.results[self.results..until] {
            return OutputMatch::Different;
        }
        self.results = until;
        if output.error.is_some() && sent.error.is_some() && output.error != sent.error {
            return OutputMatch::Different;
        }
        let all = self.stdout == sent.stdout.len()
            && self.stderr == sent.stderr.len()
            && self.results == sent.results.len()
            && (output.error.is_some() || sent.error.is_none());
        if all { OutputMatch::Complete } else { OutputMatch::Partial }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT_DELAY: Duration = Duration::from_millis(250);

    /// Relays these attempts, which send one event every 100 ms; the last attempt is the final one. Returns what the
    /// caller receives.
    async fn relay_attempts(attempts: &[&[Event]]) -> Vec<Event> {
        let (to, mut from) = Events::channel();
        let mut relay = Relay::new(Some(to));
        let send = async {
            for attempt in attempts {
                relay.discard_attempt();
                let (events, from) = Events::channel();
                let (over, is_over) = oneshot::channel();
                let run = async {
                    for event in attempt.iter() {
                        events.send(event.clone()).await;
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    let _ = over.send(());
                };
                tokio::join!(run, relay.attempt(OUTPUT_DELAY, from, is_over));
            }
            relay.finish();
            relay.deliver().await;
            drop(relay);
        };
        let receive = async {
            let mut received = Vec::new();
            while let Some(event) = from.recv().await {
                received.push(event);
            }
            received
        };
        tokio::join!(send, receive).1
    }

    fn out(text: &str) -> Event {
        Event::Stdout(text.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn held_back_events_keep_their_order() {
        let err = || Event::Stderr("!".to_owned());
        assert_eq!(relay_attempts(&[&[out("a"), err(), out("b")]]).await, [out("a"), err(), out("b")]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_output_of_a_short_discarded_attempt_is_never_sent() {
        assert_eq!(relay_attempts(&[&[out("a")], &[out("b"), out("c")]]).await, [out("bc")]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_exception_that_ends_a_discarded_attempt_is_never_sent() {
        let error = |name: &str| {
            let (name, value) = (name.to_owned(), String::new());
            Event::Error(switchtower_contract::Failure { name, value, traceback: String::new(), line: None })
        };
        let long = [out("a"), out("b"), out("c"), out("d"), error("ModuleNotFoundError")];
        let again = [out("ab"), out("cd"), out("e")];
        assert_eq!(relay_attempts(&[&long, &again]).await, [out("abc"), out("d"), out("e")]);
        // The exception of the final attempt is sent, in order.
        let last = [out("ab"), out("cd"), out("e"), error("ValueError")];
        assert_eq!(relay_attempts(&[&long, &last]).await, [out("abc"), out("d"), out("e"), error("ValueError")]);
        let continued = [out("a"), out("b"), error("KeyError"), out("c"), out("d")];
        assert_eq!(relay_attempts(&[&continued]).await, [out("ab"), error("KeyError"), out("c"), out("d")]);
    }

    #[tokio::test(start_paused = true)]
    async fn output_that_was_sent_is_not_sent_again_however_it_is_split_into_events() {
        let long = [out("ab"), out("c"), out("d")];
        let err = Event::Stderr("!".to_owned());
        let again = [out("a"), out("bcd"), err.clone(), out("e")];
        assert_eq!(relay_attempts(&[&long, &long, &again]).await, [out("abcd"), err, out("e")]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_output_restarts_if_the_final_attempt_ends_before_the_sent_output() {
        let long = [out("a"), out("b"), out("c"), out("d")];
        assert_eq!(relay_attempts(&[&long, &[out("ab")]]).await, [out("abc"), out("d"), Event::Restart, out("ab")]);
    }

    #[tokio::test(start_paused = true)]
    async fn output_that_differs_from_the_sent_output_restarts_and_is_then_streamed() {
        let (long, other) = ([out("a"), out("b"), out("c")], [out("a"), out("x"), out("y"), out("z")]);
        assert_eq!(relay_attempts(&[&long, &other]).await, [out("abc"), Event::Restart, out("axy"), out("z")]);
    }
}
