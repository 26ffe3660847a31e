//! The Connect protocol as envd speaks it: JSON in frames of a flag, a length and a message.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use serde::Deserialize;

/// Set on the last frame of a stream, which holds `{}` or an error.
const END: u8 = 2;
/// Most bytes of one message.
const MOST: usize = 16 << 20;

/// One message in its frame.
pub(crate) fn frame(message: &serde_json::Value) -> Bytes {
    let text = message.to_string();
    let mut framed = BytesMut::with_capacity(text.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    framed.put_slice(text.as_bytes());
    framed.freeze()
}

/// Frames as they arrive, in whatever pieces.
#[derive(Default)]
pub(crate) struct Frames(BytesMut);

/// What a frame holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Message(Bytes),
    /// The stream is over; the error that it ended in, by Connect's code.
    End(Option<Failure>),
}

/// An error as Connect tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Failure {
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) message: String,
}

#[derive(Deserialize)]
struct Trailer {
    error: Option<Failure>,
}

/// A frame that is longer than any that is sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Frames {
    pub(crate) fn add(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
    }

    /// The next whole frame, if it is here.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, TooLong> {
        let Some(head) = self.0.first_chunk::<5>() else { return Ok(None) };
        let (flag, length) = (head[0], u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize);
        if length > MOST {
            return Err(TooLong);
        }
        if self.0.len() < 5 + length {
            return Ok(None);
        }
        self.0.advance(5);
        let message = self.0.split_to(length).freeze();
        Ok(Some(if flag & END == 0 {
            Frame::Message(message)
        } else {
            Frame::End(serde_json::from_slice::<Trailer>(&message).ok().and_then(|trailer| trailer.error))
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn frames_are_the_same_however_they_are_cut() {
        let mut bytes = [frame(&json!({"a": 1})), frame(&json!({}))].concat();
        bytes.extend([2, 0, 0, 0, 2]);
        bytes.extend(b"{}");
        for size in 1..bytes.len() {
            let (mut frames, mut seen) = (Frames::default(), Vec::new());
            for piece in bytes.chunks(size) {
                frames.add(piece);
                while let Some(frame) = frames.next().unwrap() {
                    seen.push(frame);
                }
            }
            let message = |text: &'static str| Frame::Message(Bytes::from_static(text.as_bytes()));
            assert_eq!(seen, [message(r#"{"a":1}"#), message("{}"), Frame::End(None)]);
        }
    }

    #[test]
    fn the_last_frame_may_hold_an_error_and_a_length_is_not_believed_blindly() {
        let text = br#"{"error":{"code":"not_found","message":"no such file"}}"#;
        let mut frames = Frames::default();
        frames.add(&[2, 0, 0, 0, u8::try_from(text.len()).unwrap()]);
        frames.add(text);
        let failure = Failure { code: "not_found".to_owned(), message: "no such file".to_owned() };
        assert_eq!(frames.next(), Ok(Some(Frame::End(Some(failure)))));
        frames.add(&[0, 255, 255, 255, 255]);
        assert_eq!(frames.next(), Err(TooLong));
    }
}
