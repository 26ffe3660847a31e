//! Where a program's words go: kept together for a moment, cut at the limit, sent on as events.

use std::time::{Duration, Instant};

use switchtower_contract::{Bundle, Event};

/// Takes the events of one run, in order. False: nobody listens any more.
pub type Send = Box<dyn FnMut(Event) -> bool + std::marker::Send>;

/// Text is sent on when this much has come together …
const CHUNK: usize = 16 << 10;
/// … or when the oldest of it has waited this long.
const STALE: Duration = Duration::from_millis(15);
/// Bytes of shown values kept of one run, beside its text.
const SHOWN: u64 = 16 << 20;

/// One of a program's two streams of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// The sink of one run.
pub struct Sink {
    send: Option<Send>,
    pending: Vec<u8>,
    of: Stream,
    since: Option<Instant>,
    room: u64,
    room_for_values: u64,
    cut: bool,
    /// The text of some object's address went by.
    address: bool,
    listening: bool,
}

impl Sink {
    /// Swallows everything: an instance that has no program yet.
    pub fn closed() -> Self {
        Self {
            send: None,
            pending: Vec::new(),
            of: Stream::Stdout,
            since: None,
            room: u64::MAX,
            room_for_values: SHOWN,
            cut: false,
            address: false,
            listening: true,
        }
    }

    /// Keeps `room` bytes of text and sends them on.
    pub fn open(send: Send, room: u64) -> Self {
        Self { send: Some(send), room, ..Self::closed() }
    }

    /// Output was left out.
    pub fn was_cut(&self) -> bool {
        self.cut
    }

    /// The program showed an address: in another process it would be another one.
    pub fn showed_an_address(&self) -> bool {
        self.address
    }

    /// Somebody still wants to hear.
    pub fn listening(&self) -> bool {
        self.listening
    }

    /// Takes in what a program wrote.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        if self.send.is_none() {
            return;
        }
        let kept = bytes.len().min(usize::try_from(self.room).unwrap_or(usize::MAX));
        self.cut |= kept < bytes.len();
        if kept == 0 {
            return;
        }
        self.room -= kept as u64;
        if stream != self.of {
            self.flush();
            self.of = stream;
        }
        self.pending.extend_from_slice(&bytes[..kept]);
        if self.pending.len() >= CHUNK {
            self.send_whole_characters();
        } else if self.since.is_none() {
            self.since = Some(now());
        }
    }

    /// Called on every tick of the deadline's clock, so that output is live however rarely a program writes.
    pub fn tick(&mut self) {
        if self.since.is_some_and(|since| now() - since >= STALE) {
            self.send_whole_characters();
        }
    }

    /// Takes in a value that was shown.
    pub fn show(&mut self, data: Bundle, main: bool) {
        let size = data.iter().map(|(mime, data)| (mime.len() + data.len()) as u64).sum::<u64>();
        if size > self.room_for_values {
            self.cut = true;
            return;
        }
        self.room_for_values -= size;
        self.address |= data.values().any(|text| holds_address(text));
        self.flush();
        self.event(Event::Result { data, main });
    }

    /// Takes in anything else, in its turn: after a [`flush`](Self::flush).
    pub fn event(&mut self, event: Event) {
        if let Some(send) = &mut self.send {
            self.listening &= send(event);
        }
    }

    /// Sends on all that is left, broken characters replaced.
    pub fn flush(&mut self) {
        self.send_whole_characters();
        if !self.pending.is_empty() {
            let text = String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned();
            self.text(text);
        }
        self.since = None;
    }

    /// A character may be cut in two by a write: its beginning waits for its end.
    fn send_whole_characters(&mut self) {
        self.since = None;
        let mut pending = std::mem::take(&mut self.pending);
        let whole = match std::str::from_utf8(&pending) {
            Ok(_) => pending.len(),
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            Err(_) => {
                let text = String::from_utf8_lossy(&pending).into_owned();
                self.text(text);
                return;
            }
        };
        self.pending = pending.split_off(whole);
        if let Ok(text) = String::from_utf8(pending)
            && !text.is_empty()
        {
            self.text(text);
        }
    }

    fn text(&mut self, text: String) {
        self.address |= holds_address(&text);
        match self.of {
            Stream::Stdout => self.event(Event::Stdout(text)),
            Stream::Stderr => self.event(Event::Stderr(text)),
        }
    }
}

/// `<__main__.Thing object at 0x7f…>`, as CPython writes it.
fn holds_address(text: &str) -> bool {
    text.contains(" at 0x")
}

#[allow(clippy::disallowed_methods, reason = "programs run in real time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn heard(room: u64) -> (Sink, Arc<Mutex<Vec<Event>>>) {
        let events = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&events);
        let send = Box::new(move |event| {
            to.lock().unwrap().push(event);
            true
        });
        (Sink::open(send, room), events)
    }

    #[test]
    fn a_character_that_two_writes_cut_arrives_whole() {
        let (mut sink, events) = heard(100);
        sink.write(Stream::Stdout, &"é".as_bytes()[..1]);
        sink.send_whole_characters();
        assert!(events.lock().unwrap().is_empty());
        sink.write(Stream::Stdout, &"é".as_bytes()[1..]);
        sink.flush();
        assert_eq!(*events.lock().unwrap(), [Event::Stdout("é".into())]);
    }

    #[test]
    fn output_is_cut_at_its_limit_and_says_so() {
        let (mut sink, events) = heard(4);
        sink.write(Stream::Stdout, b"abc");
        sink.write(Stream::Stderr, b"def");
        sink.write(Stream::Stdout, b"ghi");
        sink.flush();
        assert!(sink.was_cut());
        assert_eq!(*events.lock().unwrap(), [Event::Stdout("abc".into()), Event::Stderr("d".into())]);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_not_lost() {
        let (mut sink, events) = heard(100);
        sink.write(Stream::Stdout, b"a\xffb");
        sink.flush();
        assert_eq!(*events.lock().unwrap(), [Event::Stdout("a\u{fffd}b".into())]);
    }
}
