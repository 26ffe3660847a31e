//! The Connect protocol with JSON: unary calls, and streams of framed messages.
//!
//! A frame is one byte of flags, the length of the message as four bytes (big-endian), and the message.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::ascii;

/// Most bytes of one message in a frame.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Bytes of a frame before its message: flags and length.
const HEADER_BYTES: usize = 5;
/// Set in the flags of the frame that ends a stream.
const END_OF_STREAM: u8 = 0x02;

/// An error of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub message: String,
}

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    InvalidArgument,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    Unauthenticated,
    ResourceExhausted,
    Unimplemented,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    Unknown,
}

impl Code {
    const ALL: [Self; 11] = [
        Self::InvalidArgument,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::Unauthenticated,
        Self::ResourceExhausted,
        Self::Unimplemented,
        Self::DeadlineExceeded,
        Self::FailedPrecondition,
        Self::Internal,
        Self::Unknown,
    ];

    /// Returns the code with this name in the protocol.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// Returns the name of the code in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::PermissionDenied => "permission_denied",
            Self::Unauthenticated => "unauthenticated",
            Self::ResourceExhausted => "resource_exhausted",
            Self::Unimplemented => "unimplemented",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::FailedPrecondition => "failed_precondition",
            Self::Internal => "internal",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the HTTP status that a unary call fails with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidArgument | Self::FailedPrecondition => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::AlreadyExists => StatusCode::CONFLICT,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Self::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Self::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal | Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn json(&self) -> Value {
        json!({ "code": self.code.name(), "message": self.message })
    }

    /// Returns the error in the form that a call with these headers expects: the last frame of a stream with status
    /// 200, or an HTTP status with a JSON body.
    pub fn response(&self, headers: &HeaderMap) -> Response {
        if is_stream(headers) {
            return stream(Body::from(end_frame(Some(self))));
        }
        (self.code.status(), unary(&self.json())).into_response()
    }
}

/// Whether a call with these headers is a stream in at least one direction.
pub fn is_stream(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/connect+"))
}

/// Reads the one message of a call: the whole body of a unary call, the first frame of a stream. No bytes count as
/// `{}`.
///
/// # Errors
/// The frame is incomplete, ends the stream or is too large; or the message is not what the method takes.
pub fn read_message<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Error> {
    if !is_stream(headers) {
        return parse(body);
    }
    match frames(body).next() {
        Some(Ok(Frame::Message(message))) => parse(message),
        Some(Ok(Frame::End(_))) | None => Err(incomplete()),
        Some(Err(error)) => Err(error),
    }
}

/// Reads the messages of a stream that a client has sent whole.
///
/// # Errors
/// As for [`read_message`], for any of them.
pub fn read_messages<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, Error> {
    let messages = frames(body).filter_map(|frame| match frame {
        Ok(Frame::Message(message)) => Some(parse(message)),
        Ok(Frame::End(_)) => None,
        Err(error) => Some(Err(error)),
    });
    messages.collect()
}

fn parse<T: DeserializeOwned>(message: &[u8]) -> Result<T, Error> {
    let message = if message.is_empty() { b"{}".as_slice() } else { message };
    serde_json::from_slice(message)
        .map_err(|error| Error::new(Code::InvalidArgument, format!("unmarshal message: {error}")))
}

fn incomplete() -> Error {
    Error::new(Code::InvalidArgument, "protocol error: incomplete envelope")
}

/// A frame of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    Message(&'a [u8]),
    /// The end of the stream, with `{}` or an error.
    End(&'a [u8]),
}

/// Splits a body into its frames. After an error nothing follows.
pub fn frames(body: &[u8]) -> impl Iterator<Item = Result<Frame<'_>, Error>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let frame = split_frame(rest);
        rest = frame.as_ref().map_or(&[], |(_, rest)| *rest);
        Some(frame.map(|(frame, _)| frame))
    })
}

fn split_frame(body: &[u8]) -> Result<(Frame<'_>, &[u8]), Error> {
    let frame_bytes = frame_length(body)?.ok_or_else(incomplete)?;
    let (frame, rest) = body.split_at_checked(frame_bytes).ok_or_else(incomplete)?;
    let (header, message) = frame.split_at(HEADER_BYTES);
    Ok((if header[0] & END_OF_STREAM == 0 { Frame::Message(message) } else { Frame::End(message) }, rest))
}

/// The frames of a stream that arrives piece by piece. It holds the bytes of one frame, and those of a piece.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: BytesMut,
}

impl FrameReader {
    /// Adds the next bytes of the stream. Call [`next_message`](Self::next_message) until it returns `None` before the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// Returns the next message that has arrived whole. The end of a stream has none.
    ///
    /// # Errors
    /// The frame is too large, or its message is not what the method takes.
    pub fn next_message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        loop {
            let Some(frame_bytes) = frame_length(&self.buffer)? else { return Ok(None) };
            if self.buffer.len() < frame_bytes {
                return Ok(None);
            }
            let frame = self.buffer.split_to(frame_bytes);
            if let (Frame::Message(message), _) = split_frame(&frame)? {
                return parse(message).map(Some);
            }
        }
    }

    /// Checks that the stream did not break off within a frame.
    ///
    /// # Errors
    /// It did.
    pub fn finish(self) -> Result<(), Error> {
        if self.buffer.is_empty() { Ok(()) } else { Err(incomplete()) }
    }
}

/// Returns the bytes of the frame that begins here, with its header; `None` where the header is incomplete.
fn frame_length(body: &[u8]) -> Result<Option<usize>, Error> {
    let Some(([_, length @ ..], _)) = body.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE_BYTES {
        let message = format!("message size {length} is larger than the configured maximum of {MAX_MESSAGE_BYTES}");
        return Err(Error::new(Code::ResourceExhausted, message));
    }
    Ok(Some(HEADER_BYTES + length))
}

/// Returns a message in its frame.
pub fn frame(message: &Value) -> Bytes {
    write_frame(0, message)
}

/// Returns the frame that ends a stream, with or without an error.
pub fn end_frame(error: Option<&Error>) -> Bytes {
    write_frame(END_OF_STREAM, &error.map_or_else(|| json!({}), |error| json!({ "error": error.json() })))
}

/// Returns the answer to a unary call.
pub fn unary(message: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], json_of(message)).into_response()
}

fn json_of(message: &Value) -> String {
    ascii::to_string(message).expect("a JSON value always serializes")
}

fn write_frame(flags: u8, message: &Value) -> Bytes {
    let message = json_of(message);
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[flags], length.to_be_bytes().as_slice(), message.as_bytes()].concat().into()
}

/// Returns a response whose body is a stream of frames.
pub fn stream(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/connect+json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn stream_headers() -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/connect+json"))])
    }

    #[test]
    fn a_message_is_the_same_with_and_without_a_frame() {
        let sent = json!({ "path": "/tmp" });
        assert_eq!(read_message::<Value>(&stream_headers(), &frame(&sent)), Ok(sent.clone()));
        assert_eq!(read_message::<Value>(&HeaderMap::new(), sent.to_string().as_bytes()), Ok(sent.clone()));
        assert_eq!(read_message::<Value>(&HeaderMap::new(), b""), Ok(json!({})));
        let whole = frame(&sent);
        for broken in [&whole[..whole.len() - 1], &whole[..4], b"", &end_frame(None)] {
            assert!(read_message::<Value>(&stream_headers(), broken).is_err());
        }
    }

    #[test]
    fn an_error_of_a_stream_is_its_last_frame() {
        let error = Error::new(Code::PermissionDenied, "no");
        let text = r#"{"error":{"code":"permission_denied","message":"no"}}"#;
        assert_eq!(end_frame(Some(&error)), [&[2, 0, 0, 0, 53], text.as_bytes()].concat());
        assert_eq!(end_frame(None), [2, 0, 0, 0, 2, b'{', b'}'].as_slice());
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_its_message_arrives() {
        let length = u32::try_from(MAX_MESSAGE_BYTES + 1).unwrap().to_be_bytes();
        let error = frames(&[&[0], length.as_slice()].concat()).next().unwrap().unwrap_err();
        assert_eq!(error.code, Code::ResourceExhausted);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn messages_are_read_back_as_they_were_written(texts in prop::collection::vec(".{0,40}", 0..6)) {
            let messages: Vec<Value> = texts.iter().map(|text| json!({ "text": text })).collect();
            let mut body = messages.iter().map(frame).collect::<Vec<_>>().concat();
            body.extend(end_frame(None));
            prop_assert_eq!(read_messages::<Value>(&body), Ok(messages.clone()));
            for piece_bytes in [1, 7, body.len()] {
                let (mut reader, mut read) = (FrameReader::default(), Vec::new());
                for piece in body.chunks(piece_bytes) {
                    reader.push(piece);
                    while let Some(message) = reader.next_message::<Value>().unwrap() {
                        read.push(message);
                    }
                }
                prop_assert_eq!(reader.finish(), Ok(()));
                prop_assert_eq!(&read, &messages);
            }
        }

        #[test]
        fn a_body_that_breaks_off_within_a_frame_is_refused(texts in prop::collection::vec(".{0,9}", 1..4), cut in 1_usize..6) {
            let body = texts.iter().map(|text| frame(&json!(text))).collect::<Vec<_>>().concat();
            prop_assert!(read_messages::<Value>(&body[..body.len() - cut]).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read_messages::<Value>(&body);
        }
    }
}
