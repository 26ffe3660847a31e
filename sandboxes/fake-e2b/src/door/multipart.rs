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
    let mark = format!("--{boundary}").into_bytes();
    let mut rest = &body[find(body, &mark)? + mark.len()..];
    let between = [b"\r\n".as_slice(), &mark].concat();
    let mut found = Vec::new();
    while !rest.starts_with(b"--") {
        rest = rest.strip_prefix(b"\r\n")?;
        let end = find(rest, &between)?;
        let (head, content) = rest[..end].split_at(find(&rest[..end], b"\r\n\r\n")?);
        let head = String::from_utf8_lossy(head);
        let disposition = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-disposition").then_some(value)
        })?;
        found.push(Part {
            field: parameter(disposition, "name").unwrap_or_default(),
            filename: parameter(disposition, "filename").unwrap_or_default(),
            content: &content[4..],
        });
        rest = &rest[end + between.len()..];
    }
    Some(found)
}

/// The value of `name=` in a header, with or without quotes.
fn parameter(header: &str, name: &str) -> Option<String> {
    let mark = format!("{name}=");
    let start = header.match_indices(&mark).find(|(at, _)| header[..*at].ends_with([' ', ';']))?.0 + mark.len();
    let value = &header[start..];
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => value.split(';').next()?.trim(),
    };
    // What forms do not send in quotes as it is.
    Some(value.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"))
}

fn find(body: &[u8], what: &[u8]) -> Option<usize> {
    let mut from = 0;
    // Most bytes are no beginning: skipping to those that are is fast enough for uploads.
    while let Some(at) = body[from..].iter().position(|byte| *byte == what[0]) {
        if body[from + at..].starts_with(what) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_body_without_an_end_is_none() {
        assert_eq!(parts("multipart/form-data; boundary=x", b"--x\r\n\r\nabc"), None);
        assert_eq!(parts("application/json", b"--x--"), None);
    }
}
