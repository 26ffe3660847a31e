//! The settings of cloud accounts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchtower_core::route::TierName;
use switchtower_core::tier;

/// Accounts by the names of their tiers. `e2b` is there unless it is taken out by a key that is not set; any other name
/// is one more service, region or template, such as `dedicated`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Clouds(pub BTreeMap<TierName, Cloud>);

impl Default for Clouds {
    fn default() -> Self {
        Self([(TierName::from("e2b"), Cloud::default())].into())
    }
}

/// A tier of cloud sandboxes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cloud {
    /// The account: its address, key, template, price and limits.
    pub account: switchtower_e2b::Config,
    /// The tier: its queue, retries, breaker and pool.
    pub tier: tier::Config,
}

impl Default for Cloud {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        let tier = tier::Config {
            // Three retries after 1, 2 and 4 seconds at most; a rate limit that says when is waited out.
            backoff: tier::backoff::Config {
                max_retries: 3,
                base_delay: seconds(1),
                max_delay: seconds(10),
                max_retry_after: seconds(60),
                jitter: tier::backoff::Jitter::Full,
            },
            queue: tier::queue::Config { wait_timeout: seconds(120), ..tier::queue::Config::default() },
            breaker: Some(tier::breaker::Config::default()),
            pool: Some(tier::pool::Config::default()),
            open_timeout: seconds(90),
            // It may have to wake, to wait for a right, to restart a kernel.
            grace_period: seconds(150),
            default_memory: switchtower_e2b::Config::default().default_memory,
            ..tier::Config::default()
        };
        Self { account: switchtower_e2b::Config::default(), tier }
    }
}

impl Clouds {
    /// Returns the template of each account.
    pub fn templates(&self) -> impl Iterator<Item = String> {
        self.0.values().map(|cloud| cloud.account.template().to_owned())
    }

    /// Returns the variable of each account's key.
    pub fn key_variables(&self) -> impl Iterator<Item = (&TierName, &str)> {
        self.0.iter().map(|(name, cloud)| (name, cloud.account.key_variable.as_str()))
    }

    /// Returns the file of each budget that is enforced and has one of its own.
    pub fn budget_files(&self) -> impl Iterator<Item = &Path> {
        self.0.values().filter_map(|cloud| cloud.account.budget_file.as_deref())
    }

    /// Returns the limits that do not fit each other or the account's plan, each in a sentence that begins with the
    /// setting.
    pub fn doubtful_limits(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        for (name, cloud) in &self.0 {
            let limits = &cloud.account.limits;
            let mut doubt = |setting: &str, value: u64, most: u64, of: &str| {
                if value > most {
                    doubts.push(format!("clouds.{name}.{setting} is {value}, above {of}, {most}"));
                }
            };
            let plan = limits.plan;
            let of_plan = format!("what the plan {} allows", plan.name());
            let cap = limits.max_sandboxes.unwrap_or(plan.max_sandboxes()) as u64;
            let rate = limits.creations_per_second.unwrap_or(plan.creations_per_second());
            let rate_setting = "account.limits.creations_per_second";
            doubt(rate_setting, rate.into(), plan.creations_per_second().into(), &of_plan);
            doubt("account.limits.max_sandboxes", cap, plan.max_sandboxes() as u64, &of_plan);
            let pool = cloud.tier.pool.as_ref().map_or(0, |pool| pool.max as u64);
            doubt("tier.pool.max", pool, cap, "the sandboxes that the account may run");
            if limits.max_creations_per_hour.is_none() {
                let per_hour = plan.creations_per_hour();
                doubts.push(format!(
                    "clouds.{name}.account.limits.max_creations_per_hour is not set: above {per_hour} the log only warns; \
                     \"plan\" enforces it"
                ));
            }
        }
        doubts
    }

    /// Returns the first setting that cannot be used and why, in words that begin with its name; `None` when all can.
    pub(super) fn problem(&self) -> Option<String> {
        let mut problems = self.0.iter().flat_map(|(name, cloud)| {
            let account = (format!("{name}.account"), cloud.account.problem());
            [account, (format!("{name}.tier"), cloud.tier.problem())]
        });
        problems.find_map(|(table, problem)| Some(format!("{table}.{}", problem?)))
    }

    /// Makes no sandbox live for longer than `longest`. Returns how long one may still live; 0 without accounts.
    pub fn limit_lifetimes(&mut self, longest: Duration) -> Duration {
        let limited = self.0.values_mut().map(|cloud| {
            cloud.account.lifetime = cloud.account.lifetime.min(longest);
            cloud.account.lifetime
        });
        limited.max().unwrap_or_default()
    }
}

/// Returns the settings of an account that sets none.
///
/// # Errors
/// They cannot be written.
pub(super) fn defaults() -> Result<Value, String> {
    serde_json::to_value(Cloud::default()).map_err(|error| error.to_string())
}
