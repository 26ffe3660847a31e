//! Cloud accounts from settings: their keys, their addresses, who we are in them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::Backend;
use switchtower_e2b::{Address, E2b, Identity, Key, Web};

use super::Made;
use crate::clock::Wall;
use crate::config::{Cloud, Config};
use crate::route::TierName;
use crate::session;
use crate::tier::account::Account;
use crate::tier::{Absent, Tier};

/// The accounts that there are keys for.
#[derive(Default)]
pub(super) struct Clouds {
    accounts: Vec<(TierName, E2b)>,
    pub(super) absent: Vec<Absent>,
}

/// Longest that ending our sandboxes may take when the house closes.
const CLOSING: Duration = Duration::from_secs(15);
/// Longest that looking for what earlier processes left may hold up the first sandbox.
const SWEEPING: Duration = Duration::from_secs(20);
/// How often the budgets forget what is older than an hour.
const HOURLY: Duration = Duration::from_secs(3600);

impl Clouds {
    /// For a server: its budgets are kept on disk.
    pub(super) fn of_server(config: &Config, wall: Wall) -> Self {
        let mut config = config.clone();
        for (name, cloud) in &mut config.clouds.0 {
            let account = &mut cloud.account;
            if account.limits.max_per_hour.is_some() && account.budget_file.is_none() {
                account.budget_file = state_folder().map(|folder| folder.join(format!("{name}-budget.json")));
            }
        }
        Self::with(&config, wall, key_of)
    }

    /// For a command beside it: the file is the server's, and a second writer would set it back.
    pub(super) fn of_command(config: &Config, wall: Wall) -> Self {
        let mut config = config.clone();
        config.clouds.0.values_mut().for_each(|cloud| cloud.account.budget_file = None);
        Self::with(&config, wall, key_of)
    }

    /// With keys that come from elsewhere than the environment.
    pub(super) fn with(config: &Config, wall: Wall, key: impl Fn(&str) -> Result<Key, String>) -> Self {
        let mut clouds = Self::default();
        for (name, cloud) in &config.clouds.0 {
            match account(name, cloud, config, wall, &key) {
                Ok(account) => clouds.accounts.push((name.clone(), account)),
                Err(absent) => clouds.absent.push(absent),
            }
        }
        clouds
    }

    /// As tiers; without pools where only one program is to run.
    pub(super) fn tiers(&self, config: &Config, pooled: bool) -> Vec<Made> {
        let made = |(name, account): &(TierName, E2b)| {
            let mut tier = config.clouds.0.get(name).map(|cloud| cloud.tier.clone()).unwrap_or_default();
            if !pooled {
                tier.pool = None;
            }
            (name.clone(), Arc::new(account.clone()) as Arc<dyn Backend>, tier)
        };
        self.accounts.iter().map(made).collect()
    }

    /// With its account's figures, where it has one.
    pub(super) fn figures(&self, tier: Tier) -> Tier {
        let Some((_, account)) = self.accounts.iter().find(|(name, _)| name == tier.name()) else { return tier };
        let account = account.clone();
        tier.with_account(Arc::new(move || figures(&account)))
    }

    /// Ends what earlier processes left, then begins to warm what is kept warm, and looks after the budgets. Goes on for as
    /// long as it is polled.
    pub(super) fn upkeep(&self, router: Arc<crate::router::Router>) -> impl Future<Output = ()> + use<> {
        let accounts = self.accounts.clone();
        async move {
            for (name, account) in &accounts {
                match tokio::time::timeout(SWEEPING, account.sweep()).await {
                    Ok(Ok(0)) => {}
                    Ok(Ok(swept)) => tracing::warn!(tier = name.as_str(), swept, "sandboxes that were left are ended"),
                    Ok(Err(error)) => {
                        tracing::warn!(tier = name.as_str(), %error, "sandboxes that may have been left are not known");
                    }
                    Err(_) => {
                        tracing::warn!(tier = name.as_str(), "looking for sandboxes that were left took too long");
                    }
                }
                if let Some(tier) = router.tiers().get(name) {
                    tier.start();
                }
            }
            let mut hour = tokio::time::interval(HOURLY);
            loop {
                hour.tick().await;
                accounts.iter().for_each(|(_, account)| account.limits().budget().sweep());
            }
        }
    }

    /// Ends every sandbox, once nobody asks any more.
    pub(super) async fn close(&self) {
        for (_, account) in &self.accounts {
            account.close(CLOSING).await;
        }
    }
}

/// The key that an environment variable holds; in words, why there is none.
fn key_of(variable: &str) -> Result<Key, String> {
    let text = std::env::var(variable).map_err(|_| format!("{variable} is not set"))?;
    Key::new(&text).map_err(|why| format!("{variable} holds no key: {why}"))
}

fn account(
    name: &TierName,
    cloud: &Cloud,
    config: &Config,
    wall: Wall,
    key: impl Fn(&str) -> Result<Key, String>,
) -> Result<E2b, Absent> {
    let absent = |reason: String, remedy: Option<String>| Absent { tier: name.clone(), reason, remedy, machine: true };
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
    if is_ourselves(address.api(), config) {
        let reason = format!("its address is {}, which is this server's own", address.api());
        return Err(absent(
            reason,
            Some("unset E2B_API_URL for the server; it is for the server's clients".to_owned()),
        ));
    }
    let identity = identity(settings.owner.clone());
    let web = Web::new().map_err(|error| absent(format!("no client: {error}"), None))?;
    let now = Arc::new(move || wall.now());
    let account = E2b::new(settings, address, key, Arc::new(web), identity, now);
    Ok(account.with_prelude(session::prepares_arrival(switchtower_wasm::CANON)))
}

/// Clients of this server set the same variables; with them in the server's environment it would ask itself.
fn is_ourselves(api: &str, config: &Config) -> bool {
    let port = format!(":{}", config.http.port);
    let rest = api.split_once("://").map_or(api, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    host.strip_suffix(&port).is_some_and(|host| {
        host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    })
}

fn figures(account: &E2b) -> Account {
    let (status, limits) = (account.status(), account.limits());
    let json = |value: Result<serde_json::Value, serde_json::Error>| value.unwrap_or_default();
    Account {
        health: status.limits.health,
        available_tokens: status.limits.execution.available as f64,
        sandbox_seconds: status.bought.sandbox_seconds,
        cost_usd: status.bought.cost_usd,
        budget: json(serde_json::to_value(limits.budget().check())),
        usage: json(serde_json::to_value(limits.budget().stats())),
        detail: json(serde_json::to_value(&status)),
    }
}

/// This process, told by its number and the moment of its start: numbers are used again.
fn identity(owner: Option<String>) -> Identity {
    let owner = owner.unwrap_or_else(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        if host.trim().is_empty() { "switchtower".to_owned() } else { host.trim().to_owned() }
    });
    let number = std::process::id();
    let process = format!("{number}-{}", started(number).unwrap_or_default());
    let lives = Arc::new(|process: &str| {
        let parts = process.split_once('-');
        parts.and_then(|(number, start)| Some(started(number.parse().ok()?)? == start)).unwrap_or(false)
    });
    Identity { owner, process, lives }
}

/// When a process started, in the kernel's ticks; none where there is no such process. See proc(5): the 22nd field, counted
/// behind the name, which may hold anything.
fn started(number: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}

fn state_folder() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(folder.join("switchtower"))
}

/// What looking at an account found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// It answers, and the key is good.
    Well { api: String, template: String },
    /// There is none: why, and what would bring it.
    Absent(Absent),
    /// It does not answer as it should.
    Failing { tier: TierName, error: String },
}

/// Asks every account whether it is there.
pub async fn reach(config: &Config) -> Vec<Reached> {
    let clouds = Clouds::of_command(config, Wall::real());
    let mut found: Vec<Reached> = clouds.absent.iter().cloned().map(Reached::Absent).collect();
    for (tier, account) in &clouds.accounts {
        let status = account.status();
        found.push(match account.reach().await {
            Ok(()) => Reached::Well { api: status.api, template: status.template },
            Err(error) => Reached::Failing { tier: tier.clone(), error: error.to_string() },
        });
    }
    found
}

/// The account of one tier, for a look into its template.
///
/// # Errors
/// There is none, and why.
pub fn cloud(config: &Config, tier: &str) -> Result<E2b, super::Unbuilt> {
    let Clouds { accounts, absent } = Clouds::of_command(config, Wall::real());
    if let Some((_, account)) = accounts.into_iter().find(|(name, _)| name.as_str() == tier) {
        return Ok(account);
    }
    let absent = absent.into_iter().find(|absent| absent.tier.as_str() == tier);
    Err(super::Unbuilt::new(match absent {
        Some(Absent { reason, remedy: Some(remedy), .. }) => format!("{tier} is absent: {reason}; {remedy}"),
        Some(Absent { reason, .. }) => format!("{tier} is absent: {reason}"),
        None => format!("there is no cloud {tier}"),
    }))
}
