//! The settings of one service with E2B's wire protocol.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::{Price, byte_size, duration};

use crate::limits;
use crate::template;

/// One account of one service with E2B's wire protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The URL of the API. Not set: for the tier `e2b` the variable `E2B_API_URL`, else E2B's own.
    pub api_url: Option<String>,
    /// One origin for all sandboxes. Not set: for the tier `e2b` the variable `E2B_SANDBOX_URL`, else a host for each
    /// sandbox.
    pub sandbox_url: Option<String>,
    /// The domain of API and sandboxes. Not set: for the tier `e2b` the variable `E2B_DOMAIN`, else `e2b.app`.
    pub domain: Option<String>,
    /// The environment variable that holds the key. The key itself is never a setting.
    pub key_variable: String,
    /// The template of sandboxes. Not set: for the tier `e2b` the variable `E2B_TEMPLATE_ID`, else
    /// `code-interpreter-v1`.
    pub template: Option<String>,
    /// The tag that every sandbox must have in `/etc/build-tag`; `own`: that of the template that ships with
    /// Switchtower. Not set: nothing is checked, and no result of this tier is cached.
    pub build_tag: Option<String>,
    /// Names of the modules that the template has beyond Python's own. Empty: those of Switchtower's template where
    /// `build_tag` is `own`, else not known.
    pub modules: Vec<String>,
    /// Whether programs in its sandboxes reach the internet.
    pub internet: bool,
    /// How long a sandbox lives after it was last created, used or renewed. The service ends it then, even when this
    /// server is gone.
    #[serde(with = "duration")]
    pub lifetime: Duration,
    /// Longest time that reading the build tag may take.
    #[serde(with = "duration")]
    pub build_tag_timeout: Duration,
    /// Processors of the template, at least 1; for the price.
    pub cpus: u32,
    /// Memory of the template; for the price.
    #[serde(with = "byte_size")]
    pub memory: u64,
    /// Memory that a kernel gives a program by default. The same as `tier.default_memory`, or each run sets it.
    #[serde(with = "byte_size")]
    pub default_memory: u64,
    /// Price of a processor for a second, in billionths of a dollar. The default is from E2B's price list of 2026.
    pub nanodollars_per_cpu_second: u64,
    /// Price of a gigabyte (1024³ bytes) of memory for a second, in billionths of a dollar. The default is from E2B's
    /// price list of 2026.
    pub nanodollars_per_gigabyte_second: u64,
    /// Whose sandboxes these are, for people who look at the account. Not set: the host's name.
    pub owner: Option<String>,
    /// Time between two sweeps, in which a server ends the sandboxes in the account that no living process holds; at
    /// least 1s. The first is at its start. 0: only that one.
    #[serde(with = "duration")]
    pub sweep_interval: Duration,
    /// The file in which a server keeps the hour's budget across restarts. Not set: one in the user's state folder.
    pub budget_file: Option<PathBuf>,
    /// The limits of the account.
    pub limits: limits::Config,
}

/// E2B's template for its code interpreter.
const INTERPRETER: &str = "code-interpreter-v1";
/// Stands for the tag of the template that ships with this crate.
const OWN: &str = "own";

impl Default for Config {
    fn default() -> Self {
        Self {
            api_url: None,
            sandbox_url: None,
            domain: None,
            key_variable: "E2B_API_KEY".to_owned(),
            template: None,
            build_tag: None,
            modules: Vec::new(),
            internet: true,
            lifetime: Duration::from_secs(30 * 60),
            build_tag_timeout: Duration::from_secs(3),
            cpus: 2,
            memory: 2048 << 20,
            // Less than the machine has, so that a program gets a MemoryError before its kernel is killed.
            default_memory: 1536 << 20,
            nanodollars_per_cpu_second: 14_000,
            nanodollars_per_gigabyte_second: 4_500,
            owner: None,
            sweep_interval: Duration::from_secs(30),
            budget_file: None,
            limits: limits::Config::default(),
        }
    }
}

impl Config {
    /// Returns the name of the template.
    pub fn template(&self) -> &str {
        self.template.as_deref().unwrap_or(INTERPRETER)
    }

    /// Returns the build tag that sandboxes must have.
    pub fn tag(&self) -> Option<String> {
        self.build_tag.as_ref().map(|tag| if tag == OWN { template::shipped_tag() } else { tag.clone() })
    }

    /// Returns the modules that the template has beyond Python's own; `None` where they are not known.
    pub fn promised(&self) -> Option<std::collections::BTreeSet<String>> {
        match self.modules.as_slice() {
            [] if self.build_tag.as_deref() == Some(OWN) => Some(template::modules(template::PACKAGES)),
            [] => None,
            names => Some(names.iter().cloned().collect()),
        }
    }

    /// Returns the first setting that cannot be used and why, in words that begin with its name; `None` when all can.
    pub fn problem(&self) -> Option<String> {
        let is_name = |name: &String| {
            name.split('.').all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_'))
        };
        if let Some(name) = self.modules.iter().find(|name| !is_name(name)) {
            return Some(format!("modules has {name:?}, which is not the name of a module"));
        }
        if self.key_variable.is_empty() || self.key_variable.contains(['=', '\0']) {
            return Some("key_variable must be the name of an environment variable".to_owned());
        }
        if self.cpus == 0 {
            return Some("cpus must be at least 1".to_owned());
        }
        if let Some(name) = [("memory", self.memory), ("default_memory", self.default_memory)]
            .into_iter()
            .find(|(_, size)| *size < 1 << 20)
        {
            return Some(format!("{} must be at least 1MiB", name.0));
        }
        let times = [("lifetime", self.lifetime), ("build_tag_timeout", self.build_tag_timeout)];
        if let Some(name) = times.into_iter().find_map(|(name, time)| time.is_zero().then_some(name)) {
            return Some(format!("{name} must be longer than 0s"));
        }
        self.limits.problem().map(|problem| format!("limits.{problem}"))
    }

    /// Returns the price of a sandbox for one second.
    pub fn price_per_second(&self) -> Price {
        let gigabytes = (u128::from(self.memory) * u128::from(self.nanodollars_per_gigabyte_second)) >> 30;
        let cpus = u64::from(self.cpus).saturating_mul(self.nanodollars_per_cpu_second);
        Price(cpus.saturating_add(u64::try_from(gigabytes).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_e2bs_default_template_costs_what_its_price_list_says() {
        assert_eq!(Config::default().price_per_second(), Price(37_000));
    }
}
