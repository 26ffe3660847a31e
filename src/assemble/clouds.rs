//! Cloud accounts from settings: their keys, their addresses, who we are in them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use switchtower_contract::{Backend, rounded};
use switchtower_core::clock::WallClock;
use switchtower_core::route::TierName;
use switchtower_core::seed::Seed;
use switchtower_core::session;
use switchtower_core::tier::account::Account;
use switchtower_core::tier::{AbsentTier, Tier};
use switchtower_e2b::limits::EgressRates;
use switchtower_e2b::{Address, Cause, E2b, HttpTransport, Identity, Key};
use tokio::time::{Instant, sleep, timeout};

use super::NamedBackend;
use super::process::ThisProcess;
use crate::config::{Cloud, Config};

/// The accounts that there are keys for.
#[derive(Default)]
pub(super) struct Clouds {
    accounts: Vec<(TierName, E2b)>,
    pub(super) absent: Vec<AbsentTier>,
}

/// Longest that ending our sandboxes may take when a server closes.
pub(super) const CLOSING: Duration = Duration::from_secs(15);
/// Longest that looking for what earlier processes left may hold up the first sandbox.
const SWEEPING: Duration = Duration::from_secs(20);
/// The shortest time between two sweeps.
const SOONEST: Duration = Duration::from_secs(1);
/// How often the budgets forget what is older than an hour, and paused sandboxes are looked at.
const HOURLY: Duration = Duration::from_secs(3600);

impl Clouds {
    /// For a server: its budgets are kept on disk.
    pub(super) fn for_server(config: &Config, wall: WallClock) -> Self {
        let mut config = config.clone();
        for (name, cloud) in &mut config.clouds.0 {
            let account = &mut cloud.account;
            if account.limits.max_per_hour.is_some() && account.budget_file.is_none() {
                account.budget_file = state_folder().map(|folder| folder.join(format!("{name}-budget.json")));
            }
        }
        Self::with(&config, wall, key_from)
    }

    /// For a command beside it: the file is the server's, and a second writer would set it back.
    pub(super) fn for_command(config: &Config, wall: WallClock) -> Self {
        let mut config = config.clone();
        config.clouds.0.values_mut().for_each(|cloud| cloud.account.budget_file = None);
        Self::with(&config, wall, key_from)
    }

    /// With keys that come from elsewhere than the environment.
    pub(super) fn with(config: &Config, wall: WallClock, key: impl Fn(&str) -> Result<Key, String>) -> Self {
        let mut clouds = Self::default();
        let mut egress = EgressRates::default();
        let process = std::cell::OnceCell::new();
        // Only where there is an account: it writes a file.
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

    /// As tiers; without pools where only one program is to run.
    pub(super) fn tiers(&self, config: &Config, pooled: bool) -> Vec<NamedBackend> {
        let backends = |(name, account): &(TierName, E2b)| {
            let mut tier = config.clouds.0.get(name).map(|cloud| cloud.tier.clone()).unwrap_or_default();
            if !pooled {
                tier.pool = None;
            }
            (name.clone(), Arc::new(account.clone()) as Arc<dyn Backend>, tier)
        };
        self.accounts.iter().map(backends).collect()
    }

    /// With its account's figures, where it has one.
    pub(super) fn with_account_status(&self, tier: Tier) -> Tier {
        let Some((_, account)) = self.accounts.iter().find(|(name, _)| name == tier.name()) else { return tier };
        let account = account.clone();
        tier.with_account(Arc::new(move || account_status(&account)))
    }

    /// Looks after the accounts: ends what other processes left in them, at once and then again and again; begins to warm
    /// what is kept warm; looks whether their templates are there. Goes on for as long as it is polled.
    pub(super) fn maintain(&self, router: Arc<switchtower_core::router::Router>) -> impl Future<Output = ()> + use<> {
        let accounts = self.accounts.clone();
        async move {
            let all = accounts.iter().map(|(name, account)| async {
                let looked = async {
                    sweep(name, account).await;
                    look_for_template(name, account).await;
                };
                if timeout(SWEEPING, looked).await.is_err() {
                    tracing::warn!(tier = name.as_str(), "looking for sandboxes that were left took too long");
                }
                if let Some(tier) = router.tiers().get(name) {
                    tier.start();
                }
                maintain(name, account).await;
            });
            join_all(all).await;
        }
    }

    /// Ends every sandbox, once nobody asks any more, `most` at most. False: one may be left.
    pub(super) async fn close(&self, most: Duration) -> bool {
        let all = join_all(self.accounts.iter().map(|(_, account)| account.close(most))).await;
        all.into_iter().all(|ended| ended)
    }
}

/// Sweeps one account again and again.
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
            look_for_template(name, account).await;
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
        Ok(swept) => tracing::warn!(tier, swept, "sandboxes that were left are ended"),
        Err(error) => tracing::warn!(tier, %error, "sandboxes that may have been left are not known"),
    }
}

async fn look_for_template(name: &TierName, account: &E2b) {
    if let Err(error) = account.find_template().await {
        tracing::warn!(tier = name.as_str(), %error, "no sandbox can be created");
    }
}

/// A number that no other process draws.
fn random_number() -> u64 {
    use rand::Rng as _;
    Seed::from_system().map_or(0, |seed| seed.fork("process").rng().next_u64())
}

/// The key that an environment variable holds; in words, why there is none.
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
    // The variables of E2B's own SDKs speak of E2B, not of whatever else is configured beside it.
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
            Some("unset E2B_API_URL for the server; it is for the server's clients".to_owned()),
        ));
    }
    let identity = identity(settings.owner.clone(), &this_process());
    let web = HttpTransport::new().map_err(|error| absent(format!("no client: {error}"), None))?;
    let now = Arc::new(move || wall.now());
    // All accounts here leave by the same address, and what a service counts by address they share.
    let egress = egress.towards(&address);
    let account = E2b::with_egress(egress, settings, address, key, Arc::new(web), identity, now);
    Ok(account.with_prelude(session::restore_prelude()))
}

/// Clients of this server set the same variables; with them in the server's environment it would ask itself.
fn is_own_address(api: &str, config: &Config) -> bool {
    let port = format!(":{}", config.http.port);
    let rest = api.split_once("://").map_or(api, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    host.strip_suffix(&port).is_some_and(|host| {
        host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    })
}

fn account_status(account: &E2b) -> Account {
    let (status, limits) = (account.status(), account.limits());
    let json = |value: Result<serde_json::Value, serde_json::Error>| value.unwrap_or_default();
    Account {
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

/// Who this process is in an account.
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

/// What looking at an account found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountCheck {
    /// It answers, and the key is good.
    Reachable { api: String, template: String },
    /// There is none, with the reason and how to enable it.
    Absent(AbsentTier),
    /// It answers, and no sandbox can be created in it: its template is not there.
    NoTemplate { tier: TierName, template: String, error: String },
    /// It does not answer as it should.
    Failing { tier: TierName, error: String },
}

/// Longest that one account is waited for.
const REACHING: Duration = Duration::from_secs(20);

/// Asks every account whether it is there.
pub async fn check_accounts(config: &Config) -> Vec<AccountCheck> {
    let clouds = Clouds::for_command(config, WallClock::real());
    let mut found: Vec<AccountCheck> = clouds.absent.iter().cloned().map(AccountCheck::Absent).collect();
    for (tier, account) in &clouds.accounts {
        let status = account.status();
        let reached = timeout(REACHING, account.check_access()).await;
        found.push(match reached {
            Ok(Ok(())) => AccountCheck::Reachable { api: status.api, template: status.template },
            Ok(Err(error)) if error.cause == Cause::Template => {
                AccountCheck::NoTemplate { tier: tier.clone(), template: status.template, error: error.to_string() }
            }
            Ok(Err(error)) => AccountCheck::Failing { tier: tier.clone(), error: error.to_string() },
            Err(_) => {
                let error = format!("{} did not answer within {}", status.api, rounded(REACHING));
                AccountCheck::Failing { tier: tier.clone(), error }
            }
        });
    }
    found
}

/// The account of one tier, for a look into its template.
///
/// # Errors
/// There is none, and why.
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
