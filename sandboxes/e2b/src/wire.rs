//! One call over the transport: sent, held against its deadline, its answer read and its failure named.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use serde::de::DeserializeOwned;
use switchtower_contract::rounded;
use tokio::time::timeout;

use crate::cause::{Call, Trouble};
use crate::transport::{Broken, Pieces, Reached, Transport};

/// Most bytes of an answer that is read whole.
const WHOLE: usize = 64 << 20;
/// Bytes of an answer that failed.
const FAILURE: usize = 64 << 10;

/// A call to be.
pub(crate) struct Ask {
    pub(crate) call: Call,
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
    deadline: Duration,
}

impl Ask {
    pub(crate) fn new(call: Call, method: Method, url: String, deadline: Duration) -> Self {
        Self { call, method, url, headers: HeaderMap::new(), body: Bytes::new(), deadline }
    }

    pub(crate) fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(crate) fn json(self, body: &serde_json::Value) -> Self {
        self.body("application/json", Bytes::from(body.to_string()))
    }

    pub(crate) fn body(mut self, kind: &str, body: Bytes) -> Self {
        if let Ok(kind) = HeaderValue::from_str(kind) {
            self.headers.insert(header::CONTENT_TYPE, kind);
        }
        self.body = body;
        self
    }

    /// As it goes over the wire, with this body.
    pub(crate) fn into_request(self, body: Bytes) -> Result<Request<Bytes>, Broken> {
        let mut request = Request::builder().method(self.method).uri(self.url);
        if let Some(headers) = request.headers_mut() {
            *headers = self.headers;
        }
        request
            .body(body)
            .map_err(|error| Broken { reason: format!("the address cannot be used: {error}"), reached: Reached::No })
    }

    /// The answer's headers, and its body to be read; a failure is read and named.
    pub(crate) async fn open(self, transport: &dyn Transport) -> Result<Response<Pieces>, Trouble> {
        let (call, deadline) = (self.call, self.deadline);
        let late = || Trouble::broken(&late(deadline));
        let opened = async {
            let body = self.body.clone();
            let request = self.into_request(body).map_err(|broken| Trouble::broken(&broken))?;
            let response = transport.send(request).await;
            let response = response.map_err(|broken| Trouble::broken(&broken))?;
            if response.status().is_success() {
                return Ok(response);
            }
            let (head, body) = response.into_parts();
            // What is wrong is known from the status; a body that breaks off takes nothing away.
            let body = collect(body, FAILURE).await.unwrap_or_default();
            Err(Trouble::of(call, head.status, &head.headers, &body))
        };
        timeout(deadline, opened).await.unwrap_or_else(|_| Err(late()))
    }

    /// The whole answer.
    pub(crate) async fn whole(self, transport: &dyn Transport) -> Result<(HeaderMap, Bytes), Trouble> {
        let deadline = self.deadline;
        let read = async {
            let (head, body) = self.open(transport).await?.into_parts();
            let body = collect(body, WHOLE).await.map_err(|broken| Trouble::broken(&broken))?;
            Ok((head.headers, body))
        };
        timeout(deadline, read).await.unwrap_or_else(|_| Err(Trouble::broken(&late(deadline))))
    }

    /// The whole answer as JSON.
    pub(crate) async fn read<T: DeserializeOwned>(self, transport: &dyn Transport) -> Result<T, Trouble> {
        let (_, body) = self.whole(transport).await?;
        parsed(&body)
    }
}

pub(crate) fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Trouble> {
    serde_json::from_slice(body)
        .map_err(|error| Trouble::nonsense(&format!("its answer is not what was expected: {error}")))
}

fn late(deadline: Duration) -> Broken {
    Broken { reason: format!("none within {}", rounded(deadline)), reached: Reached::Maybe }
}

async fn collect(mut body: Pieces, most: usize) -> Result<Bytes, Broken> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece?;
        if whole.len() + piece.len() > most {
            let reason = format!("its answer has more than {most} bytes");
            return Err(Broken { reason, reached: Reached::Maybe });
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}
