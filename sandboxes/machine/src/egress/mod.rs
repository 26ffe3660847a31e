//! The way of machines to the internet: an HTTP proxy of this process, which reaches what the settings allow.
//!
//! A machine has no network but its loopback. Its first process listens there and passes each connection on through one that
//! this process has opened to it, so a machine never connects to anything of this host. Only `CONNECT` is served: the proxy
//! resolves the name, refuses addresses that are not of the public internet, and connects to one of those that it has checked.
//! It sees names, ports and amounts of bytes. What is inside (TLS, mostly) it neither reads nor changes.

mod addresses;
mod log;
mod network;
mod policy;
mod proxy;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use hyper_util::rt::TokioIo;
use switchtower_contract::{EgressRule, Fault, NetworkPolicy};
use tokio::io::AsyncReadExt as _;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::client::InitClient;
use log::{AllLines, EgressLog};
pub use network::{EgressNetwork, SystemNetwork};
pub(crate) use policy::EgressPolicy;
use proxy::Proxy;

/// The port of the proxy in machines, below the one of the first process's services.
pub(crate) const PORT: u16 = 49982;
/// Connections of one machine at once. Further ones wait.
const MAX_CONNECTIONS: usize = 32;
/// Connections of all machines at once, of two descriptors each, beside one of each machine that waits. It is more than one caller's
/// machines may have, 25 by default.
const MAX_ALL_CONNECTIONS: usize = 1024;
/// Pause after the first process did not accept a connection.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Returns the variables by which programs find the proxy.
pub(crate) fn environment() -> BTreeMap<&'static str, String> {
    let proxy = format!("http://127.0.0.1:{PORT}");
    let none = "localhost,127.0.0.1,0.0.0.0,::1,sandbox";
    let both =
        |upper: &'static str, lower: &'static str, value: &str| [(upper, value.to_owned()), (lower, value.to_owned())];
    [
        both("HTTPS_PROXY", "https_proxy", &proxy),
        // It refuses these requests, and says why.
        both("HTTP_PROXY", "http_proxy", &proxy),
        both("NO_PROXY", "no_proxy", none),
    ]
    .into_iter()
    .flatten()
    // `fetch` of node reads the variables only then.
    .chain([("NODE_USE_ENV_PROXY", "1".to_owned())])
    .collect()
}

/// What all machines of this process may reach, and how.
#[derive(Clone)]
pub(crate) struct Egress {
    allow: Arc<[EgressRule]>,
    network: Arc<dyn EgressNetwork>,
    /// Places for the connections of all machines.
    places: Arc<Semaphore>,
    lines: AllLines,
}

impl Egress {
    /// Returns `None` where nothing is allowed: then machines have no proxy.
    pub(crate) fn new(allow: &[EgressRule], network: Arc<dyn EgressNetwork>) -> Option<Self> {
        let places = || Arc::new(Semaphore::new(MAX_ALL_CONNECTIONS));
        (!allow.is_empty()).then(|| Self { allow: allow.into(), network, places: places(), lines: AllLines::default() })
    }

    /// Returns what a machine with this policy may reach.
    ///
    /// # Errors
    /// A rule of the policy cannot be kept.
    pub(crate) fn policy(&self, network: &NetworkPolicy) -> Result<EgressPolicy, Fault> {
        EgressPolicy::new(Arc::clone(&self.allow), network)
    }

    /// Serves the connections of a machine. `machine`: its name in the log.
    pub(crate) fn serve(&self, client: InitClient, machine: &str, policy: EgressPolicy) -> EgressConnections {
        let proxy = Proxy { policy, network: Arc::clone(&self.network), log: EgressLog::new(machine, &self.lines) };
        EgressConnections(tokio::spawn(serve(client, Arc::new(proxy), Arc::clone(&self.places))))
    }
}

/// Serves the connections of one machine. Dropping it closes them.
pub(crate) struct EgressConnections(JoinHandle<()>);

impl Drop for EgressConnections {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(client: InitClient, proxy: Arc<Proxy>, places: Arc<Semaphore>) {
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    while let Ok(permit) = Arc::clone(&free).acquire_owned().await {
        // One connection waits in the first process; it sends a byte when a program has it.
        match open(&client).await {
            Ok(mut connection) => {
                if connection.read_u8().await.is_ok() {
                    let (proxy, places) = (Arc::clone(&proxy), Arc::clone(&places));
                    connections.spawn(async move {
                        // It is never closed.
                        let _place = places.acquire_owned().await;
                        proxy.serve(connection).await;
                        drop(permit);
                    });
                }
            }
            Err(fault) => {
                tracing::debug!(%fault, "a machine takes no connection of its proxy");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn open(client: &InitClient) -> Result<TokioIo<hyper::upgrade::Upgraded>, Fault> {
    let request = Request::post("/switchtower/egress")
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "switchtower-egress")
        .body(Bytes::new())
        .map_err(crate::client::lost)?;
    client.upgrade(request).await.map(TokioIo::new)
}
