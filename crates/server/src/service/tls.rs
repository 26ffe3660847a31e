//! TLS on the server's port: the certificate and its key, loaded from files, and loaded again when these change.

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

/// Maximum size of a file with certificates or a key, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The first byte of a TLS connection: the type of a record with a handshake.
const HANDSHAKE: u8 = 22;

/// TLS on the same port, which needs a certificate and its key. This machine may always use plain HTTP there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// A file with the certificate in PEM form, followed by those of its issuers. For E2B's clients it is valid for
    /// `*.DOMAIN`. Not set: no TLS.
    pub certificate: Option<PathBuf>,
    /// A file with the certificate's private key in PEM form, not encrypted.
    pub key: Option<PathBuf>,
    /// Whether other machines may use plain HTTP, too.
    pub plain_http: bool,
    /// Time between two looks for changed files. A pair that cannot be used does not replace the one in force, which the
    /// log and `/health` report.
    #[serde(with = "duration")]
    pub reload_interval: Duration,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self { certificate: None, key: None, plain_http: false, reload_interval: Duration::from_secs(10) }
    }
}

impl TlsSettings {
    /// Returns the first setting that cannot be used and why, in words that begin with its name.
    pub(super) fn problem(&self) -> Option<String> {
        match (&self.certificate, &self.key) {
            (Some(_), None) => Some("tls.key is not set: a certificate needs its key".to_owned()),
            (None, Some(_)) => Some("tls.certificate is not set: a key needs its certificate".to_owned()),
            _ => self.reload_interval.is_zero().then(|| "tls.reload_interval must be longer than 0s".to_owned()),
        }
    }
}

/// The certificate of a server. Clones share it.
#[derive(Debug, Clone)]
pub struct ServerTls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    plain_http: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What new connections use.
    in_force: Arc<ServerConfig>,
    /// The files at the last look, or why they could not be read.
    last: Result<Files, Unusable>,
    /// Why the files at the last look are not in force.
    problem: Option<Unusable>,
}

/// The contents of both files.
#[derive(Debug, PartialEq, Eq)]
struct Files {
    certificate: blake3::Hash,
    key: blake3::Hash,
}

/// Why files cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unusable {
    /// For everybody: without paths, and without what the system reports.
    public: String,
    /// For the log.
    detail: String,
}

impl From<String> for Unusable {
    fn from(reason: String) -> Self {
        Self { public: reason.clone(), detail: reason }
    }
}

impl From<&str> for Unusable {
    fn from(reason: &str) -> Self {
        Self::from(reason.to_owned())
    }
}

/// What has become of changed files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateChange {
    /// They are in force for new connections.
    Replaced,
    /// They cannot be used, for this reason; the certificate in force stays.
    Kept(String),
}

impl ServerTls {
    /// Loads the certificate of the settings; `None` if they name none.
    ///
    /// # Errors
    /// A file cannot be read or used; the message names the setting.
    pub fn load(settings: &TlsSettings) -> Result<Option<Self>, String> {
        let (Some(certificate), Some(key)) = (settings.certificate.clone(), settings.key.clone()) else {
            return Ok(None);
        };
        let plain_http = settings.plain_http;
        let loaded = read(&certificate, &key)
            .and_then(|(files, [certificates, private_key])| Ok((files, server_config(&certificates, &private_key)?)));
        let (files, in_force) = loaded.map_err(|why| why.detail)?;
        let state = Mutex::new(State { in_force, last: Ok(files), problem: None });
        Ok(Some(Self(Arc::new(Inner { certificate, key, plain_http, state }))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for changed files, and loads them. Returns what has become of them; `None` if they have not changed. It
    /// blocks while it reads.
    pub fn check(&self) -> Option<CertificateChange> {
        let read = read(&self.0.certificate, &self.0.key);
        let (last, contents) = match read {
            Ok((files, contents)) => (Ok(files), Ok(contents)),
            Err(why) => (Err(why.clone()), Err(why)),
        };
        if self.state().last == last {
            return None;
        }
        let loaded = contents.and_then(|[certificates, key]| server_config(&certificates, &key));
        let mut state = self.state();
        state.last = last;
        match loaded {
            Ok(config) => {
                state.in_force = config;
                state.problem = None;
                Some(CertificateChange::Replaced)
            }
            Err(why) => {
                state.problem = Some(why.clone());
                Some(CertificateChange::Kept(why.detail))
            }
        }
    }

    /// Looks for changed files at an interval, for as long as it is polled.
    pub async fn reload(self, every: Duration) {
        let mut tick = interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let tls = self.clone();
            match tokio::task::spawn_blocking(move || tls.check()).await {
                Ok(Some(CertificateChange::Replaced)) => tracing::info!("a new certificate is in force"),
                Ok(Some(CertificateChange::Kept(why))) => {
                    tracing::error!(%why, "the changed certificate cannot be used: the old one stays in force");
                }
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// Returns why the files at the last look are not in force, in words for everybody; `None` if they are.
    pub fn problem(&self) -> Option<String> {
        self.state().problem.as_ref().map(|why| why.public.clone())
    }

    /// Returns how a connection is served whose first byte this is.
    pub(super) fn protocol(&self, first: u8, peer: Option<IpAddr>) -> Protocol {
        // A pipe has no address and is of this machine.
        let is_local = peer.is_none_or(|address| address.to_canonical().is_loopback());
        match first {
            HANDSHAKE => Protocol::Tls,
            _ if is_local || self.0.plain_http => Protocol::Plain,
            _ => Protocol::Refused,
        }
    }

    /// Performs the handshake with a client.
    pub(super) async fn accept<Io>(&self, io: Io) -> std::io::Result<TlsStream<Io>>
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let config = Arc::clone(&self.state().in_force);
        TlsAcceptor::from(config).accept(io).await
    }
}

/// How a connection is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tls,
    Plain,
    /// Plain HTTP of another machine, which only receives a refusal.
    Refused,
}

/// Returns the contents of both files.
fn read(certificate: &Path, key: &Path) -> Result<(Files, [Vec<u8>; 2]), Unusable> {
    let read = |setting: &str, path: &Path| {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
        let path = path.display();
        read.map_err(|error| Unusable {
            public: format!("http.tls.{setting}: cannot read the file; the log has the cause"),
            detail: format!("http.tls.{setting}: cannot read {path}: {error}"),
        })?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            let limit = format!("must have at most {MAX_FILE_BYTES} bytes, it has more");
            return Err(Unusable {
                public: format!("http.tls.{setting}: the file {limit}"),
                detail: format!("http.tls.{setting}: {path} {limit}"),
            });
        }
        Ok(bytes)
    };
    let contents = [read("certificate", certificate)?, read("key", key)?];
    let [certificate, key] = contents.each_ref().map(|bytes| blake3::hash(bytes));
    Ok((Files { certificate, key }, contents))
}

/// Returns the settings of connections with a certificate and its key, both in PEM form.
fn server_config(certificates: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, Unusable> {
    let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or("http.tls.certificate holds no certificate in PEM form")?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| "http.tls.key holds no private key in PEM form that is not encrypted")?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| format!("http.tls: {error}"))?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "http.tls.key is not the key of http.tls.certificate".to_owned(),
        other => format!("http.tls: {other}"),
    })?;
    // The server speaks no HTTP/2, which clients would choose otherwise.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
