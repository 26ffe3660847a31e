//! The settings of one service with E2B's wire.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::Price;

use crate::limits;
use crate::template;

/// One account of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the API is; `E2B_API_URL`, or E2B's own, where none is given.
    pub api_url: Option<String>,
    /// One origin for all sandboxes; `E2B_SANDBOX_URL` where none is given.
    pub sandbox_url: Option<String>,
    /// `E2B_DOMAIN`, or `e2b.app`, where none is given.
    pub domain: Option<String>,
    /// The environment variable that holds the key. The key itself is never a setting.
    pub key_variable: String,
    /// `E2B_TEMPLATE_ID`, or E2B's own for its code interpreter, where none is given.
    pub template: Option<String>,
    /// The tag that its sandboxes must have in `/etc/build-tag`; `own` stands for the one of the template that ships with
    /// Switchtower. Without one nothing is checked, and no result of this tier is kept.
    pub build_tag: Option<String>,
    /// Names of the modules that the template promises beyond Python's own. Empty, with the tag `own`: those of that
    /// template. Empty otherwise: not known.
    pub modules: Vec<String>,
    /// Programs in it reach the internet.
    pub internet: bool,
    /// How long a sandbox lives after it was last made, used or looked after; E2B ends it then whatever becomes of us.
    #[serde(with = "humantime_serde")]
    pub lifetime: Duration,
    /// Longest that reading the tag may take.
    #[serde(with = "humantime_serde")]
    pub build_tag_timeout: Duration,
    /// Processors of the template.
    pub cpus: u32,
    /// Memory of the template, in bytes.
    pub memory: u64,
    /// Bytes of memory that a kernel gives a program without being told: as much as the tier does, or each run tells it.
    pub default_memory: u64,
    /// What a processor costs in a second, in billionths of a dollar. E2B's price list of 2026.
    pub nanodollars_per_cpu_second: u64,
    /// What a gigabyte of memory costs in a second, in billionths of a dollar. E2B's price list of 2026.
    pub nanodollars_per_gigabyte_second: u64,
    /// Whose sandboxes these are, for people who look at the account. The host's name where none is given.
    pub owner: Option<String>,
    /// How often a server ends the sandboxes in the account that nobody holds any more, such as those of a server that was
    /// killed: at its start, and then each time this has passed, 1 second at least. Zero: at its start only.
    #[serde(with = "humantime_serde")]
    pub sweep_interval: Duration,
    /// Where a server keeps the hour's budget across restarts; the user's state folder where none is given. Commands beside
    /// it neither read nor write it.
    pub budget_file: Option<PathBuf>,
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
            // Below what the machine has, so that a program sees its MemoryError and not the end of its kernel.
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
    /// The template's name.
    pub fn template(&self) -> &str {
        self.template.as_deref().unwrap_or(INTERPRETER)
    }

    /// The tag that is expected, in full.
    pub fn tag(&self) -> Option<String> {
        self.build_tag.as_ref().map(|tag| if tag == OWN { template::shipped_tag() } else { tag.clone() })
    }

    /// The modules that are promised beyond Python's own; none where nothing is known of them.
    pub fn promised(&self) -> Option<std::collections::BTreeSet<String>> {
        match self.modules.as_slice() {
            [] if self.build_tag.as_deref() == Some(OWN) => Some(template::modules(template::PACKAGES)),
            [] => None,
            names => Some(names.iter().cloned().collect()),
        }
    }

    /// Returns the price of a sandbox for one second.
    pub fn price_per_second(&self) -> Price {
        let gigabytes = (u128::from(self.memory) * u128::from(self.nanodollars_per_gigabyte_second)) >> 30;
        Price(u64::from(self.cpus) * self.nanodollars_per_cpu_second + u64::try_from(gigabytes).unwrap_or(u64::MAX))
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
