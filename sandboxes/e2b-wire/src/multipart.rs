//! Forms with files (`multipart/form-data`), as `POST /files` takes them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt as _};
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
    let body = body.clone();
    let mut form = Form::new(content_type, stream::iter([Ok::<_, Infallible>(body)]))?;
    let mut parts = Vec::new();
    while let Some(head) = form.next_part().await? {
        let mut content = BytesMut::new();
        while let Some(piece) = form.next_piece().await? {
            content.extend_from_slice(&piece);
        }
        parts.push(Part { field: head.field, file_name: head.file_name, content: content.freeze() });
    }
    Ok(parts)
}

/// A form whose body arrives piece by piece. It holds a few pieces of the body, and no part.
pub struct Form {
    reader: Multipart<'static>,
    part: Option<multer::Field<'static>>,
    parts: usize,
    /// Bytes that the reader has taken since the last progress; more than a few pieces are no form.
    unread: Arc<AtomicUsize>,
}

/// The name of a part's field, and of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartHead {
    /// The name of the form's field; files come in `file`.
    pub field: String,
    /// Empty where the part has none.
    pub file_name: String,
}

impl Form {
    /// Returns the form with this `Content-Type`.
    ///
    /// # Errors
    /// It is no form's.
    pub fn new<E: std::error::Error + Send + Sync + 'static>(
        content_type: &str,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Result<Self, FormError> {
        let boundary = multer::parse_boundary(content_type).map_err(|_| FormError::Malformed)?;
        let unread = Arc::new(AtomicUsize::new(0));
        let reader = Multipart::new(pieces(Box::pin(body), unread.clone()), boundary);
        Ok(Self { reader, part: None, parts: 0, unread })
    }

    /// Returns the next part. What was not read of the last one is skipped.
    ///
    /// # Errors
    /// The body is no form, lacks its end, has a part without a disposition, or has too many parts.
    pub async fn next_part(&mut self) -> Result<Option<PartHead>, FormError> {
        while self.next_piece().await?.is_some() {}
        let next = self.reader.next_field().await.map_err(|_| FormError::Malformed)?;
        self.unread.store(0, Ordering::Relaxed);
        let Some(part) = next else { return Ok(None) };
        if self.parts == MAX_PARTS {
            return Err(FormError::TooManyParts);
        }
        if !part.headers().contains_key("content-disposition") {
            return Err(FormError::Malformed);
        }
        self.parts += 1;
        let text = |text: Option<&str>| text.map(unescape).unwrap_or_default();
        let head = PartHead { field: text(part.name()), file_name: text(part.file_name()) };
        self.part = Some(part);
        Ok(Some(head))
    }

    /// Returns the next bytes of the part; `None` at its end.
    ///
    /// # Errors
    /// The body breaks off.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, FormError> {
        let Some(part) = &mut self.part else { return Ok(None) };
        let piece = part.chunk().await.map_err(|_| FormError::Malformed)?;
        self.unread.store(0, Ordering::Relaxed);
        if piece.is_none() {
            self.part = None;
        }
        Ok(piece)
    }
}

/// Replaces the escapes that browsers and SDKs write into quoted names.
fn unescape(text: &str) -> String {
    text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

/// Most bytes of a form that are not content and come in a row, like the headers of a part.
const MAX_UNREAD_BYTES: usize = 4 * PIECE_BYTES;

/// Returns the body in pieces. The reader takes as many pieces as are ready, so after each one the stream is not ready
/// for one poll.
fn pieces<E: std::error::Error + Send + Sync + 'static>(
    mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    unread: Arc<AtomicUsize>,
) -> impl Stream<Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>> {
    let (mut rest, mut is_ready) = (Bytes::new(), true);
    stream::poll_fn(move |context| {
        is_ready = !is_ready;
        if is_ready {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        while rest.is_empty() {
            match body.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(bytes))) => rest = bytes,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    is_ready = true;
                    return Poll::Pending;
                }
            }
        }
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        if unread.fetch_add(piece.len(), Ordering::Relaxed) > MAX_UNREAD_BYTES {
            return Poll::Ready(Some(Err(FormError::Malformed.into())));
        }
        Poll::Ready(Some(Ok(piece)))
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

    #[test]
    fn a_part_whose_headers_do_not_end_is_refused_before_it_fills_memory() {
        let line = Bytes::from_static(&[b'a'; 1024]);
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = taken.clone();
        let endless = stream::repeat_with(move || {
            counter.fetch_add(line.len(), Ordering::Relaxed);
            Ok::<_, Infallible>(line.clone())
        });
        let body = stream::iter([Ok(Bytes::from_static(b"--x\r\nA: "))]).chain(endless);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let next = runtime.block_on(async { Form::new(TYPE, body).unwrap().next_part().await });
        assert_eq!(next, Err(FormError::Malformed));
        assert!(taken.load(Ordering::Relaxed) < 2 * MAX_UNREAD_BYTES);
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
