//! Forwards requests to the machine of a session, and streams its responses back.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response as Answer, Uri, header};
use axum::response::Response;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use switchtower_contract::{Fault, Machine, PortClosed};
use switchtower_core::error::Kind;
use switchtower_core::session::{MachineUse, Session};
use switchtower_e2b_wire::errors;

use super::address::ENVD_PORT;
use super::response;

/// Headers that are not forwarded: those of the connection, and credentials for this server. The machine's own
/// credentials are added by its client.
const DROPPED_HEADERS: [&str; 14] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "x-api-key",
    "e2b-traffic-access-token",
    // Responses are passed on without decoding.
    "accept-encoding",
    "expect",
];

/// Forwards a request and streams the response back.
pub(super) async fn forward(
    session: &Arc<Session>,
    machine: &dyn Machine,
    port: u16,
    parts: Parts,
    body: Bytes,
) -> Response {
    // A process that the request started may run on without further requests.
    let starts = parts.uri.path() == "/process.Process/Start" || port != ENVD_PORT;
    session.record_machine_use(if starts { MachineUse::StartsProcess } else { MachineUse::Call });
    send(session, machine, port, parts, body).await
}

/// Forwards a request without counting it as a use of the session.
pub(super) async fn send(
    session: &Arc<Session>,
    machine: &dyn Machine,
    port: u16,
    parts: Parts,
    body: Bytes,
) -> Response {
    match machine.call(port, request(session, port, parts, body)).await {
        Ok(answer) => given_back(session, port, answer),
        Err(fault) => failed(session, &fault),
    }
}

/// Returns a request as it is sent to the machine.
pub(super) fn request(session: &Session, port: u16, parts: Parts, body: Bytes) -> Request<Bytes> {
    let host = parts.headers.get(header::HOST).cloned();
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = without_signature(port, &parts.uri);
    *request.headers_mut() = passing(&parts.headers);
    // The length is set again for this body.
    request.headers_mut().remove(header::CONTENT_LENGTH);
    // A cloud sets the host itself.
    if port != ENVD_PORT && !session.has_remote_machine() {
        let masked = session.network().host.map(|mask| mask.replace("${PORT}", &port.to_string()));
        let masked = masked.and_then(|host| HeaderValue::from_str(&host).ok());
        request.headers_mut().extend(masked.or(host).map(|host| (header::HOST, host)));
    }
    request
}

/// Returns the machine's answer as it is sent to the client.
pub(super) fn given_back(session: &Arc<Session>, port: u16, answer: Answer<switchtower_contract::Body>) -> Response {
    if answer.extensions().get::<PortClosed>().is_some() {
        return errors::port_not_open(session.id(), port);
    }
    let (parts, body) = answer.into_parts();
    let session = Arc::clone(session);
    let stopped = async move { session.lifetime().stopped().await };
    let mut response = Response::new(Body::from_stream(broken_off(body.map_err(io::Error::other), stopped)));
    *response.status_mut() = parts.status;
    *response.headers_mut() = passing(&parts.headers);
    response
}

/// Returns a body that breaks off when `stopped` resolves: its machine may take a while to end, and a client that waits
/// for a command learns from the broken connection that it has to look whether its sandbox still runs.
fn broken_off(
    body: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, io::Error>> {
    let state = Some((Box::pin(body), Box::pin(stopped)));
    stream::unfold(state, async |state| {
        let (mut body, mut stopped) = state?;
        tokio::select! {
            biased;
            () = &mut stopped => Some((Err(io::ErrorKind::ConnectionReset.into()), None)),
            piece = body.next() => piece.map(|piece| (piece, Some((body, stopped)))),
        }
    })
}

/// The machine did not answer.
pub(super) fn failed(session: &Session, fault: &Fault) -> Response {
    match fault {
        Fault::Refused { reason, retry_after } => {
            let mut response = errors::api(response::envd_status_of(Kind::Overloaded), reason);
            if let Some(after) = retry_after {
                response::add_retry_after(response.headers_mut(), *after);
            }
            response
        }
        Fault::Unavailable { .. } | Fault::Lost { .. } | Fault::Unsupported(_) => {
            tracing::debug!(session = session.id(), %fault, "the machine of a session did not answer");
            errors::sandbox_not_running(session.id())
        }
    }
}

/// Returns the headers that are passed on.
pub(super) fn passing(headers: &HeaderMap) -> HeaderMap {
    // Headers that `Connection` names belong to the connection too.
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    let is_dropped = |name: &HeaderName| {
        let name = name.as_str();
        DROPPED_HEADERS.contains(&name) || name.starts_with("e2b-sandbox-") || named.iter().any(|named| named == name)
    };
    headers.iter().filter(|(name, _)| !is_dropped(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Returns the URI without the signature of a link to a file, which was made with this server's token and has been
/// checked. All other parameters, and those of all other paths, are of the client.
fn without_signature(port: u16, uri: &Uri) -> Uri {
    if port != ENVD_PORT || uri.path() != "/files" {
        return uri.clone();
    }
    let is_signature = |pair: &str| matches!(pair.split('=').next(), Some("signature" | "signature_expiration"));
    let query = uri.query().unwrap_or_default().split('&');
    let rest: Vec<&str> = query.filter(|pair| !pair.is_empty() && !is_signature(pair)).collect();
    let whole = if rest.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), rest.join("&")) };
    // A part of a valid query is one, too.
    whole.parse().unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[tokio::test]
    async fn a_body_without_an_end_breaks_off_when_its_sandbox_stops() {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let body = stream::iter([Ok(Bytes::from_static(b"output"))]).chain(stream::pending());
        let mut body = Box::pin(broken_off(body, async { drop(stopped.await) }));
        assert_eq!(body.next().await.unwrap().unwrap(), "output");
        stop.send(()).unwrap();
        assert_eq!(body.next().await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(body.next().await.is_none());
        let whole = broken_off(stream::iter([Ok(Bytes::from_static(b"all"))]), std::future::pending());
        assert_eq!(whole.map(Result::unwrap).collect::<Vec<_>>().await, ["all"]);
    }

    #[test]
    fn credentials_for_this_server_and_headers_of_the_connection_are_not_forwarded() {
        let given = [
            ("host", "x"),
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("e2b-sandbox-id", "i"),
            ("x-api-key", "t"),
            ("authorization", "Basic dXNlcjo="),
            ("connect-timeout-ms", "60000"),
        ];
        let headers: HeaderMap = given
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        let passed = passing(&headers);
        let mut names: Vec<&str> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "connect-timeout-ms"]);
    }

    #[test]
    fn only_the_signature_of_a_link_to_a_file_is_removed() {
        let forwarded = |port, uri: &'static str| without_signature(port, &Uri::from_static(uri)).to_string();
        for (port, uri, expected) in [
            (
                ENVD_PORT,
                "/files?path=%2Fa%26b&signature=v1_x&signature_expiration=3&username=u",
                "/files?path=%2Fa%26b&username=u",
            ),
            (ENVD_PORT, "/files?signature=v1_x", "/files"),
            (ENVD_PORT, "/files?path=a&signatures=2&signature_x", "/files?path=a&signatures=2&signature_x"),
            (ENVD_PORT, "/filesystem.Filesystem/Stat?signature=1", "/filesystem.Filesystem/Stat?signature=1"),
            (8080, "/files?signature=1&signature_expiration=2", "/files?signature=1&signature_expiration=2"),
            (8080, "/?signature_version=4&&a", "/?signature_version=4&&a"),
            (8080, "*", "*"),
            (22, "localhost:22", "localhost:22"),
        ] {
            assert_eq!(forwarded(port, uri), expected);
        }
    }
}
