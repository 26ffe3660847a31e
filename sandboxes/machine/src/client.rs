//! HTTP to the first process of a machine and to its ports.
//!
//! A machine's programs may be hostile, and its root may control the first process: what comes from it is data of the machine,
//! bounded where it is read.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use switchtower_contract::Fault;
use switchtower_machine_streams::{Opener, Stream};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long the first process may take to accept a connection: it does nothing that takes long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to answer a call that does not wait for a program. One that was taken over by the machine's root may
/// never answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of an answer that is read whole.
const MAX_ANSWER: usize = 4 << 20;

/// A client of one machine's first process.
#[derive(Debug, Clone)]
pub(crate) struct InitClient(Way);

/// How the first process is reached.
#[derive(Debug, Clone)]
enum Way {
    /// It accepts the connections of a socket with this path.
    Socket(PathBuf),
    /// It accepts the streams of one connection.
    Streams(Opener),
}

/// A connection to a first process.
enum Connection {
    Socket(UnixStream),
    Stream(Stream),
}

/// The machine's answer when it refuses a call.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

impl InitClient {
    /// Returns the client of a first process that accepts the connections of a socket.
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self(Way::Socket(socket))
    }

    /// Returns the client of a first process that accepts the streams of this connection.
    pub(crate) fn over(connection: UnixStream) -> Self {
        Self(Way::Streams(Opener::new(connection)))
    }

    async fn connect(&self) -> io::Result<Connection> {
        let connect = async {
            Ok(match &self.0 {
                Way::Socket(path) => Connection::Socket(UnixStream::connect(path).await?),
                Way::Streams(opener) => Connection::Stream(opener.open().await?),
            })
        };
        timeout(CONNECT_TIMEOUT, connect).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Waits until the first process answers.
    pub(crate) async fn ready(&self) -> Result<(), Fault> {
        let request = Request::get("/health").body(Bytes::new()).map_err(invalid)?;
        let answer = self.request(request).await?;
        let is_success = answer.status().is_success();
        is_success.then_some(()).ok_or_else(|| lost(format!("its first process answers {}", answer.status())))
    }

    /// Sends a request to the first process.
    pub(crate) async fn request(&self, request: Request<Bytes>) -> Result<Response<Incoming>, Fault> {
        let stream = self.connect().await.map_err(unreachable)?;
        send(stream, request).await
    }

    /// Sends a request to a port of the machine's loopback.
    pub(crate) async fn request_port(
        &self,
        port: u16,
        request: Request<Bytes>,
    ) -> Result<Response<Incoming>, PortError> {
        let tunnel = self.connect_port(port).await?;
        send_over(tunnel, request).await.map_err(|fault| PortError::Broken(fault.detail()))
    }

    /// Connects to a port of the machine's loopback.
    pub(crate) async fn connect_port(&self, port: u16) -> Result<Upgraded, PortError> {
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(format!("127.0.0.1:{port}"))
            .body(Bytes::new())
            .map_err(|error| PortError::Fault(invalid(error)))?;
        let stream = self.connect().await.map_err(|error| PortError::Fault(unreachable(error)))?;
        let answer = in_time(send(stream, request)).await.map_err(PortError::Fault)?;
        if !answer.status().is_success() {
            return Err(PortError::Closed);
        }
        hyper::upgrade::on(answer).await.map_err(|error| PortError::Fault(lost(error)))
    }

    /// Sends a request that changes the protocol. Returns the connection.
    pub(crate) async fn upgrade(&self, request: Request<Bytes>) -> Result<Upgraded, Fault> {
        let answer = in_time(self.request(request)).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let refused = refused(answer).await;
            return Err(Fault::Refused { reason: refused.message, retry_after: None });
        }
        hyper::upgrade::on(answer).await.map_err(lost)
    }

    /// Calls a method of one of the first process's services. Returns its answer.
    pub(crate) async fn rpc(&self, path: &str, message: &impl Serialize) -> Result<Result<Bytes, Refused>, Fault> {
        let body = serde_json::to_vec(message).map_err(invalid)?;
        let mut request = Request::post(path).body(Bytes::from(body)).map_err(invalid)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.answer(request).await
    }

    /// Sends a request and reads its answer whole.
    pub(crate) async fn answer(&self, request: Request<Bytes>) -> Result<Result<Bytes, Refused>, Fault> {
        self.answer_of(request, MAX_ANSWER).await
    }

    async fn answer_of(&self, request: Request<Bytes>, max: usize) -> Result<Result<Bytes, Refused>, Fault> {
        in_time(async {
            let answer = self.request(request).await?;
            if !answer.status().is_success() {
                return Ok(Err(refused(answer).await));
            }
            whole(answer.into_body(), max).await.map(Ok)
        })
        .await
    }

    /// Reads a file of the machine of at most `max` bytes.
    pub(crate) async fn read_file(&self, path: &str, max: usize) -> Result<Result<Bytes, Refused>, Fault> {
        let request = Request::get(files_uri(path, None)).body(Bytes::new()).map_err(invalid)?;
        self.answer_of(request, max).await
    }

    /// Writes a file as a user, with these headers.
    pub(crate) async fn write_file(
        &self,
        path: &str,
        user: &str,
        content: Bytes,
        headers: &[(String, String)],
    ) -> Result<Result<Bytes, Refused>, Fault> {
        let mut request = Request::post(files_uri(path, Some(user))).header(CONTENT_TYPE, "application/octet-stream");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.answer(request.body(content).map_err(invalid)?).await
    }
}

/// A port could not be reached.
#[derive(Debug)]
pub(crate) enum PortError {
    /// Nothing listens on it.
    Closed,
    /// What listens there does not answer as HTTP has it; the reason.
    Broken(String),
    Fault(Fault),
}

/// Returns the path and query for a file.
fn files_uri(path: &str, user: Option<&str>) -> String {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let path = utf8_percent_encode(path, NON_ALPHANUMERIC);
    let user = user.map_or_else(String::new, |user| format!("&username={user}"));
    format!("/files?path={path}{user}")
}

async fn send(connection: Connection, request: Request<Bytes>) -> Result<Response<Incoming>, Fault> {
    match connection {
        Connection::Socket(stream) => send_over(TokioIo::new(stream), request).await,
        Connection::Stream(stream) => send_over(TokioIo::new(stream), request).await,
    }
}

/// Sends a request over a new connection, which ends with its response or its tunnel.
async fn send_over<T>(stream: T, mut request: Request<Bytes>) -> Result<Response<Incoming>, Fault>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::Builder::new().title_case_headers(true).handshake(stream).await.map_err(lost)?;
    tokio::spawn(connection.with_upgrades());
    if request.method() != Method::CONNECT {
        // Only path and query of a URI are sent to an origin server.
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        *request.uri_mut() = path.parse::<Uri>().map_err(invalid)?;
        if !request.headers().contains_key(HOST) {
            request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
        }
    }
    sender.send_request(request.map(Full::new)).await.map_err(lost)
}

/// Waits for an answer that must come soon.
async fn in_time<T>(answer: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    timeout(ANSWER_TIMEOUT, answer).await.unwrap_or_else(|_| Err(lost("it does not answer")))
}

/// Reads a body of at most `max` bytes.
pub(crate) async fn whole(body: Incoming, max: usize) -> Result<Bytes, Fault> {
    let read = Limited::new(body, max).collect().await;
    read.map(http_body_util::Collected::to_bytes).map_err(lost)
}

async fn refused(answer: Response<Incoming>) -> Refused {
    let status = answer.status();
    let body = whole(answer.into_body(), 64 << 10).await.unwrap_or_default();
    let parsed: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
    let message = parsed.and_then(|body| Some(body["message"].as_str()?.to_owned()));
    let message = message.unwrap_or_else(|| format!("status {status}"));
    Refused { status, message }
}

/// Nothing of the request has arrived.
fn unreachable(error: io::Error) -> Fault {
    Fault::Unavailable { reason: format!("the machine does not answer: {error}") }
}

/// The connection broke off.
pub(crate) fn lost(error: impl ToString) -> Fault {
    Fault::Lost { reason: format!("the connection to the machine was lost: {}", error.to_string()) }
}

fn invalid(error: impl ToString) -> Fault {
    Fault::Refused { reason: error.to_string(), retry_after: None }
}
