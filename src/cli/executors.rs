//! The executors' protocol of a server: its listener, and the line that says when all executors are ready.

use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::Language;
use switchtower_core::router::Router;
use switchtower_server::api::{self, executors};
use switchtower_server::service::{self, Drained};
use tokio::net::TcpListener;

use super::exit::CliError;
use super::serve::{bind, without_delay};
use super::terminal;
use crate::config::Config;

/// Connections beyond `executors.max_connections`, which are refused by an answer.
const REFUSED_CONNECTIONS: usize = 16;
/// The interval between two checks whether the machines are warm.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The listener of the protocol.
pub(super) struct Executors(TcpListener);

/// Returns how many connections the protocol may have.
pub(super) fn max_connections(config: &Config) -> usize {
    config.executors.listen.map_or(0, |_| config.executors.max_connections + REFUSED_CONNECTIONS)
}

impl Executors {
    /// Listens where the settings say; `None` if they do not.
    ///
    /// # Errors
    /// The port is in use.
    pub(super) fn listen(config: &Config) -> Result<Option<Self>, CliError> {
        let Some(address) = config.executors.listen else { return Ok(None) };
        let listener = bind(address, config.http.backlog).map_err(|error| {
            CliError::failed(format!(
                "cannot listen on {address} for executors: {error}; is another server running there? set another address with \
                 SWITCHTOWER_EXECUTORS_LISTEN"
            ))
        })?;
        Ok(Some(Self(listener)))
    }

    /// Serves the protocol until `stopped`, then drains.
    pub(super) fn serve<S: Future<Output = ()>>(
        self,
        stopped: S,
        router: &Arc<Router>,
        config: &Config,
        state: api::AppState,
    ) -> impl Future<Output = Drained> + use<S> {
        let tls = state.tls.clone();
        let app = executors::app(Arc::clone(router), &config.http, &config.executors, state);
        if let Ok(address) = self.0.local_addr() {
            let paths: Vec<String> = config.executors.languages.iter().map(|language| format!("/{language}")).collect();
            terminal::note(&format!("ws://{address} is open, for executors: /, {}", paths.join(", ")));
        }
        let http = service::Config { max_connections: max_connections(config), ..config.http.clone() };
        async move { service::serve(without_delay(self.0), stopped, app, &http, tls.as_ref()).await }
    }
}

/// Prints a line once programs in all these languages can run, or one for each language that no tier runs. `setting`: the
/// setting that would add a tier.
pub(super) async fn announce_readiness(router: Arc<Router>, languages: Vec<Language>, setting: Option<&'static str>) {
    if languages.is_empty() {
        return;
    }
    let tiers = router.tiers();
    tiers.wait_until_started().await;
    let missing: Vec<&Language> = languages.iter().filter(|language| !tiers.runs(**language)).collect();
    for language in &missing {
        let remedies = || tiers.remedies(true);
        let install = || format!("install an interpreter or a compiler for {language} on this host");
        let fix = setting.map(str::to_owned).or_else(remedies).unwrap_or_else(install);
        terminal::note(&format!("no tier runs {language}: {fix}, or take it out of executors.languages"));
    }
    if !missing.is_empty() {
        return;
    }
    let mut tick = tokio::time::interval(CHECK_INTERVAL);
    while !tiers.are_ready_for(&languages) {
        tick.tick().await;
    }
    terminal::note("All executor containers are ready");
}
