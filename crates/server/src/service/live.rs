//! A run whose events are passed on while it goes on, for the streams of all APIs.

use std::pin::Pin;

use tokio::sync::mpsc::Receiver;

/// A run and the channel of its events. Dropping it ends the run.
pub(crate) struct LiveRun<E, T> {
    events: Receiver<E>,
    phase: Phase<T>,
}

enum Phase<T> {
    Running(Pin<Box<dyn Future<Output = T> + Send>>),
    /// The run has ended; its last events may still be in the channel.
    Ended(T),
    /// The outcome has been returned.
    Done,
}

/// The next item of a live run.
pub(crate) enum LiveItem<E, T> {
    Event(E),
    Outcome(T),
}

impl<E, T> LiveRun<E, T> {
    /// `run` has sent all its events to the channel by the time it ends.
    pub(crate) fn new(events: Receiver<E>, run: impl Future<Output = T> + Send + 'static) -> Self {
        Self { events, phase: Phase::Running(Box::pin(run)) }
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running(_))
    }

    /// Returns the next event, then the outcome, then `None`. Cancel safe: what was received is returned at once.
    pub(crate) async fn next(&mut self) -> Option<LiveItem<E, T>> {
        if let Phase::Running(run) = &mut self.phase {
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => return Some(LiveItem::Event(event)),
                outcome = run => self.phase = Phase::Ended(outcome),
            }
        }
        if matches!(self.phase, Phase::Ended(_))
            && let Ok(event) = self.events.try_recv()
        {
            return Some(LiveItem::Event(event));
        }
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Ended(outcome) => Some(LiveItem::Outcome(outcome)),
            Phase::Running(_) | Phase::Done => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn all_events_come_before_the_outcome_and_nothing_after_it() {
        let (sender, events) = mpsc::channel(8);
        let mut run = LiveRun::new(events, async move {
            for number in 0..3 {
                sender.send(number).await.unwrap();
            }
            "end"
        });
        let mut seen = Vec::new();
        while let Some(item) = run.next().await {
            seen.push(match item {
                LiveItem::Event(number) => number.to_string(),
                LiveItem::Outcome(outcome) => outcome.to_owned(),
            });
        }
        assert_eq!(seen, ["0", "1", "2", "end"]);
        assert!(run.next().await.is_none() && !run.is_running());
    }
}
