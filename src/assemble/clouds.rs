//! Builds cloud accounts from the settings: their keys, their addresses, and the identity of this process in them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use switchtower_core::clock::WallClock;
use switchtower_core::route::TierName;
use switchtower_core::seed::Seed;
use switchtower_core::session;
use switchtower_core::tier::account::AccountSnapshot;
use switchtower_core::tier::{AbsentTier, Tier};
use switchtower_e2b::limits::EgressRates;
use switchtower_e2b::{Address, CallError, Cause, E2b, HttpTransport, Identity, Key};
use tokio::time::{Instant, sleep, timeout};

use super::process::ThisProcess;
use super::{AccountCheck, NamedBackend, TierBackend};
use crate::config::{Cloud, Config};

/// The cloud accounts whose keys are set, and the tiers that are absent, each with the reason.
#[derive(Default)]
pub(super) struct Clouds {
    accounts: Vec<(TierName, E2b)>,
    pub(super) absent: Vec<AbsentTier>,
}

/// The longest time that a closing server takes to end its sandboxes.
pub(super) const CLOSING: Duration = Duration::from_secs(15);
/// The longest time that the first sweep for sandboxes of earlier processes delays the pools.
const SWEEPING: Duration = Duration::from_secs(20);
/// The shortest time between two sweeps.
const SOONEST: Duration = Duration::from_secs(1);
/// The interval at which the budgets drop entries older than an hour and the leases of paused sandboxes are renewed.
const HOURLY: Duration = Duration::from_secs(3600);

impl Clouds {
    /// Returns the accounts of a server, which keeps its budgets on disk.
    pub(super) fn for_server(config: &Config, wall: WallClock) -> Self {
        let mut config = config.clone();
        for (name, cloud) in &mut config.clouds.0 {
            let account = &mut cloud.account;
            if account.limits.max_creations_per_hour.is_some() && account.budget_file.is_none() {
                account.budget_file = state_folder().map(|folder| folder.join(format!("{name}-budget.json")));
            }
        }
        Self::with(&config, wall, key_from)
    }

    /// Returns the accounts of a command, without budget files: these belong to the server, and a second writer would
    /// overwrite its counts.
    pub(super) fn for_command(config: &Config, wall: WallClock) -> Self {
        let mut config = config.clone();
        config.clouds.0.values_mut().for_each(|cloud| cloud.account.budget_file = None);
        Self::with(&config, wall, key_from)
    }

    /// Returns the accounts of a measurement against a stand-in, which accepts any key.
    pub(super) fn against_stand_in(config: &Config, wall: WallClock) -> Self {
        Self::with(config, wall, |_| Key::new("stand-in").map_err(|why| why.to_string()))
    }

    /// Returns the accounts of the settings, with the keys that `key` returns by the name of their variable.
    fn with(config: &Config, wall: WallClock, key: impl Fn(&str) -> Result<Key, String>) -> Self {
        let mut clouds = Self::default();
        let mut egress = EgressRates::default();
        let process = std::cell::OnceCell::new();
        // Created only when there is an account, because it writes a file.
        let this_process =
            || process.get_or_init(|| Arc::new(ThisProcess::new(state_folder(), random_number(), wall.now()))).clone();
        for (name, cloud) in &config.clouds.0 {
            match account(name, cloud, config, wall, &key, &mut egress, this_process) {
                Ok(account) => clouds.accounts.push((name.clone(), account)),
                Err(absent) => clouds.absent.push(absent),
            }
        }
        clouds
    }

    /// Returns the accounts as tiers; without pools if `pooled` is false, for a process that runs one program.
    pub(super) fn tiers(&self, config: &Config, pooled: bool) -> Vec<NamedBackend> {
        let backends = |(name, account): &(TierName, E2b)| {
            let mut tier = config.clouds.0.get(name).map(|cloud| cloud.tier.clone()).unwrap_or_default();
            if !pooled {
                tier.pool = None;
            }
            (name.clone(), TierBackend::Started(Arc::new(account.clone())), tier)
        };
        self.accounts.iter().map(backends).collect()
    }

    /// Adds the status of its account to a tier that has one.
    pub(super) fn with_account_status(&self, tier: Tier) -> Tier {
        let Some((_, account)) = self.accounts.iter().find(|(name, _)| name == tier.name()) else { return tier };
        let account = account.clone();
        tier.with_account(Arc::new(move || account_status(&account)))
    }

    /// Maintains the accounts for as long as it is polled: ends the sandboxes that other processes left in them, at
    /// once and at every sweep interval; checks that their templates exist; starts to fill the pools of warm sandboxes.
    pub(super) fn maintain(&self, router: Arc<switchtower_core::router::Router>) -> impl Future<Output = ()> + use<> {
        let accounts = self.accounts.clone();
        async move {
            let all = accounts.iter().map(|(name, account)| async {
                let first_sweep = async {
                    sweep(name, account).await;
                    check_template(name, account).await;
                };
                if timeout(SWEEPING, first_sweep).await.is_err() {
                    tracing::warn!(tier = name.as_str(), "the first sweep for leftover sandboxes took too long");
                }
                if let Some(tier) = router.tiers().get(name) {
                    tier.start();
                }
                maintain(name, account).await;
            });
            join_all(all).await;
        }
    }

    /// Ends every sandbox when no request is running, within `most`. Returns false if one may be left.
    pub(super) async fn close(&self, most: Duration) -> bool {
        let all = join_all(self.accounts.iter().map(|(_, account)| account.close(most))).await;
        all.into_iter().all(|ended| ended)
    }
}

/// Sweeps one account at its sweep interval, for as long as it is polled.
async fn maintain(name: &TierName, account: &E2b) {
    let interval = account.sweep_interval();
    let pause = if interval.is_zero() { HOURLY } else { interval.max(SOONEST) };
    let mut hour = Instant::now();
    loop {
        sleep(pause).await;
        if !interval.is_zero() {
            sweep(name, account).await;
        }
        if account.has_template_problem() {
            check_template(name, account).await;
        }
        if hour.elapsed() >= HOURLY {
            hour = Instant::now();
            account.limits().budget().sweep();
            account.renew_leases().await;
        }
    }
}

async fn sweep(name: &TierName, account: &E2b) {
    let tier = name.as_str();
    match account.sweep().await {
        Ok(0) => {}
        Ok(swept) => tracing::warn!(tier, swept, "ended leftover sandboxes of processes that no longer run"),
        Err(error) => tracing::warn!(tier, %error, "cannot list leftover sandboxes"),
    }
}

async fn check_template(name: &TierName, account: &E2b) {
    if let Err(error) = account.find_template().await {
        tracing::warn!(tier = name.as_str(), %error, "no sandbox can be created");
    }
}

/// Returns a random number that identifies this process.
fn random_number() -> u64 {
    use rand::Rng as _;
    Seed::from_system().map_or(0, |seed| seed.fork("process").rng().next_u64())
}

/// Returns the key in an environment variable.
///
/// # Errors
/// The variable is not set or is not a key; the message says which.
fn key_from(variable: &str) -> Result<Key, String> {
    let text = std::env::var(variable).map_err(|_| format!("{variable} is not set"))?;
    Key::new(&text).map_err(|why| format!("{variable} holds no key: {why}"))
}

fn account(
    name: &TierName,
    cloud: &Cloud,
    config: &Config,
    wall: WallClock,
    key: impl Fn(&str) -> Result<Key, String>,
    egress: &mut EgressRates,
    this_process: impl Fn() -> Arc<ThisProcess>,
) -> Result<E2b, AbsentTier> {
    let absent =
        |reason: String, remedy: Option<String>| AbsentTier { tier: name.clone(), reason, remedy, machine: true };
    let mut settings = cloud.account.clone();
    let key = key(&settings.key_variable)
        .map_err(|why| absent(why, Some(format!("set {} to run this remotely", settings.key_variable))))?;
    // The variables of E2B's SDKs apply to the account `e2b` only, not to other configured clouds.
    let is_e2b = name.as_str() == "e2b";
    let variable = |name: &str| std::env::var(name).ok().filter(|text| is_e2b && !text.is_empty());
    let api = settings.api_url.clone().or_else(|| variable("E2B_API_URL"));
    let sandbox = settings.sandbox_url.clone().or_else(|| variable("E2B_SANDBOX_URL"));
    let domain = settings.domain.clone().or_else(|| variable("E2B_DOMAIN"));
    settings.template = settings.template.or_else(|| variable("E2B_TEMPLATE_ID"));
    let address = Address::new(api.as_deref(), sandbox.as_deref(), domain.as_deref());
    if is_own_address(address.api(), config) {
        let reason = format!("its address is {}, which is this server's own", address.api());
        return Err(absent(
            reason,
            Some("unset E2B_API_URL and E2B_DOMAIN for the server; they are for the server's clients".to_owned()),
        ));
    }
    let identity = identity(settings.owner.clone(), &this_process());
    let web = HttpTransport::new().map_err(|error| absent(format!("no client: {error}"), None))?;
    let now = Arc::new(move || wall.now());
    // All accounts of this process have the same source address and share the limits that a service counts by address.
    let egress = egress.towards(&address);
    let account = E2b::with_egress(egress, settings, address, key, Arc::new(web), identity, now);
    Ok(account.with_prelude(session::restore_prelude()))
}

/// Returns whether an API address is this server's own. Its clients set `E2B_API_URL` or `E2B_DOMAIN` to it; with the
/// same variable in the server's environment, the server would call itself.
fn is_own_address(api: &str, config: &Config) -> bool {
    let port = format!(":{}", config.http.port);
    let rest = api.split_once("://").map_or(api, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    if config.http.domain.as_ref().is_some_and(|domain| host == domain || host == format!("api.{domain}")) {
        return true;
    }
    host.strip_suffix(&port).is_some_and(|host| {
        host == "localhost"
            || host.ends_with(".localhost")
            || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    })
}

fn account_status(account: &E2b) -> AccountSnapshot {
    let (status, limits) = (account.status(), account.limits());
    let json = |value: Result<serde_json::Value, serde_json::Error>| value.unwrap_or_default();
    AccountSnapshot {
        health: status.limits.health,
        available_tokens: status.limits.execution.available as f64,
        sandbox_seconds: status.cost.sandbox_seconds,
        cost_usd: status.cost.cost_usd,
        budget: json(serde_json::to_value(limits.budget().check())),
        usage: json(serde_json::to_value(limits.budget().operations())),
        problem: status.template_problem.clone(),
        detail: json(serde_json::to_value(&status)),
    }
}

/// Returns the identity that the sandboxes of this process have in an account.
fn identity(owner: Option<String>, process: &Arc<ThisProcess>) -> Identity {
    let owner = owner.unwrap_or_else(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        if host.trim().is_empty() { "switchtower".to_owned() } else { host.trim().to_owned() }
    });
    let (text, process) = (process.text(), process.clone());
    Identity { owner, process: text, liveness: Arc::new(move |other| process.liveness(other)) }
}

fn state_folder() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(folder.join("switchtower"))
}

/// The longest time to wait for the answer of one account.
const REACHING: Duration = Duration::from_secs(20);

/// Checks every account: its API, its key and its template.
pub async fn check_accounts(config: &Config) -> Vec<AccountCheck> {
    let clouds = Clouds::for_command(config, WallClock::real());
    let mut found: Vec<AccountCheck> = clouds.absent.iter().cloned().map(AccountCheck::Absent).collect();
    for (tier, account) in &clouds.accounts {
        let status = account.status();
        let failed = |error: &CallError, remedy: Option<String>| AccountCheck::Failing {
            tier: tier.clone(),
            code: error.cause.code(),
            error: error.finding(),
            remedy: remedy
                .or_else(|| Some(error.cause.remedy()?.to_owned()))
                .unwrap_or_else(|| "see the message".to_owned()),
        };
        let reached = timeout(REACHING, account.check_access()).await;
        found.push(match reached {
            Ok(Ok(())) => {
                let build_tag = config.clouds.0.get(tier).and_then(|cloud| cloud.account.build_tag.clone());
                let limits = &status.limits;
                let limits = format!(
                    "plan {}: {} creations a second, {} sandboxes at once, {} an hour",
                    limits.plan.name(),
                    limits.creation.per_second,
                    limits.cap,
                    limits.budget.limit,
                );
                AccountCheck::Reachable { api: status.api, template: status.template, build_tag, limits }
            }
            Ok(Err(error)) if error.cause == Cause::Template => {
                let remedy = format!(
                    "build it in this account (`switchtower template show` prints the one that ships with Switchtower, \
                     `e2b template build` builds it), or name one that exists: {} is set by \
                     clouds.{tier}.account.template or E2B_TEMPLATE_ID",
                    status.template
                );
                failed(&error, Some(remedy))
            }
            Ok(Err(error)) => failed(&error, None),
            Err(_) => failed(&CallError::timed_out(&status.api, REACHING), None),
        });
    }
    found
}

/// Returns the account of one tier, to inspect its template.
///
/// # Errors
/// The tier has no account; the message gives the reason.
pub fn cloud_account(config: &Config, tier: &str) -> Result<E2b, super::BuildError> {
    let Clouds { accounts, absent } = Clouds::for_command(config, WallClock::real());
    if let Some((_, account)) = accounts.into_iter().find(|(name, _)| name.as_str() == tier) {
        return Ok(account);
    }
    let absent = absent.into_iter().find(|absent| absent.tier.as_str() == tier);
    Err(super::BuildError::new(match absent {
        Some(AbsentTier { reason, remedy: Some(remedy), .. }) => format!("{tier} is absent: {reason}; {remedy}"),
        Some(AbsentTier { reason, .. }) => format!("{tier} is absent: {reason}"),
        None => format!("there is no cloud {tier}"),
    }))
}
