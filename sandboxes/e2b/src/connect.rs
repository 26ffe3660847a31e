//! The Connect protocol with JSON, from the client's side: frames of flags, a length and a message.
//!
//! The servers of this workspace use the crate `switchtower-e2b-wire` instead, so that a misreading shows.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use serde::Deserialize;

/// Set on the last frame of a stream, which holds `{}` or an error.
const END: u8 = 2;
/// Most bytes of one message.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Returns a message in its frame.
pub(crate) fn frame(message: &serde_json::Value) -> Bytes {
    let text = message.to_string();
    let mut framed = BytesMut::with_capacity(text.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    framed.put_slice(text.as_bytes());
    framed.freeze()
}

/// Reads frames from the pieces in which they arrive.
#[derive(Default)]
pub(crate) struct FrameReader(BytesMut);

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Message(Bytes),
    /// The end of the stream, with its error.
    End(Option<ConnectError>),
}

/// An error of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ConnectError {
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) message: String,
}

#[derive(Deserialize)]
struct Trailer {
    error: Option<ConnectError>,
}

/// A frame is longer than any that E2B sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FrameTooLong;

impl FrameReader {
    pub(crate) fn add(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
    }

    /// Returns the next frame, once it has arrived whole.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, FrameTooLong> {
        let Some(head) = self.0.first_chunk::<5>() else { return Ok(None) };
        let (flag, length) = (head[0], u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize);
        if length > MAX_MESSAGE_BYTES {
            return Err(FrameTooLong);
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
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn frames_are_the_same_in_whatever_pieces_they_arrive() {
        let mut bytes = [frame(&json!({"a": 1})), frame(&json!({}))].concat();
        bytes.extend([2, 0, 0, 0, 2]);
        bytes.extend(b"{}");
        for size in 1..bytes.len() {
            let (mut frames, mut seen) = (FrameReader::default(), Vec::new());
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
    fn the_last_frame_may_have_an_error_and_a_frame_over_the_limit_is_refused() {
        let text = br#"{"error":{"code":"not_found","message":"no such file"}}"#;
        let mut frames = FrameReader::default();
        frames.add(&[2, 0, 0, 0, u8::try_from(text.len()).unwrap()]);
        frames.add(text);
        let error = ConnectError { code: "not_found".to_owned(), message: "no such file".to_owned() };
        assert_eq!(frames.next(), Ok(Some(Frame::End(Some(error)))));
        frames.add(&[0, 255, 255, 255, 255]);
        assert_eq!(frames.next(), Err(FrameTooLong));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn frames_of_the_servers_are_read_in_whatever_pieces_they_arrive(
            texts in prop::collection::vec(".{0,40}", 0..6),
            sizes in prop::collection::vec(1_usize..40, 1..20),
        ) {
            let messages: Vec<serde_json::Value> = texts.iter().map(|text| json!({ "text": text })).collect();
            let mut bytes = messages.iter().map(switchtower_e2b_wire::connect::frame).collect::<Vec<_>>().concat();
            bytes.extend(switchtower_e2b_wire::connect::end_frame(None));
            let (mut frames, mut read, mut rest) = (FrameReader::default(), Vec::new(), bytes.as_slice());
            for size in sizes.iter().cycle() {
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                frames.add(piece);
                while let Some(frame) = frames.next().unwrap() {
                    read.push(frame);
                }
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(read.pop(), Some(Frame::End(None)));
            let parse = |frame: &Frame| match frame {
                Frame::Message(message) => serde_json::from_slice(message).ok(),
                Frame::End(_) => None,
            };
            let read: Option<Vec<serde_json::Value>> = read.iter().map(parse).collect();
            prop_assert_eq!(read, Some(messages));
        }

        #[test]
        fn frames_of_the_client_are_read_by_the_servers(texts in prop::collection::vec(".{0,40}", 0..6)) {
            let messages: Vec<serde_json::Value> = texts.iter().map(|text| json!({ "text": text })).collect();
            let bytes = messages.iter().map(frame).collect::<Vec<_>>().concat();
            prop_assert_eq!(switchtower_e2b_wire::connect::read_messages(&bytes), Ok(messages));
        }
    }
}
