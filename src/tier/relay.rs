//! A program's events on their way to the caller, over all its attempts. Nobody sees output twice.
//!
//! An attempt's events are held back for a moment, so that a quick change of tier is invisible; after that they flow.
//! What a later attempt says must begin with what was already sent: that is swallowed. Where it differs, the caller is
//! told that the output starts again.

use std::mem;
use std::time::Duration;

use switchtower_contract::{Event, Events, Output};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

pub(super) struct Relay {
    /// Nobody listens: the output is only collected.
    to: Option<Events>,
    /// What the caller has of attempts that came to nothing.
    sent: Output,
    /// What this attempt has said.
    said: Output,
    mode: Mode,
}

enum Mode {
    /// In order, neighbours of a kind as one.
    Held(Vec<Event>),
    /// It has not yet said all that was sent before.
    Follows(Followed),
    Flows,
}

/// How much of what was sent before this attempt has said again.
#[derive(Default)]
struct Followed {
    stdout: usize,
    stderr: usize,
    results: usize,
}

enum Said {
    Less,
    AllAndMore,
    Otherwise,
}

impl Relay {
    pub(super) fn new(to: Option<Events>) -> Self {
        Self { to, sent: Output::default(), said: Output::default(), mode: Mode::Flows }
    }

    /// Takes in an attempt's events until the run is over and its last event is here.
    pub(super) async fn attempt(
        &mut self,
        hold_back: Duration,
        mut from: mpsc::Receiver<Event>,
        mut over: oneshot::Receiver<()>,
    ) {
        self.said = Output::default();
        self.mode = Mode::Held(Vec::new());
        if self.to.is_none() {
            self.mode = Mode::Flows;
        } else if hold_back.is_zero() {
            self.release().await;
        }
        let mut held = std::pin::pin!(sleep_until(Instant::now() + hold_back));
        loop {
            tokio::select! {
                biased;
                Some(event) = from.recv() => self.take(event).await,
                _ = &mut over => break,
                () = &mut held, if matches!(self.mode, Mode::Held(_)) => self.release().await,
            }
        }
        while let Ok(event) = from.try_recv() {
            self.take(event).await;
        }
    }

    /// The attempt came to nothing; what the caller has of it stays with the caller.
    pub(super) fn fails(&mut self) {
        if matches!(self.mode, Mode::Flows) && self.to.is_some() {
            self.sent = mem::take(&mut self.said);
        }
    }

    /// The attempt is the answer: the caller has all of it after this.
    pub(super) async fn ends(&mut self) -> Output {
        self.release().await;
        if matches!(self.mode, Mode::Follows(_)) {
            self.restart().await;
        }
        mem::take(&mut self.said)
    }

    async fn take(&mut self, event: Event) {
        if self.to.is_none() {
            return self.said.take(event);
        }
        self.said.take(event.clone());
        match &mut self.mode {
            Mode::Held(events) => join(events, event),
            Mode::Follows(_) => self.follow().await,
            Mode::Flows => self.send(event).await,
        }
    }

    /// Ends holding back.
    async fn release(&mut self) {
        if !matches!(self.mode, Mode::Held(_)) {
            return;
        }
        if self.sent != Output::default() {
            self.mode = Mode::Follows(Followed::default());
            return self.follow().await;
        }
        if let Mode::Held(events) = mem::replace(&mut self.mode, Mode::Flows) {
            for event in events {
                self.send(event).await;
            }
        }
    }

    async fn follow(&mut self) {
        let Mode::Follows(followed) = &mut self.mode else { return };
        match followed.compare(&self.said, &self.sent) {
            Said::Less => {}
            Said::Otherwise => self.restart().await,
            Said::AllAndMore => {
                self.mode = Mode::Flows;
                let error = if self.sent.error.is_some() { None } else { self.said.error.clone() };
                let more = Output {
                    stdout: self.said.stdout[self.sent.stdout.len()..].to_owned(),
                    stderr: self.said.stderr[self.sent.stderr.len()..].to_owned(),
                    results: self.said.results[self.sent.results.len()..].to_vec(),
                    error,
                };
                self.send_all(&more).await;
            }
        }
    }

    async fn restart(&mut self) {
        self.mode = Mode::Flows;
        self.send(Event::Restart).await;
        let said = mem::take(&mut self.said);
        self.send_all(&said).await;
        self.said = said;
    }

    async fn send_all(&self, output: &Output) {
        for event in output.events() {
            self.send(event).await;
        }
    }

    async fn send(&self, event: Event) {
        if let Some(to) = &self.to {
            // A caller that reads no more is no reason to stop: it ends a run by leaving.
            to.send(event).await;
        }
    }
}

impl Followed {
    fn compare(&mut self, said: &Output, sent: &Output) -> Said {
        let texts = [(&mut self.stdout, &said.stdout, &sent.stdout), (&mut self.stderr, &said.stderr, &sent.stderr)];
        for (followed, said, sent) in texts {
            let until = said.len().min(sent.len());
            if said.as_bytes()[*followed..until] != sent.as_bytes()[*followed..until] {
                return Said::Otherwise;
            }
            *followed = until;
        }
        let until = said.results.len().min(sent.results.len());
        if said.results[self.results..until] != sent.results[self.results..until] {
            return Said::Otherwise;
        }
        self.results = until;
        if said.error.is_some() && sent.error.is_some() && said.error != sent.error {
            return Said::Otherwise;
        }
        let all = self.stdout == sent.stdout.len()
            && self.stderr == sent.stderr.len()
            && self.results == sent.results.len()
            && (said.error.is_some() || sent.error.is_none());
        if all { Said::AllAndMore } else { Said::Less }
    }
}

/// Adds an event; text behind text of the same kind becomes one, so a byte at a time costs a byte each.
fn join(events: &mut Vec<Event>, event: Event) {
    match (events.last_mut(), event) {
        (Some(Event::Stdout(held)), Event::Stdout(text)) | (Some(Event::Stderr(held)), Event::Stderr(text)) => {
            held.push_str(&text);
        }
        (_, event) => events.push(event),
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
            relay.ends().await;
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
    async fn a_short_attempt_that_fails_is_never_heard() {
        assert_eq!(heard(&[&[out("a")], &[out("b"), out("c")]]).await, [out("bc")]);
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
