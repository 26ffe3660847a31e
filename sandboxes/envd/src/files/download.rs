//! `GET /files`: a file, or a part of it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use switchtower_e2b_wire::errors;

use super::coding::{self, Coding};
use super::range::{self, Part};
use super::{FileQuery, PIECE_BYTES, media_type, open_for_reading};
use crate::daemon::{Daemon, blocking};
use crate::entry::modified;
use crate::file_error::FileError;
use crate::paths::name;

/// Headers by which a client asks for a part of a file, or for none if it has not changed.
const PARTIAL: [HeaderName; 4] = [header::RANGE, header::IF_MODIFIED_SINCE, header::IF_NONE_MATCH, header::IF_RANGE];

/// A file that is open for reading.
struct OpenFile {
    file: File,
    /// `None`: it must be read to know, as for the files of `/proc`.
    size: Option<u64>,
    modified: SystemTime,
    beginning: Vec<u8>,
}

pub(crate) async fn download(daemon: &Daemon, parts: &Parts) -> Result<Response, FileError> {
    let query = FileQuery::of(parts)?;
    let path = daemon.absolute(query.path.as_deref().unwrap_or_default(), &query.user(daemon)?)?;
    let located = daemon.folders.root.locate(&path);
    let opened = path.clone();
    let file = blocking(move || open(&located, &opened)).await?;
    let is_partial = PARTIAL.iter().any(|header| parts.headers.contains_key(header));
    let coding = match coding::accepted(&parts.headers, is_partial) {
        Ok(coding) => coding,
        Err(message) => return Ok(errors::api(StatusCode::NOT_ACCEPTABLE, &message)),
    };
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: String| {
        // All values are ASCII.
        headers.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
    };
    set(header::VARY, "Accept-Encoding".to_owned());
    set(header::CONTENT_TYPE, media_type::of(name(&path), &file.beginning).to_owned());
    set(header::CONTENT_DISPOSITION, disposition(name(&path)));
    if coding == Coding::Gzip {
        set(header::CONTENT_ENCODING, "gzip".to_owned());
        return Ok((headers, Body::from_stream(compressed(file.file))).into_response());
    }
    set(header::LAST_MODIFIED, httpdate::fmt_http_date(file.modified));
    let text = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let is_unchanged_since = |date: &str| {
        // Dates have whole seconds.
        httpdate::parse_http_date(date).is_ok_and(|date| file.modified < date + Duration::from_secs(1))
    };
    if text(header::IF_NONE_MATCH).is_none() && text(header::IF_MODIFIED_SINCE).is_some_and(is_unchanged_since) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let Some(size) = file.size else {
        return Ok((headers, Body::from_stream(pieces(file.file, u64::MAX))).into_response());
    };
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    let is_range_valid = text(header::IF_RANGE).is_none_or(is_unchanged_since);
    let part = text(header::RANGE).filter(|_| is_range_valid).map_or(Part::Whole, |header| range::parse(header, size));
    let (status, first, length) = match part {
        Part::Whole => (StatusCode::OK, 0, size),
        Part::Range(first, length) => {
            set(header::CONTENT_RANGE, format!("bytes {first}-{}/{size}", first + length - 1));
            (StatusCode::PARTIAL_CONTENT, first, length)
        }
        Part::Outside => {
            let range = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
            let error = errors::api(StatusCode::RANGE_NOT_SATISFIABLE, "the range is outside of the file");
            return Ok((range, error).into_response());
        }
    };
    set(header::CONTENT_LENGTH, length.to_string());
    let mut file = file.file;
    let file = blocking(move || match file.seek(SeekFrom::Start(first)) {
        Ok(_) => Ok(file),
        Err(error) => Err(FileError::of(&error, &path)),
    });
    Ok((status, headers, Body::from_stream(pieces(file.await?, length))).into_response())
}

fn open(located: &Path, path: &str) -> Result<OpenFile, FileError> {
    let (mut file, data) = open_for_reading(located, path)?;
    let mut beginning = Vec::new();
    let read = (&mut file).take(media_type::BEGINNING_BYTES as u64).read_to_end(&mut beginning);
    read.and_then(|_| file.rewind()).map_err(|error| FileError::of(&error, path))?;
    let size = Some(data.len()).filter(|size| *size > 0 || beginning.is_empty());
    Ok(OpenFile { file, size, modified: modified(&data), beginning })
}

/// Returns the header with which a browser shows the file, and saves it under its name.
fn disposition(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(is_plain) {
        return format!("inline; filename={name}");
    }
    if name.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return format!("inline; filename=\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    }
    let encoded = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    format!("inline; filename*=utf-8''{}", name.bytes().map(encoded).collect::<String>())
}

/// Returns as many bytes of a file, from where it is; fewer where it ends earlier.
fn pieces(file: File, length: u64) -> impl stream::Stream<Item = Result<Bytes, FileError>> {
    stream::try_unfold((file, length), |(mut file, left)| async move {
        let piece = blocking(move || {
            let mut piece = Vec::new();
            let take = left.min(PIECE_BYTES as u64);
            (&mut file).take(take).read_to_end(&mut piece).map_err(|error| FileError::of(&error, ""))?;
            Ok((piece, file))
        });
        let (piece, file) = piece.await?;
        let left = left.saturating_sub(piece.len() as u64);
        Ok((!piece.is_empty()).then(|| (piece.into(), (file, left))))
    })
}

/// Returns a file, compressed.
fn compressed(file: File) -> impl stream::Stream<Item = Result<Bytes, FileError>> {
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    stream::try_unfold(Some((file, encoder)), |state| async move {
        let Some((mut file, mut encoder)) = state else { return Ok(None) };
        let step = blocking(move || {
            let failed = |error: io::Error| FileError::of(&error, "");
            let mut piece = Vec::new();
            loop {
                piece.clear();
                (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece).map_err(failed)?;
                if piece.is_empty() {
                    return Ok((encoder.finish().map_err(failed)?, None));
                }
                encoder.write_all(&piece).map_err(failed)?;
                if !encoder.get_ref().is_empty() {
                    return Ok((std::mem::take(encoder.get_mut()), Some((file, encoder))));
                }
            }
        });
        let (bytes, next) = step.await?;
        Ok(Some((Bytes::from(bytes), next)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_download_is_readable_for_every_client() {
        assert_eq!(disposition("a.txt"), "inline; filename=a.txt");
        assert_eq!(disposition("a \"b\".txt"), "inline; filename=\"a \\\"b\\\".txt\"");
        assert_eq!(disposition("ä\n"), "inline; filename*=utf-8''%C3%A4%0A");
    }
}
