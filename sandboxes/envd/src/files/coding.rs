//! Compression of bodies: gzip, or none.

use std::io::Write as _;

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures_util::{Stream, StreamExt as _, stream};

use crate::file_error::FileError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
}

/// Compressed bytes that are expanded at once. They become at most about a thousand times as many.
const EXPANDED_BYTES: usize = 512;

/// Returns the coding of the body of an upload.
///
/// # Errors
/// It is another one. The error is a message.
pub(super) fn of_body(headers: &HeaderMap) -> Result<Coding, String> {
    let Some(coding) = headers.get(header::CONTENT_ENCODING) else { return Ok(Coding::Identity) };
    match coding.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Coding::Identity),
        "gzip" => Ok(Coding::Gzip),
        other => Err(format!("unsupported Content-Encoding: {other}, supported: [gzip]")),
    }
}

/// Returns the coding that the client of a download prefers. `is_partial`: only a part of the file is sent, or perhaps none.
///
/// # Errors
/// It accepts neither. The error is a message.
pub(super) fn accepted(headers: &HeaderMap, is_partial: bool) -> Result<Coding, String> {
    let listed = headers.get(header::ACCEPT_ENCODING).and_then(|list| list.to_str().ok()).unwrap_or_default();
    let mut codings: Vec<(String, f64)> = listed.split(',').map(parse).filter(|(name, _)| !name.is_empty()).collect();
    let quality = |name: &str| codings.iter().find(|(coding, _)| coding == name).map(|(_, quality)| *quality);
    let is_identity_refused =
        quality("identity") == Some(0.0) || quality("*") == Some(0.0) && quality("identity").is_none();
    if is_partial {
        let message = "identity encoding not acceptable for Range or conditional request";
        return if is_identity_refused { Err(message.to_owned()) } else { Ok(Coding::Identity) };
    }
    // Of equal ones, the first counts.
    codings.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    for (name, quality) in &codings {
        match name.as_str() {
            _ if *quality == 0.0 => {}
            "gzip" => return Ok(Coding::Gzip),
            "*" if is_identity_refused => return Ok(Coding::Gzip),
            "identity" | "*" => return Ok(Coding::Identity),
            _ => {}
        }
    }
    if is_identity_refused {
        Err("no acceptable encoding found, supported: [gzip]".to_owned())
    } else {
        Ok(Coding::Identity)
    }
}

/// Returns the name of a coding, and how much it is preferred.
fn parse(listed: &str) -> (String, f64) {
    let mut parts = listed.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="))?.parse().ok());
    (name, quality.unwrap_or(1.0))
}

/// A body that is expanded as it arrives.
struct Expanding<S> {
    body: S,
    /// What has arrived and is still compressed.
    rest: Bytes,
    /// `None`: the body has ended.
    decoder: Option<MultiGzDecoder<Vec<u8>>>,
}

/// Expands a compressed body as it is read.
pub(super) fn expand<S, E>(body: S) -> impl Stream<Item = Result<Bytes, FileError>> + Send + 'static
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
    E: std::fmt::Display,
{
    let expanding = Expanding { body, rest: Bytes::new(), decoder: Some(MultiGzDecoder::new(Vec::new())) };
    stream::unfold(expanding, async |mut expanding| {
        let piece = expanding.next().await?;
        if piece.is_err() {
            expanding.decoder = None;
        }
        Some((piece, expanding))
    })
}

impl<S, E> Expanding<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    async fn next(&mut self) -> Option<Result<Bytes, FileError>> {
        let wrong =
            |error: &dyn std::fmt::Display| FileError::Invalid(format!("error decompressing request body: {error}"));
        loop {
            let decoder = self.decoder.as_mut()?;
            let ended = if self.rest.is_empty() {
                match self.body.next().await {
                    Some(Ok(bytes)) => {
                        self.rest = bytes;
                        false
                    }
                    Some(Err(error)) => {
                        return Some(Err(FileError::Invalid(format!("the body was not read: {error}"))));
                    }
                    None => true,
                }
            } else {
                false
            };
            let step = self.rest.split_to(self.rest.len().min(EXPANDED_BYTES));
            let written = if ended { decoder.try_finish() } else { decoder.write_all(&step) };
            if let Err(error) = written {
                return Some(Err(wrong(&error)));
            }
            let plain = std::mem::take(decoder.get_mut());
            if ended {
                self.decoder = None;
            }
            if !plain.is_empty() {
                return Some(Ok(plain.into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_has_the_coding_that_its_client_prefers() {
        let coding = |list: &str, is_partial: bool| {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, list.parse().unwrap())]);
            accepted(&headers, is_partial).ok()
        };
        assert_eq!(accepted(&HeaderMap::new(), false), Ok(Coding::Identity));
        for (list, expected) in [
            ("gzip, deflate, br", Some(Coding::Gzip)),
            ("br;q=1, GZIP;q=0.5", Some(Coding::Gzip)),
            ("identity, gzip", Some(Coding::Identity)),
            ("gzip;q=0", Some(Coding::Identity)),
            ("*", Some(Coding::Identity)),
            ("*;q=0, gzip", Some(Coding::Gzip)),
            ("identity;q=0, *", Some(Coding::Gzip)),
            ("identity;q=0, br", None),
        ] {
            assert_eq!(coding(list, false), expected, "{list}");
        }
        assert_eq!((coding("gzip", true), coding("gzip, identity;q=0", true)), (Some(Coding::Identity), None));
    }

    #[tokio::test]
    async fn a_compressed_body_is_expanded_in_steps_and_must_be_whole() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![7; 20 << 20]).unwrap();
        let whole = encoder.finish().unwrap();
        let read = async |bytes: Vec<u8>| {
            let body = stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from(bytes))]);
            expand(body).collect::<Vec<_>>().await
        };
        let pieces = read(whole.clone()).await;
        let lengths: Vec<usize> = pieces.into_iter().map(|piece| piece.unwrap().len()).collect();
        assert_eq!(lengths.iter().sum::<usize>(), 20 << 20);
        assert!(*lengths.iter().max().unwrap() < 2 << 20);
        assert!(read(whole[..whole.len() - 4].to_vec()).await.pop().unwrap().is_err());
        assert!(read(b"no gzip".to_vec()).await.pop().unwrap().is_err());
    }
}
