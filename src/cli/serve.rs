//! `switchtower serve`: serves the HTTP APIs until a signal.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::{ListenerExt as _, TapIo};
use clap::Args;
use serde_json::json;
use switchtower_contract::{Price, rounded};
use switchtower_core::clock::WallClock;
use switchtower_core::route::TierName;
use switchtower_core::tier::{Tier, Tiers};
use switchtower_server::api;
use switchtower_server::e2b::{self, debug};
use switchtower_server::service::{self, Drained, ServerTls};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::executors::{self, Executors};
use super::exit::CliError;
use super::{descriptors, terminal};
use crate::assemble::{self, Assembly};
use crate::config::{Config, LogFormat, SettingsSource};
use crate::resident;

/// Arguments of `serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  switchtower serve
  switchtower serve --port 8080 --workers 4 --log json
  switchtower serve --profile containers
  SWITCHTOWER_HTTP_KEYS=ci=0123456789abcdef switchtower serve --listen 0.0.0.0

The server answers at once. A program waits, within its time-out, while the tier that it is routed to starts: some
seconds, and longer at the first start, which compiles the guest. /ready answers 503 until all tiers have started.")]
pub(super) struct Serve {
    /// The address to listen on, with or without a port. Beyond loopback a key is required.
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = listen)]
    listen: Option<Listen>,
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Worker processes of the WebAssembly tier, without those for extra slots; by default one per core, at most one
    /// per slot.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// A folder of routing rules that replaces the built-in ones; changes are loaded while the server runs.
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Send everything to remote tiers, whatever it costs, to measure what the local tiers save.
    #[arg(long, conflicts_with = "rules")]
    force_remote: bool,
    /// The format of the log on standard error.
    #[arg(long, value_enum)]
    log: Option<LogFormat>,
    /// Also serve E2B clients in debug mode (E2B_DEBUG=true), which always use the ports 3000, 49983 and 49999 of this
    /// machine. No token is required on these ports.
    #[arg(long)]
    e2b_debug: bool,
}

#[derive(Debug, Clone, Copy)]
struct Listen {
    address: IpAddr,
    port: Option<u16>,
}

fn listen(text: &str) -> Result<Listen, String> {
    let whole = text.parse::<SocketAddr>().map(|it| Listen { address: it.ip(), port: Some(it.port()) });
    let text = text.trim_matches(['[', ']']);
    whole
        .or_else(|_| text.parse().map(|address| Listen { address, port: None }))
        .map_err(|_| "must have the form 127.0.0.1 or 127.0.0.1:3001".to_owned())
}

impl Serve {
    fn flags(&self) -> Result<serde_json::Value, CliError> {
        let of_listen = self.listen.and_then(|listen| listen.port);
        if of_listen.is_some() && self.port.is_some() {
            return Err(CliError::usage("the port is given twice: by --listen and by --port"));
        }
        let mut flags = json!({ "http": {}, "wasm": {}, "rules": {}, "log": {} });
        let mut set = |table: &str, key: &str, value: Option<serde_json::Value>| {
            if let Some(value) = value {
                flags[table][key] = value;
            }
        };
        set("http", "address", self.listen.map(|listen| json!(listen.address)));
        set("http", "port", self.port.or(of_listen).map(|port| json!(port)));
        set("wasm", "workers", self.workers.map(|workers| json!(workers)));
        set("rules", "folder", self.rules.as_ref().map(|dir| json!(dir)));
        set("rules", "force_remote", self.force_remote.then_some(json!(true)));
        set("log", "format", self.log.map(|format| json!(format)));
        Ok(flags)
    }

    pub(super) fn serve(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        let config = crate::config::load_with_flags(source, self.flags()?)?;
        if let Some(problem) = config.exposure_problem() {
            return Err(CliError::usage(problem));
        }
        let tls = ServerTls::load(&config.http.tls).map_err(CliError::usage)?;
        super::log(&config.log)?;
        let runtime = super::runtime(0)?;
        let ended = runtime.block_on(serve(config, tls, self.e2b_debug));
        // Does not wait for a guest that is still being compiled.
        runtime.shutdown_background();
        ended
    }
}

/// Disables Nagle's algorithm: small answers must not wait for the acknowledgement of earlier ones.
pub(super) fn without_delay(listener: TcpListener) -> TapIo<TcpListener, fn(&mut TcpStream)> {
    listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    })
}

/// Listens on an address; `backlog` is the number of connections that can wait to be accepted.
pub(super) fn bind(address: SocketAddr, backlog: u32) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

/// Listens on the loopback ports that E2B clients use in debug mode.
async fn debug_listeners() -> Result<Vec<(u16, TcpListener)>, CliError> {
    let mut listeners = Vec::new();
    for port in debug::PORTS {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
            let why = "--e2b-debug needs this port: E2B clients cannot use another one";
            CliError::failed(format!("cannot listen on 127.0.0.1:{port}: {error}; {why}"))
        })?;
        listeners.push((port, listener));
        // `localhost` may resolve to this address; a machine without IPv6 does not have it.
        listeners.extend(TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await.ok().map(|listener| (port, listener)));
    }
    Ok(listeners)
}

async fn serve(mut config: Config, tls: Option<ServerTls>, e2b_debug: bool) -> Result<ExitCode, CliError> {
    descriptors::raise_limit();
    if let Some((most, sentence)) =
        descriptors::shortage(config.http.max_connections, executors::max_connections(&config))
    {
        terminal::note(&sentence);
        config.http.max_connections = most;
    }
    let address = config.http.listen();
    let listener = bind(address, config.http.backlog).map_err(|error| {
        CliError::failed(format!(
            "cannot listen on {address}: {error}; is another server running there? set another port with --port"
        ))
    })?;
    let address = listener.local_addr().unwrap_or(address);
    let debug_listeners = if e2b_debug { debug_listeners().await? } else { Vec::new() };
    let mut signals = Signals::new()?;
    let e2b_key = assemble::has_e2b_key();
    let executors = Executors::listen(&config)?;
    let (startup_handle, app) = service::startup(WallClock::real(), e2b_key);

    let http = config.http.clone();
    let (stop, stopped) = tokio::sync::watch::channel(());
    // Resolves when `stop` is dropped.
    let until = |mut stopped: tokio::sync::watch::Receiver<()>| async move { while stopped.changed().await.is_ok() {} };
    let mut others = tokio::task::JoinSet::new();
    for (port, listener) in debug_listeners {
        let (stopped, app, http) = (until(stopped.clone()), debug::app(port, app.clone()), http.clone());
        others.spawn(async move { service::serve(without_delay(listener), stopped, app, &http, None).await });
    }
    let (until_stopped, with_tls) = (until(stopped.clone()), tls.clone());
    let mut serving = tokio::spawn(async move {
        service::serve(without_delay(listener), until_stopped, app, &http, with_tls.as_ref()).await
    });
    let renewing = tls.clone().map(|tls| tokio::spawn(tls.reload(config.http.tls.reload_interval)));

    let built = assemble::starting(&config, terminal::note)?;
    let Assembly { router, sessions, .. } = &built;
    let state = api::AppState {
        request_limits: config.limits.clone(),
        e2b_key,
        sessions: Some(sessions.clone()),
        tls: tls.clone(),
        required_languages: config.executors.required_languages().to_vec(),
    };
    if let Some(executors) = executors {
        others.spawn(executors.serve(until(stopped), router, &config, state.clone()));
    }
    let native = api::app(Arc::clone(router), &config.http, state);
    startup_handle.set_ready(e2b::app(native, sessions.clone(), &config.http, &config.limits));
    announce(address, router.tiers());
    if tls.is_some() {
        // No client accepts a certificate for `*.localhost`, so there is no domain to suggest.
        let domain = config.http.domain.clone().unwrap_or_else(|| format!("DOMAIN:{}", address.port()));
        terminal::note(&format!("https://{address} is open too; for older E2B SDKs: E2B_DOMAIN={domain}"));
    }
    if e2b_debug {
        terminal::note("E2B clients with E2B_DEBUG=true are served on 127.0.0.1:3000, :49983 and :49999");
    }
    let background = [
        tokio::spawn(built.maintain()),
        tokio::spawn(resident::release_unused_memory()),
        tokio::spawn(resident::remove_expired_answers(Arc::clone(router))),
        tokio::spawn(assemble::reload_rules(Arc::clone(router), config.rules.reload_interval)),
        tokio::spawn(executors::announce_readiness(
            Arc::clone(router),
            config.executors.required_languages().to_vec(),
            (!config.machine.enabled).then_some("set machine.enabled to true"),
        )),
    ];
    signals.next().await;
    tracing::info!(deadline = %rounded(config.http.drain_timeout), "draining; a second signal ends the process at once");
    router.tiers().refuse_waiting();
    sessions.refuse_waiting();
    drop(stop);
    let drained = tokio::select! {
        drained = &mut serving => drained.unwrap_or(Drained::Cancelled(0)),
        () = signals.next() => {
            serving.abort();
            others.abort_all();
            Drained::Cancelled(0)
        }
    };
    while let Some(ended) = others.join_next().await {
        if !matches!(ended, Ok(Drained::Complete)) {
            tracing::warn!("cancelled some programs of executors, or of E2B clients in debug mode");
        }
    }
    for task in background.into_iter().chain(renewing) {
        task.abort();
    }
    built.close().await;
    if drained != Drained::Complete {
        tracing::warn!("cancelled some programs that had not ended at the drain deadline");
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the address, the tiers, and which of them are absent or starting.
fn announce(address: SocketAddr, tiers: &Tiers) {
    // A start that has failed already has been reported.
    for absent in tiers.not_created() {
        terminal::note(&absent.to_string());
    }
    let starting: Vec<&TierName> = tiers.starting().map(|(tier, _)| tier).collect();
    let open = tiers.iter().map(Tier::name).filter(|tier| !starting.contains(tier));
    let list = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let open = list(open.map(TierName::as_str).collect());
    let starting = match starting.is_empty() {
        true => String::new(),
        false => format!("; starting: {}", list(starting.into_iter().map(TierName::as_str).collect())),
    };
    terminal::note(&format!("http://{address} is open, tiers: {open}{starting}"));
    tiers.iter().filter_map(idle_cost).for_each(|cost| terminal::note(&cost));
    let origin = format!("http://{address}");
    terminal::note(&format!("for programs that use E2B's SDK: E2B_API_URL={origin} E2B_SANDBOX_URL={origin}"));
}

/// Returns what the pool of a tier costs without any request, if its sandboxes are paid for.
fn idle_cost(tier: &Tier) -> Option<String> {
    let (price, pool) = (tier.offer().price_per_second?, tier.pool()?.config());
    let (name, target, kept) = (tier.name(), pool.target, pool.kept_from_start() as u64);
    if kept == 0 {
        return Some(format!(
            "{name}: nothing is bought before a request needs it; up to {target} sandboxes are kept warm while many do"
        ));
    }
    let hour = Price(price.0 * kept).of(Duration::from_secs(3600)).dollars();
    let sleep = match pool.sleep_after.is_zero() {
        true => String::new(),
        false => format!(", less after {} without requests, when they sleep", rounded(pool.sleep_after)),
    };
    let sandboxes = if kept == 1 { "1 idle sandbox" } else { &format!("{kept} idle sandboxes") };
    Some(format!("{name}: keeps {sandboxes}: ${hour:.2} an hour, ${:.0} a month{sleep}", hour * 24.0 * 30.0))
}

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, CliError> {
        let on = |kind| signal(kind).map_err(|error| CliError::failed(format!("cannot listen for signals: {error}")));
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
