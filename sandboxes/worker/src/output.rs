//! The output of one run: text is gathered for a moment, cut at the limit, and sent on as events.

use std::time::{Duration, Instant};

use switchtower_contract::{Event, Failure, MimeBundle};

/// Takes the events of one run, in order. Returns false once the receiver has left.
pub type SendEvent = Box<dyn FnMut(Event) -> bool + Send>;

/// Text is sent on when this many bytes of it are pending …
const CHUNK: usize = 16 << 10;
/// … or when the oldest pending byte has waited this long.
const MAX_DELAY: Duration = Duration::from_millis(15);
/// Most bytes of shown values in one run, beside its text.
const MAX_VALUE_BYTES: u64 = 16 << 20;

/// One of a program's two streams of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StdStream {
    Stdout,
    Stderr,
}

/// The output of one run, on its way to the receiver.
pub struct OutputBuffer {
    send: Option<SendEvent>,
    pending: Vec<u8>,
    /// The stream of the pending bytes.
    stream: StdStream,
    /// When the oldest pending byte was written.
    pending_since: Option<Instant>,
    remaining_text: u64,
    remaining_values: u64,
    truncated: bool,
    /// Whether the output contained the address of an object.
    has_address: bool,
    /// The last bytes of each stream: an address may be sent on in two parts.
    ends: [Vec<u8>; 2],
    has_receiver: bool,
}

impl OutputBuffer {
    /// Returns a buffer that discards everything: for an instance that has no program yet.
    pub fn closed() -> Self {
        Self {
            send: None,
            pending: Vec::new(),
            stream: StdStream::Stdout,
            pending_since: None,
            remaining_text: u64::MAX,
            remaining_values: MAX_VALUE_BYTES,
            truncated: false,
            has_address: false,
            ends: [Vec::new(), Vec::new()],
            has_receiver: true,
        }
    }

    /// Returns a buffer that sends on up to `max_text` bytes of text.
    pub fn open(send: SendEvent, max_text: u64) -> Self {
        Self { send: Some(send), remaining_text: max_text, ..Self::closed() }
    }

    /// Returns whether output was left out because of a limit.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Returns whether the program printed an object's address, which differs between processes.
    pub fn has_address(&self) -> bool {
        self.has_address
    }

    /// Returns false once an event could not be sent.
    pub fn has_receiver(&self) -> bool {
        self.has_receiver
    }

    /// Adds what a program wrote.
    pub fn write(&mut self, stream: StdStream, bytes: &[u8]) {
        if self.send.is_none() {
            return;
        }
        let kept = bytes.len().min(usize::try_from(self.remaining_text).unwrap_or(usize::MAX));
        self.truncated |= kept < bytes.len();
        if kept == 0 {
            return;
        }
        self.remaining_text -= kept as u64;
        if stream != self.stream {
            self.flush();
            self.stream = stream;
        }
        self.pending.extend_from_slice(&bytes[..kept]);
        if self.pending.len() >= CHUNK {
            self.send_whole_characters();
        } else if self.pending_since.is_none() {
            self.pending_since = Some(now());
        }
    }

    /// Sends on text that has waited long enough. Called on every tick of the deadline's clock, so that output arrives
    /// in time however rarely a program writes.
    pub fn tick(&mut self) {
        if self.pending_since.is_some_and(|since| now() - since >= MAX_DELAY) {
            self.send_lines();
        }
    }

    /// Sends on the pending lines. One that has no end yet waits anew: programs write a line's text and its end one after
    /// the other. Where there is no other line, it is sent on.
    fn send_lines(&mut self) {
        let whole = self.pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let begun = if whole == 0 { Vec::new() } else { self.pending.split_off(whole) };
        self.send_whole_characters();
        if !begun.is_empty() {
            self.pending.extend(begun);
            self.pending_since = Some(now());
        }
    }

    /// Sends on a value that was shown, after the text before it.
    pub fn show(&mut self, data: MimeBundle, main: bool) {
        let size = data.iter().map(|(mime, data)| (mime.len() + data.len()) as u64).sum::<u64>();
        if size > self.remaining_values {
            self.truncated = true;
            return;
        }
        self.remaining_values -= size;
        self.has_address |= data.values().any(|text| contains_address(text));
        self.flush();
        self.event(Event::Result { data, main });
    }

    /// Sends on any other event. Call [`flush`](Self::flush) before, to keep the order.
    pub fn event(&mut self, event: Event) {
        if let Event::Error(Failure { value, traceback, .. }) = &event {
            self.has_address |= [value, traceback].iter().any(|text| contains_address(text));
        }
        if let Some(send) = &mut self.send {
            self.has_receiver &= send(event);
        }
    }

    /// Sends on all pending text; bytes that are no characters are replaced.
    pub fn flush(&mut self) {
        self.send_whole_characters();
        if !self.pending.is_empty() {
            let text = String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned();
            self.text(text);
        }
        self.pending_since = None;
    }

    /// Sends on the pending text up to the last whole character: a write may end in the middle of one.
    fn send_whole_characters(&mut self) {
        self.pending_since = None;
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
        let end = &mut self.ends[self.stream as usize];
        end.extend(text.bytes().take(AROUND_CUT));
        self.has_address |= contains_address(&text) || contains_address(&String::from_utf8_lossy(end));
        if text.len() > AROUND_CUT {
            end.clear();
            end.extend_from_slice(&text.as_bytes()[text.len() - AROUND_CUT..]);
        } else {
            end.drain(..end.len().saturating_sub(AROUND_CUT));
        }
        match self.stream {
            StdStream::Stdout => self.event(Event::Stdout(text)),
            StdStream::Stderr => self.event(Event::Stderr(text)),
        }
    }
}

/// Bytes on either side of the place where output was cut in two that are searched for an address.
const AROUND_CUT: usize = 16;

/// Returns whether a text contains an address as CPython writes it: `<__main__.Thing object at 0x7f…>`. A program may have
/// wrapped the line.
fn contains_address(text: &str) -> bool {
    text.match_indices("0x").any(|(at, _)| {
        let before = text[..at].trim_end();
        before.len() < at && before.ends_with("at")
    })
}

#[allow(clippy::disallowed_methods, reason = "programs run in real time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn recorded(max_text: u64) -> (OutputBuffer, Arc<Mutex<Vec<Event>>>) {
        let events = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&events);
        let send = Box::new(move |event| {
            to.lock().unwrap().push(event);
            true
        });
        (OutputBuffer::open(send, max_text), events)
    }

    #[test]
    fn a_character_that_two_writes_cut_arrives_whole() {
        let (mut output, events) = recorded(100);
        output.write(StdStream::Stdout, &"é".as_bytes()[..1]);
        output.send_whole_characters();
        assert!(events.lock().unwrap().is_empty());
        output.write(StdStream::Stdout, &"é".as_bytes()[1..]);
        output.flush();
        assert_eq!(*events.lock().unwrap(), [Event::Stdout("é".into())]);
    }

    #[test]
    fn a_line_without_its_end_waits_for_it_but_not_behind_nothing() {
        let (mut output, events) = recorded(100);
        output.write(StdStream::Stdout, b"one\ntw");
        output.send_lines();
        assert_eq!(*events.lock().unwrap(), [Event::Stdout("one\n".into())]);
        assert!(output.pending_since.is_some());
        output.write(StdStream::Stdout, b"o\n");
        output.send_lines();
        output.write(StdStream::Stdout, b"thr");
        output.send_lines();
        let events: Vec<Event> = events.lock().unwrap().clone();
        assert_eq!(events[1..], [Event::Stdout("two\n".into()), Event::Stdout("thr".into())]);
        assert!(output.pending_since.is_none());
    }

    #[test]
    fn output_is_cut_at_its_limit_and_marked_as_truncated() {
        let (mut output, events) = recorded(4);
        output.write(StdStream::Stdout, b"abc");
        output.write(StdStream::Stderr, b"def");
        output.write(StdStream::Stdout, b"ghi");
        output.flush();
        assert!(output.is_truncated());
        assert_eq!(*events.lock().unwrap(), [Event::Stdout("abc".into()), Event::Stderr("d".into())]);
    }

    #[test]
    fn an_address_is_seen_in_every_part_of_the_output_and_where_it_is_cut() {
        let address = "<__main__.A object at 0x12a4b8>";
        let sees = |run: &dyn Fn(&mut OutputBuffer)| {
            let (mut output, _events) = recorded(100);
            run(&mut output);
            output.flush();
            output.has_address()
        };
        let failure = |value: &str, traceback: &str| Failure {
            name: "E".into(),
            value: value.into(),
            traceback: traceback.into(),
            line: None,
        };
        assert!(sees(&|output| output.write(StdStream::Stderr, address.as_bytes())));
        assert!(sees(&|output| output.show([("text/plain".to_owned(), address.to_owned())].into(), true)));
        assert!(sees(&|output| output.event(Event::Error(failure(address, "")))));
        assert!(sees(&|output| output.event(Event::Error(failure("", address)))));
        assert!(sees(&|output| output.write(StdStream::Stdout, b"<A object at\n0x12a4b8>")));
        assert!(sees(&|output| {
            for byte in address.bytes() {
                output.write(StdStream::Stdout, &[byte]);
                output.write(StdStream::Stderr, b".");
            }
        }));
        assert!(!sees(&|output| {
            output.write(StdStream::Stdout, b"0xff and what0x1 that's 0x2, at ");
            output.write(StdStream::Stderr, b"0x3");
            output.event(Event::Error(failure("0xff", "at line 3")));
        }));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_not_lost() {
        let (mut output, events) = recorded(100);
        output.write(StdStream::Stdout, b"a\xffb");
        output.flush();
        assert_eq!(*events.lock().unwrap(), [Event::Stdout("a\u{fffd}b".into())]);
    }
}
