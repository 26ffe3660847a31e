//! The transport to E2B: one HTTP call at a time. [`HttpTransport`] uses the network; tests use transports of their
//! own.

use std::error::Error;
use std::io::ErrorKind;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{Request, Response, StatusCode};
use switchtower_contract::Connection;

/// A body as it arrives. Dropping it closes the connection.
pub type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>;

/// Sends calls.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Resolves when the headers of the response are here. Dropping the future closes the connection.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<BodyStream>, TransportError>;

    /// Sends a call that asks for another protocol.
    async fn upgrade(&self, _request: Request<Bytes>) -> Result<Switched, TransportError> {
        Err(TransportError {
            kind: TransportErrorKind::Other,
            reason: "this transport cannot change the protocol of a connection".to_owned(),
            delivery: Delivery::NotSent,
        })
    }
}

/// The answer to a call that asks for another protocol.
pub enum Switched {
    /// The protocol has changed.
    To(Response<()>, Box<dyn Connection>),
    /// It has not.
    Refused(Response<BodyStream>),
}

/// Why a call has no whole response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct TransportError {
    pub kind: TransportErrorKind,
    pub reason: String,
    pub delivery: Delivery,
}

/// What an operator has to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransportErrorKind {
    /// Nothing listens at the address.
    ConnectionRefused,
    TimedOut,
    /// The host's name has no address.
    HostNotFound,
    /// The service's certificate is not accepted.
    Certificate,
    Other,
}

/// Whether a call that failed may have been received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// There was no connection.
    NotSent,
    Unknown,
    /// Nothing was sent: the sandbox has as many connections as it may.
    TooManyConnections,
}

/// HTTP/1.1 over TLS, or in plain text where the address says so. Connections are reused.
///
/// HTTP/1.1 on purpose: closing the connection cancels a run, and affects no other call.
pub struct HttpTransport {
    client: reqwest::Client,
}

/// Longest that a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections that are kept open, for each host.
const MAX_IDLE_CONNECTIONS: usize = 32;

impl HttpTransport {
    /// # Errors
    /// This machine has no certificates to trust, or TLS cannot be set up; says why.
    pub fn new() -> Result<Self, TransportError> {
        // It fails where a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            // E2B counts idle connections too.
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            // A key must not follow a redirect to another host.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| transport_error(&error))?;
        Ok(Self { client })
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<BodyStream>, TransportError> {
        streamed(self.execute(request).await?)
    }

    async fn upgrade(&self, request: Request<Bytes>) -> Result<Switched, TransportError> {
        let response = self.execute(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return streamed(response).map(Switched::Refused);
        }
        let mut head = Response::new(());
        *head.status_mut() = response.status();
        *head.headers_mut() = response.headers().clone();
        let connection = response.upgrade().await.map_err(|error| transport_error(&error))?;
        Ok(Switched::To(head, Box::new(connection)))
    }
}

impl HttpTransport {
    async fn execute(&self, request: Request<Bytes>) -> Result<reqwest::Response, TransportError> {
        let request = reqwest::Request::try_from(request).map_err(|error| transport_error(&error))?;
        self.client.execute(request).await.map_err(|error| transport_error(&error))
    }
}

/// Returns a response whose body arrives in pieces.
fn streamed(response: reqwest::Response) -> Result<Response<BodyStream>, TransportError> {
    let mut builder = Response::builder().status(response.status());
    if let Some(headers) = builder.headers_mut() {
        *headers = response.headers().clone();
    }
    let pieces: BodyStream =
        Box::pin(response.bytes_stream().map(|piece| piece.map_err(|error| transport_error(&error))));
    builder.body(pieces).map_err(|error| TransportError {
        kind: TransportErrorKind::Other,
        reason: error.to_string(),
        delivery: Delivery::Unknown,
    })
}

fn transport_error(error: &reqwest::Error) -> TransportError {
    let delivery = if error.is_connect() || error.is_builder() { Delivery::NotSent } else { Delivery::Unknown };
    let sources = std::iter::successors(error.source(), |inner: &&'_ (dyn Error + 'static)| (*inner).source());
    let kind = sources.filter_map(kind_of).next();
    let kind =
        kind.unwrap_or(if error.is_timeout() { TransportErrorKind::TimedOut } else { TransportErrorKind::Other });
    // The innermost message says most; the outermost may contain the whole address.
    let mut source: &dyn Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    TransportError { kind, reason: source.to_string(), delivery }
}

/// Returns what one error of a chain says about the kind of the whole.
fn kind_of(error: &(dyn Error + 'static)) -> Option<TransportErrorKind> {
    // The resolver's error has no type of its own.
    if error.to_string().starts_with("dns error") {
        return Some(TransportErrorKind::HostNotFound);
    }
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return Some(TransportErrorKind::Certificate);
    }
    let io: &std::io::Error = error.downcast_ref()?;
    match io.kind() {
        ErrorKind::ConnectionRefused => Some(TransportErrorKind::ConnectionRefused),
        ErrorKind::TimedOut => Some(TransportErrorKind::TimedOut),
        // Its source is that of the error inside it, which it is asked for instead.
        _ => kind_of(io.get_ref()?),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_service_that_changes_the_protocol_gets_a_connection_of_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(connection.read_u8().await.unwrap());
            }
            let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello";
            connection.write_all(answer.as_bytes()).await.unwrap();
            connection.read_u8().await.unwrap()
        };
        let client = async {
            let request = Request::get(format!("http://{address}/")).header("connection", "upgrade");
            let request = request.header("upgrade", "websocket").body(Bytes::new()).unwrap();
            let switched = HttpTransport::new().unwrap().upgrade(request).await.unwrap();
            let Switched::To(head, mut connection) = switched else { panic!("the protocol did not change") };
            assert_eq!(head.headers()["upgrade"], "websocket");
            let mut read = [0; 5];
            connection.read_exact(&mut read).await.unwrap();
            connection.write_all(b"!").await.unwrap();
            read
        };
        assert_eq!(tokio::join!(service, client), (b'!', *b"hello"));
    }
}
