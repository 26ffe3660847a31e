//! Forms with files (`multipart/form-data`), as `POST /files` takes them.

use std::convert::Infallible;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream};
use multer::Multipart;

/// Most parts of a form.
pub const MAX_PARTS: usize = 10_000;

/// Bytes that are passed to the reader at a time. It copies them, so this bounds its memory besides the parts.
const PIECE_BYTES: usize = 64 << 10;

/// A part of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The name of the form's field; files come in `file`.
    pub field: String,
    /// Empty where the part has none.
    pub file_name: String,
    /// A copy, so that it does not keep the rest of the body in memory.
    pub content: Bytes,
}

/// The body is not a form that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The message is E2B's.
    #[error("error parsing multipart form")]
    Malformed,
    #[error("error parsing multipart form: more than {MAX_PARTS} parts")]
    TooManyParts,
}

/// Reads the parts of a form with this `Content-Type`.
///
/// # Errors
/// The body is no form, lacks its end, has a part without a disposition, or has too many parts.
pub async fn read_form(content_type: &str, body: &Bytes) -> Result<Vec<Part>, FormError> {
    let boundary = multer::parse_boundary(content_type).map_err(|_| FormError::Malformed)?;
    let mut form = Multipart::new(pieces(body.clone()), boundary);
    let mut parts = Vec::new();
    while let Some(mut field) = form.next_field().await.map_err(|_| FormError::Malformed)? {
        if parts.len() == MAX_PARTS {
            return Err(FormError::TooManyParts);
        }
        if !field.headers().contains_key("content-disposition") {
            return Err(FormError::Malformed);
        }
        let text = |text: Option<&str>| text.map(unescape).unwrap_or_default();
        let (name, file_name) = (text(field.name()), text(field.file_name()));
        let mut content = BytesMut::new();
        while let Some(piece) = field.chunk().await.map_err(|_| FormError::Malformed)? {
            content.extend_from_slice(&piece);
        }
        parts.push(Part { field: name, file_name, content: content.freeze() });
    }
    Ok(parts)
}

/// Replaces the escapes that browsers and SDKs write into quoted names.
fn unescape(text: &str) -> String {
    text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

/// Returns the body piece by piece. The reader takes as many pieces as are ready, so after each one the stream is not
/// ready for one poll.
fn pieces(mut body: Bytes) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let mut is_ready = true;
    stream::poll_fn(move |context| {
        is_ready = !is_ready;
        if is_ready && !body.is_empty() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = body.split_to(body.len().min(PIECE_BYTES));
        Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=x";

    fn read(content_type: &str, body: &[u8]) -> Result<Vec<Part>, FormError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read_form(content_type, &Bytes::copy_from_slice(body)))
    }

    fn write(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let part = |(name, content): &(&str, &[u8])| {
            let head = format!("--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n")
                .into_bytes();
            [head.as_slice(), content, b"\r\n"].concat()
        };
        let mut body = parts.iter().map(part).collect::<Vec<_>>().concat();
        body.extend(b"--x--\r\n");
        body
    }

    #[test]
    fn every_byte_of_every_part_arrives() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"/tmp/a b\"\r\n\
            Content-Type: text/plain\r\n\r\none\r\n--y\r\n\r\n--x\r\n\
            content-disposition: form-data; name=\"file\"; filename=\"c%22\"\r\n\r\n\r\n--x--\r\n";
        let parts = read(TYPE, body).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].file_name.as_str(), &parts[0].content[..]), ("/tmp/a b", b"one\r\n--y\r\n".as_slice()));
        assert_eq!((parts[1].file_name.as_str(), &parts[1].content[..]), ("c\"", b"".as_slice()));
    }

    #[test]
    fn a_body_that_is_no_whole_form_is_refused() {
        let malformed = Err(FormError::Malformed);
        assert_eq!(read(TYPE, b"--x\r\n\r\nabc"), malformed);
        assert_eq!(read(TYPE, b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc\r\n"), malformed);
        assert_eq!(read(TYPE, b"--x\r\nContent-Type: text/plain\r\n\r\nabc\r\n--x--\r\n"), malformed);
        assert_eq!(read("application/json", b"--x--"), malformed);
        assert_eq!(read("multipart/form-data", b"--x--"), malformed);
        assert_eq!(read(TYPE, b""), malformed);
        assert_eq!(read(TYPE, b"--x--"), Ok(Vec::new()));
    }

    #[test]
    fn a_form_with_too_many_parts_is_refused() {
        let parts = vec![("a", b"".as_slice()); MAX_PARTS];
        assert_eq!(read(TYPE, &write(&parts)).map(|parts| parts.len()), Ok(MAX_PARTS));
        let parts = vec![("a", b"".as_slice()); MAX_PARTS + 1];
        assert_eq!(read(TYPE, &write(&parts)), Err(FormError::TooManyParts));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn contents_that_look_like_boundaries_arrive_whole(
            contents in prop::collection::vec("(\r\n--|--x|\r\n|--|y|\r){0,12}", 0..4),
            padding in 0_usize..3 * PIECE_BYTES,
        ) {
            prop_assume!(!contents.iter().any(|content| content.contains("\r\n--x")));
            // Boundaries fall on every side of the places where pieces begin.
            let padding = vec![b'-'; padding];
            let mut parts = vec![("padding", padding.as_slice())];
            parts.extend(contents.iter().map(|content| ("a", content.as_bytes())));
            let read: Vec<_> = read(TYPE, &write(&parts)).unwrap().into_iter().map(|part| part.content).collect();
            let written: Vec<_> = parts.iter().map(|(_, content)| Bytes::copy_from_slice(content)).collect();
            prop_assert_eq!(read, written);
        }

        #[test]
        fn any_body_is_read_or_refused(body in "(--x|\r\n|content-disposition: |form-data; name=\"a\"|-|b){0,12}") {
            let _ = read(TYPE, body.as_bytes());
        }
    }
}
