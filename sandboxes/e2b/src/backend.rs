//! E2B as a backend: opens sandboxes that were held against what their template promises.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{Backend, Fault, Isolation, Language, Modules, Need, Offer, Sandbox, Spec};

use crate::account::{Account, Status};
use crate::address::Address;
use crate::budget::{Budget, Now};
use crate::cause::{Cause, Trouble};
use crate::config::Config;
use crate::envd;
use crate::identity::Identity;
use crate::key::Key;
use crate::limits::{Egress, Limits};
use crate::orphans;
use crate::prelude::{Checked, check};
use crate::runtime::Runtime;
use crate::sandbox::Cloud;
use crate::template;
use crate::transport::Transport;

/// An account of E2B, or of any service with its wire. Clones are the same account.
#[derive(Clone)]
pub struct E2b {
    account: Arc<Account>,
    identity: Identity,
    /// What a template must have: the expected tag, and modules beyond Python's own.
    tag: Option<String>,
    promised: Option<BTreeSet<String>>,
    runtime: Arc<Runtime>,
    /// Code of the house's own that prepares every kernel.
    prelude: Arc<str>,
}

/// Programs run no longer in one go than this; a sandbox lives an hour at most on the smallest plan.
const WALL: Duration = Duration::from_secs(45 * 60);

impl E2b {
    /// Opens nothing yet. `now` is the wall clock, for the hour's budget.
    pub fn new(
        config: Config,
        address: Address,
        key: Key,
        transport: Arc<dyn Transport>,
        identity: Identity,
        now: Now,
    ) -> Self {
        Self::behind(Egress::own(), config, address, key, transport, identity, now)
    }

    /// As [`E2b::new`], behind an address that other accounts may call from too: they share what the service counts by
    /// address.
    pub fn behind(
        egress: Egress,
        config: Config,
        address: Address,
        key: Key,
        transport: Arc<dyn Transport>,
        identity: Identity,
        now: Now,
    ) -> Self {
        let budget = match &config.budget_file {
            Some(file) => Budget::kept_in(file.clone(), config.limits.max_per_hour, now.clone()),
            None => Budget::in_memory(config.limits.max_per_hour, now.clone()),
        };
        let limits = Limits::new(&config.limits, budget, egress);
        let (tag, promised) = (config.tag(), config.promised());
        let template = config.template();
        // Without a tag nobody knows what this template is made of tomorrow, or was a minute ago.
        let image = tag.as_ref().map(|tag| format!("e2b {template} {tag}"));
        let runtime = Arc::new(Runtime::new(image));
        let account = Arc::new(Account::new(config, address, key, transport, limits, &identity, now));
        Self { account, identity, tag, promised, runtime, prelude: "".into() }
    }

    /// Prepares every kernel with this code too. It is to leave the names of programs alone.
    #[must_use]
    pub fn with_prelude(mut self, code: impl Into<Arc<str>>) -> Self {
        self.prelude = code.into();
        self
    }

    /// Ends the sandboxes in the account that nobody holds any more: those that other processes left, and those that this
    /// one lost sight of. Returns how many that were. To be called again and again: what a process that has ended had
    /// asked for may appear later, and what it has paused is known to be nobody's only after a day.
    ///
    /// # Errors
    /// E2B does not list them. Those that it listed and did not end are named in the log.
    pub async fn sweep(&self) -> Result<usize, Trouble> {
        orphans::sweep(&self.account, &self.identity).await
    }

    /// Keeps what this process has paused from being taken for somebody's leftovers. To be called once an hour or oftener.
    pub async fn renew_leases(&self) {
        self.account.renew_leases().await;
    }

    /// Asks whether the service answers, takes the key and has the template. Makes nothing.
    ///
    /// # Errors
    /// It does not; says why, and how to fix it.
    pub async fn reach(&self) -> Result<(), Trouble> {
        orphans::reach(&self.account).await?;
        self.find_template().await
    }

    /// Asks whether the template is there, and remembers the answer for [`E2b::status`]. A service that does not tell counts
    /// as one that has it.
    ///
    /// # Errors
    /// It is not there, or the service does not answer.
    pub async fn find_template(&self) -> Result<(), Trouble> {
        let found = self.account.control.find_template(self.account.config.template()).await;
        match &found {
            Ok(()) => self.account.set_template_problem(None),
            Err(trouble) if trouble.cause == Cause::Template => {
                self.account.set_template_problem(Some(trouble.to_string()));
            }
            // Nothing new is known of it.
            Err(_) => {}
        }
        found
    }

    /// How often a server is to sweep the account. Zero: at its start only.
    pub fn sweep_interval(&self) -> Duration {
        self.account.config.sweep_interval
    }

    /// No sandbox can be made, as far as is known, since the template is not there.
    pub fn has_template_problem(&self) -> bool {
        self.account.has_template_problem()
    }

    /// Waits until every sandbox that was let go is ended, `most` at most. False: one may be left, which ends with its
    /// lifetime, or by the next sweep of a server with this account.
    pub async fn close(&self, most: Duration) -> bool {
        self.account.settled(most).await
    }

    pub fn status(&self) -> Status {
        self.account.status()
    }

    /// The account's limits, for what must count outside of runs.
    pub fn limits(&self) -> &Limits {
        &self.account.limits
    }

    /// Opens a sandbox and imports every module that the template promises; its tag, and those that do not import, each
    /// with its error.
    ///
    /// # Errors
    /// There is no sandbox to look at.
    pub async fn inspect(&self, modules: &BTreeSet<String>) -> Result<Inspection, Trouble> {
        let held = self.account.create(1).await?;
        let tag = read_tag(&held.inside, self.account.config.build_tag_timeout).await?;
        let cloud = Cloud::prepare(held, self.prelude.clone()).await?;
        let list = serde_json::json!(modules);
        let code = format!(
            "import importlib, json\nfailed = {{}}\nfor name in {list}:\n    try:\n        importlib.import_module(name)\n    \
             except BaseException as error:\n        failed[name] = f'{{type(error).__name__}}: {{error}}'\nprint(json.dumps(failed))"
        );
        let failed = crate::wire::parsed(cloud.own(&code).await?.trim().as_bytes())?;
        let listed = envd::command(&cloud.inside().await, "python3 -m pip list --format=freeze", LISTING).await?;
        let packages = listed.stdout.lines().map(str::to_owned).collect();
        Ok(Inspection { tag, failed, packages })
    }

    async fn checked(&self, attempt: u32) -> Result<Cloud, Trouble> {
        let held = self.account.create(attempt).await?;
        if let Some(expected) = &self.tag {
            let tag = read_tag(&held.inside, self.account.config.build_tag_timeout).await?;
            if tag.as_deref() != Some(expected) {
                let found = tag.as_deref().unwrap_or("none");
                self.account.wrong_tag();
                tracing::error!(
                    target: "e2b_metrics", event = "build_tag_mismatch", sandboxId = held.inside.id(), expected, found,
                    "[E2B_METRICS]"
                );
                let message = format!("its template's build tag is {found}, expected is {expected}");
                return Err(Trouble { may_have_run: false, ..Trouble::nonsense(&message) });
            }
        }
        let cloud = Cloud::prepare(held, self.prelude.clone()).await?;
        if self.promised.is_none() && self.tag.is_some() {
            // Nothing is promised of it; only results that are to be stored need the processor's name.
            let said = cloud.own(&check(&BTreeSet::new())).await?;
            let checked = crate::wire::parsed::<Checked>(said.trim().as_bytes());
            self.runtime.saw(checked.ok().and_then(|checked| checked.processor));
        }
        if let Some(promised) = &self.promised {
            let checked: Checked = crate::wire::parsed(cloud.own(&check(promised)).await?.trim().as_bytes())?;
            self.runtime.saw(checked.processor);
            if !checked.missing.is_empty() {
                let (missing, id) = (checked.missing.join(", "), cloud.id());
                tracing::error!(
                    target: "e2b_metrics", event = "template_incomplete", sandboxId = id, missing, python = checked.python,
                    "[E2B_METRICS]"
                );
                return Err(Trouble::nonsense(&format!("its template lacks the promised {missing}")));
            }
        }
        Ok(cloud)
    }
}

/// What a look into a template found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// None where the file is not there.
    pub tag: Option<String>,
    /// Module → why it does not import.
    pub failed: std::collections::BTreeMap<String, String>,
    /// What is installed, as `name==version`; empty where it has no pip.
    pub packages: Vec<String>,
}

/// Longest that listing what is installed may take.
const LISTING: Duration = Duration::from_secs(120);

async fn read_tag(inside: &crate::inside::Inside, deadline: Duration) -> Result<Option<String>, Trouble> {
    match envd::read(inside, template::TAG_FILE, deadline).await {
        Ok(content) => Ok(Some(String::from_utf8_lossy(&content).trim().to_owned())),
        Err(trouble) if trouble.cause == Cause::Gone && trouble.status == Some(404) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

#[async_trait]
impl Backend for E2b {
    fn offer(&self) -> Offer {
        let modules = match &self.promised {
            Some(promised) => Modules::named(promised.iter().cloned().chain(template::library())),
            None => Modules::Any,
        };
        Offer {
            languages: vec![Language::Python],
            modules,
            isolation: Isolation::MicroVm,
            memory: self.account.config.memory,
            wall: WALL,
            observes: false,
            effectful: true,
            kernels: false,
            machines: true,
        }
    }

    fn runtime(&self) -> Arc<str> {
        self.runtime.name()
    }

    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        self.open_attempt(spec, 1).await
    }

    async fn open_attempt(&self, spec: &Spec, attempt: u32) -> Result<Box<dyn Sandbox>, Fault> {
        if spec.language != Language::Python {
            return Err(Fault::Unsupported(Need::Language(spec.language.name().to_owned())));
        }
        match self.checked(attempt).await {
            Ok(cloud) => Ok(Box::new(cloud)),
            Err(trouble) => Err(trouble.fault(false)),
        }
    }
}
