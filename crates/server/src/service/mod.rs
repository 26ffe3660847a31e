//! What every HTTP API of the server shares: keys, body limits, time-outs, connections and their draining, live
//! streams, and errors as responses. The APIs are built on it and never on each other.

pub(crate) mod attempts;
pub(crate) mod body;
pub(crate) mod body_limits;
mod client_stream;
pub(crate) mod coding;
pub(crate) mod config;
mod connections;
pub(crate) mod gunzip;
pub(crate) mod json_body;
pub(crate) mod keys;
pub(crate) mod live;
pub(crate) mod peer;
pub(crate) mod problem;
mod request_tracking;
mod serve;
pub(crate) mod startup;
pub(crate) mod stopping;
mod tls;
pub(crate) mod websocket;
mod write_timeout;

pub use attempts::millis;
pub use config::Config;
pub use peer::{Peer, PeerAddress, PeerStream};
pub use problem::{Problem, ProblemKind};
pub use serve::{Drained, serve};
pub use startup::{StartupHandle, startup};
pub use tls::{CertificateChange, ServerTls, TlsSettings};
