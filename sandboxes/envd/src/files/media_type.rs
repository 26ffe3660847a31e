//! The media type of a file: by its name, else by how it begins.

/// Endings of names, and their media types.
const BY_ENDING: [(&str, &str); 26] = [
    ("avif", "image/avif"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("py", "text/x-python; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("xml", "text/xml; charset=utf-8"),
    ("zip", "application/zip"),
];

/// How files of some types begin.
const BY_BEGINNING: [(&[u8], &str); 6] = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b\x08", "application/gzip"),
];

/// Bytes by which a type is recognised.
pub(super) const BEGINNING_BYTES: usize = 512;

/// Returns the media type of a file with this name that begins like this.
pub(super) fn of(name: &str, beginning: &[u8]) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    if let Some((_, kind)) = BY_ENDING.iter().find(|(known, _)| *known == ending) {
        return kind;
    }
    if let Some((_, kind)) = BY_BEGINNING.iter().find(|(bytes, _)| beginning.starts_with(bytes)) {
        return kind;
    }
    // Text has no control characters but white space and the escape of terminals.
    let is_text = |byte: &u8| !matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    if beginning.iter().take(BEGINNING_BYTES).all(is_text) {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_comes_from_the_name_and_else_from_the_beginning() {
        assert_eq!(
            (of("a.JSON", b"\0"), of("a.b", b"hi \xc3\xa4\n")),
            ("application/json", "text/plain; charset=utf-8")
        );
        assert_eq!((of("a", b"\x89PNG\r\n\x1a\n.."), of("png", b"\0\x01")), ("image/png", "application/octet-stream"));
    }
}
