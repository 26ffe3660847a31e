//! TLS: the limits and time-outs of connections hold for it, and certificates are replaced while the server runs. The
//! network is simulated by pipes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use switchtower_server::api::AppState;
use switchtower_server::service::{CertificateChange, Config, Drained, ServerTls, TlsSettings, serve};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::harness::TestHarness;
use crate::certificate::Certificate;

/// A listener whose connections are pipes of one peer.
struct Pipes {
    pipes: mpsc::Receiver<DuplexStream>,
    peer: SocketAddr,
}

impl axum::serve::Listener for Pipes {
    type Io = DuplexStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DuplexStream, SocketAddr) {
        match self.pipes.recv().await {
            Some(pipe) => (pipe, self.peer),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

const LOOPBACK: &str = "127.0.0.1:50000";
const ELSEWHERE: &str = "192.0.2.1:50000";

/// A server with TLS on a simulated listener.
struct TestServer {
    harness: TestHarness,
    certificate: Certificate,
    tls: ServerTls,
    connect: mpsc::Sender<DuplexStream>,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Drained>,
}

impl TestServer {
    fn new() -> Self {
        Self::with(Config::default(), LOOPBACK)
    }

    fn with(mut config: Config, peer: &str) -> Self {
        let certificate = Certificate::new();
        config.tls.certificate = Some(certificate.certificate());
        config.tls.key = Some(certificate.key());
        let tls = ServerTls::load(&config.tls).unwrap().unwrap();
        let harness = TestHarness::with_state(&config, AppState { tls: Some(tls.clone()), ..AppState::default() });
        let (connect, pipes) = mpsc::channel(8);
        let listener = Pipes { pipes, peer: peer.parse().unwrap() };
        let (stop, stopped) = oneshot::channel();
        let (app, with_tls) = (harness.app.clone(), tls.clone());
        let done =
            tokio::spawn(
                async move { serve(listener, async { drop(stopped.await) }, app, &config, Some(&with_tls)).await },
            );
        Self { harness, certificate, tls, connect, stop, done }
    }

    /// Opens a connection.
    async fn connect(&self) -> DuplexStream {
        let (ours, theirs) = duplex(16 << 10);
        self.connect.send(theirs).await.unwrap();
        ours
    }

    /// Opens a connection over TLS, to a client that trusts this issuer.
    async fn handshake(&self, trusted: &Certificate) -> std::io::Result<TlsStream<DuplexStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(trusted.issuer()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let mut config = config.with_no_client_auth();
        // As clients that prefer HTTP/2 do.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = ServerName::try_from("49999-iabc.tower.localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, self.connect().await).await
    }

    async fn connect_by_tls(&self) -> TlsStream<DuplexStream> {
        self.handshake(&self.certificate).await.unwrap()
    }

    /// Waits until this many programs run.
    async fn wait_for_running(&self, programs: u64) {
        while self.harness.backend.counts().running != programs {
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn health(&self) -> Value {
        self.harness.send(Request::get("/health").body(Body::empty()).unwrap()).await.json
    }
}

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";

async fn execute(io: &mut (impl AsyncWrite + Unpin), code: &str) {
    let body = json!({ "code": code }).to_string();
    let head = "POST /v1/execute HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length";
    io.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    io.flush().await.unwrap();
}

/// Returns what arrives until the connection ends.
async fn read_to_end(io: &mut (impl AsyncRead + Unpin)) -> String {
    let (mut text, mut piece) = (Vec::new(), vec![0; 4096]);
    while let Ok(read @ 1..) = io.read(&mut piece).await {
        text.extend_from_slice(&piece[..read]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Returns the first piece of an answer.
async fn answer(io: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &[u8]) -> String {
    io.write_all(request).await.unwrap();
    io.flush().await.unwrap();
    let mut piece = vec![0; 4096];
    let read = io.read(&mut piece).await.unwrap_or_default();
    String::from_utf8_lossy(&piece[..read]).into_owned()
}

/// Returns whether the server has closed the connection.
async fn is_closed(io: &mut (impl AsyncRead + Unpin)) -> bool {
    timeout(Duration::from_millis(1), io.read_u8()).await.is_ok_and(|read| read.is_err())
}

#[tokio::test(start_paused = true)]
async fn one_port_serves_https_to_all_and_plain_http_to_this_machine() {
    for (peer, plain_http, plain) in [(LOOPBACK, false, 200), (ELSEWHERE, false, 403), (ELSEWHERE, true, 200)] {
        let tls = TlsSettings { plain_http, ..TlsSettings::default() };
        let server = TestServer::with(Config { tls, ..Config::default() }, peer);
        let mut secure = server.connect_by_tls().await;
        assert_eq!(secure.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        for _ in 0..2 {
            assert!(answer(&mut secure, HEALTH).await.starts_with("HTTP/1.1 200"), "{peer}");
        }
        let answered = answer(&mut server.connect().await, HEALTH).await;
        assert!(answered.starts_with(&format!("HTTP/1.1 {plain}")), "{peer} {plain_http}: {answered}");
        assert_eq!(answered.contains("use https://"), plain == 403, "{answered}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stops_ends_at_the_head_timeout_as_does_a_connection_that_sends_nothing_after_it() {
    let server = TestServer::new();
    let mut started = server.connect().await;
    started.write_all(&[22]).await.unwrap();
    let mut slow = server.connect().await;
    // A record of 512 bytes that does not end.
    slow.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
    let mut silent = server.connect_by_tls().await;
    for _ in 0..4 {
        sleep(Duration::from_secs(1)).await;
        slow.write_all(&[1]).await.unwrap();
    }
    assert!(!is_closed(&mut started).await && !is_closed(&mut slow).await && !is_closed(&mut silent).await);
    sleep(Duration::from_millis(1100)).await;
    assert!(is_closed(&mut started).await && is_closed(&mut slow).await && is_closed(&mut silent).await);
    // What is no handshake ends at once.
    let mut wrong = server.connect().await;
    wrong.write_all(&[22, 3, 1, 0, 4, 9, 9, 9, 9]).await.unwrap();
    timeout(Duration::from_millis(100), read_to_end(&mut wrong)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn unfinished_handshakes_count_as_connections_and_do_not_block_new_ones() {
    let server = TestServer::with(Config { max_connections: 3, ..Config::default() }, LOOPBACK);
    let mut unfinished = Vec::new();
    for _ in 0..10 {
        let mut pipe = server.connect().await;
        pipe.write_all(&[22, 3, 1]).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        unfinished.push(pipe);
    }
    let mut client = server.connect_by_tls().await;
    assert!(answer(&mut client, HEALTH).await.starts_with("HTTP/1.1 200"));
    let mut closed = 0;
    for pipe in &mut unfinished {
        closed += usize::from(is_closed(pipe).await);
    }
    assert_eq!(closed, 8);
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_and_one_that_does_not_read_are_disconnected_over_tls_too() {
    let config = Config { max_connections: 1, client_timeout: Duration::from_secs(5), ..Config::default() };
    let server = TestServer::with(config, LOOPBACK);
    let mut unread = server.connect_by_tls().await;
    execute(&mut unread, "#: flood 500000").await;
    assert_eq!(unread.read_u8().await.unwrap(), b'H');
    // Its connection is not closed for another one before the timeout.
    let mut next = server.connect().await;
    next.write_all(HEALTH).await.unwrap();
    assert!(timeout(Duration::from_secs(4), next.read_u8()).await.is_err());
    sleep(Duration::from_secs(2)).await;
    assert!(read_to_end(&mut unread).await.len() < 500_000);
    assert_eq!(next.read_u8().await.unwrap(), b'H');
    drop(next);
    let mut idle = server.connect_by_tls().await;
    assert!(answer(&mut idle, HEALTH).await.starts_with("HTTP/1.1 200"));
    sleep(Duration::from_millis(4900)).await;
    assert!(!is_closed(&mut idle).await);
    sleep(Duration::from_millis(200)).await;
    assert!(is_closed(&mut idle).await);
}

#[tokio::test(start_paused = true)]
async fn draining_answers_requests_in_progress_over_tls_and_ends_handshakes() {
    let server = TestServer::new();
    let mut handshake = server.connect().await;
    handshake.write_all(&[22, 3, 1]).await.unwrap();
    let mut busy = server.connect_by_tls().await;
    execute(&mut busy, "#: sleep 5s\n#: print done").await;
    server.wait_for_running(1).await;
    drop(server.stop);
    assert_eq!(timeout(Duration::from_secs(1), read_to_end(&mut handshake)).await.unwrap(), "");
    assert!(read_to_end(&mut busy).await.contains(r#""stdout":"done\n""#));
    assert_eq!(server.done.await.unwrap(), Drained::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_new_certificate_is_used_without_a_restart_and_one_that_cannot_be_used_leaves_the_old_one_in_force() {
    let server = TestServer::new();
    // The issuer of the first certificate stays that which its clients trust.
    let (old, new) = (&server.certificate, Certificate::new());
    assert_eq!(server.tls.check(), None);
    assert_eq!(server.health().await["tls"], json!({ "problem": null }));

    // Between the two files, and with files that are none.
    server.certificate.replace_certificate(&new);
    let mismatch = "http.tls.key is not the key of http.tls.certificate".to_owned();
    assert_eq!(server.tls.check(), Some(CertificateChange::Kept(mismatch.clone())));
    assert_eq!(server.tls.check(), None, "it is reported once");
    assert_eq!(server.health().await["tls"]["problem"], mismatch);
    assert!(server.handshake(old).await.is_ok());
    let path = server.certificate.certificate();
    for content in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
        std::fs::write(&path, content).unwrap();
        let Some(CertificateChange::Kept(why)) = server.tls.check() else { panic!("{content}") };
        assert_eq!(why, "http.tls.certificate holds no certificate in PEM form");
    }
    std::fs::remove_file(&path).unwrap();
    let Some(CertificateChange::Kept(why)) = server.tls.check() else { panic!("it is gone") };
    assert!(why.starts_with(&format!("http.tls.certificate: cannot read {}", path.display())), "{why}");
    // What everybody can read has no path, and not what the system reports.
    let public = "http.tls.certificate: cannot read the file; the log has the cause";
    assert_eq!(server.health().await["tls"], json!({ "problem": public }));
    std::fs::write(&path, vec![b' '; (1 << 20) + 1]).unwrap();
    assert!(matches!(server.tls.check(), Some(CertificateChange::Kept(why)) if why.contains(path.to_str().unwrap())));
    let public = "http.tls.certificate: the file must have at most 1048576 bytes, it has more";
    assert_eq!(server.health().await["tls"], json!({ "problem": public }));
    assert!(server.handshake(old).await.is_ok() && server.handshake(&new).await.is_err());

    server.certificate.replace_certificate(&new);
    server.certificate.replace_key(&new);
    let mut opened_before = server.handshake(old).await.unwrap();
    assert_eq!(server.tls.check(), Some(CertificateChange::Replaced));
    assert_eq!(server.health().await["tls"], json!({ "problem": null }));
    assert!(server.handshake(&new).await.is_ok() && server.handshake(old).await.is_err());
    assert!(answer(&mut opened_before, HEALTH).await.starts_with("HTTP/1.1 200"));
}

#[test]
fn a_server_does_not_start_with_a_certificate_that_cannot_be_used() {
    let (one, other) = (Certificate::new(), Certificate::new());
    let load = |certificate, key| {
        let settings = TlsSettings { certificate: Some(certificate), key: Some(key), ..TlsSettings::default() };
        ServerTls::load(&settings).map(|tls| tls.is_some())
    };
    assert_eq!(load(one.certificate(), one.key()), Ok(true));
    assert!(matches!(ServerTls::load(&TlsSettings::default()), Ok(None)));
    for (certificate, key, why) in [
        (one.certificate(), other.key(), "http.tls.key is not the key of http.tls.certificate"),
        (one.certificate(), one.certificate(), "http.tls.key holds no private key"),
        (one.key(), one.key(), "http.tls.certificate holds no certificate"),
        ("/nothing.pem".into(), one.key(), "http.tls.certificate: cannot read /nothing.pem"),
        ("/dev/zero".into(), one.key(), "http.tls.certificate: /dev/zero must have at most 1048576 bytes"),
    ] {
        let error = load(certificate, key).unwrap_err();
        assert!(error.starts_with(why), "{error}");
    }
    let half = TlsSettings { certificate: Some(one.certificate()), ..TlsSettings::default() };
    let problem = Config { tls: half, ..Config::default() }.problem();
    assert_eq!(problem.as_deref(), Some("tls.key is not set: a certificate needs its key"));
}
