//! Bodies of several parts, as forms send files.

/// A part of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) field: String,
    pub(super) filename: String,
    pub(super) content: &'a [u8],
}

/// The parts of a body with this `Content-Type`. `None`: it is not such a body.
pub(super) fn parts<'a>(content_type: &str, body: &'a [u8]) -> Option<Vec<Part<'a>>> {
    let boundary = parameter(content_type.strip_prefix("multipart/form-data")?, "boundary")?;
    let between = format!("\r\n--{boundary}").into_bytes();
    // The first mark may stand at the very beginning.
    let opening = between.get(2..)?;
    let mut rest = body.get(find(body, opening)? + opening.len()..)?;
    let mut found = Vec::new();
    while !rest.starts_with(b"--") {
        rest = rest.strip_prefix(b"\r\n")?;
        let end = find(rest, &between)?;
        let (part, after) = rest.split_at(end);
        let (head, content) = part.split_at(find(part, b"\r\n\r\n")?);
        let head = String::from_utf8_lossy(head);
        let disposition = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-disposition").then_some(value)
        })?;
        found.push(Part {
            field: parameter(disposition, "name").unwrap_or_default(),
            filename: parameter(disposition, "filename").unwrap_or_default(),
            content: content.get(4..)?,
        });
        rest = after.get(between.len()..)?;
    }
    Some(found)
}

/// The value of `name=` in a header, with or without quotes.
fn parameter(header: &str, name: &str) -> Option<String> {
    let mark = format!("{name}=");
    let (at, _) = header.match_indices(&mark).find(|(at, _)| header[..*at].ends_with([' ', ';']))?;
    let value = &header[at + mark.len()..];
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => value.split(';').next()?.trim(),
    };
    // What forms do not send in quotes as it is.
    Some(value.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"))
}

/// Most bytes are no beginning: skipping to those that are is fast enough for uploads.
fn find(body: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    while let Some(at) = body.get(from..)?.iter().position(|byte| *byte == first) {
        let at = from + at;
        if body[at..].starts_with(what) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_byte_of_every_part_arrives() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"/tmp/a b\"\r\n\
            Content-Type: text/plain\r\n\r\none\r\n--y\r\n\r\n--x\r\n\
            content-disposition: form-data; name=\"file\"; filename=\"c%22\"\r\n\r\n\r\n--x--\r\n";
        let parts = parts("multipart/form-data; boundary=x", body).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].filename.as_str(), parts[0].content), ("/tmp/a b", b"one\r\n--y\r\n".as_slice()));
        assert_eq!((parts[1].filename.as_str(), parts[1].content), ("c\"", b"".as_slice()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_is_sent_is_read_or_refused(body in "(--x|\r\n|content-disposition: |form-data; name=\"a\"|-|b){0,12}") {
            let _ = parts("multipart/form-data; boundary=x", body.as_bytes());
        }
    }
}
