//! `CONNECT 127.0.0.1:PORT`: raw bytes to and from a port of the machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use switchtower_e2b_wire::errors;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

pub(super) async fn open(mut request: Request<Incoming>) -> Response {
    let authority = request.uri().authority();
    let is_loopback =
        authority.is_some_and(|authority| matches!(authority.host(), "127.0.0.1" | "localhost" | "[::1]"));
    let Some(port) = authority.and_then(axum::http::uri::Authority::port_u16).filter(|_| is_loopback) else {
        return errors::api(StatusCode::BAD_REQUEST, "only ports of 127.0.0.1 are reached: CONNECT 127.0.0.1:PORT");
    };
    let Some(mut port) = connect(port).await else {
        return errors::api(StatusCode::BAD_GATEWAY, "The sandbox is running but port is not open");
    };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            // Either side may break off; both are closed then.
            let _ = copy_bidirectional(&mut TokioIo::new(upgraded), &mut port).await;
        }
    });
    (StatusCode::OK, Body::empty()).into_response()
}

/// Connects to a port. A server that listens on `localhost` may have chosen either address.
async fn connect(port: u16) -> Option<TcpStream> {
    for address in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        if let Ok(stream) = TcpStream::connect((address, port)).await {
            // A small message must not wait until the program has acknowledged earlier ones.
            let _ = stream.set_nodelay(true);
            return Some(stream);
        }
    }
    None
}
