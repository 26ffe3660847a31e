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
use crate::limits::Limits;
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
        let budget = match &config.budget_file {
            Some(file) => Budget::kept_in(file.clone(), config.limits.max_per_hour, now),
            None => Budget::in_memory(config.limits.max_per_hour, now),
        };
        let limits = Limits::new(&config.limits, budget);
        let (tag, promised) = (config.tag(), config.promised());
        let template = config.template();
        // Without a tag nobody knows what this template is made of tomorrow, or was a minute ago.
        let image = tag.as_ref().map(|tag| format!("e2b {template} {tag}"));
        let runtime = Arc::new(Runtime::new(image));
        let account = Arc::new(Account::new(config, address, key, transport, limits, &identity));
        Self { account, identity, tag, promised, runtime, prelude: "".into() }
    }

    /// Prepares every kernel with this code too. It is to leave the names of programs alone.
    #[must_use]
    pub fn with_prelude(mut self, code: impl Into<Arc<str>>) -> Self {
        self.prelude = code.into();
        self
    }

    /// Ends what processes that are no more have left in the account; how many sandboxes that were.
    ///
    /// # Errors
    /// E2B does not list them. Those that it listed and did not end are told in the log.
    pub async fn sweep(&self) -> Result<usize, Trouble> {
        orphans::sweep(&self.account, &self.identity).await
    }

    /// Asks whether the service answers and takes the key. Makes nothing.
    ///
    /// # Errors
    /// It does not; says why, and how to mend it.
    pub async fn reach(&self) -> Result<(), Trouble> {
        orphans::left(&self.account, &self.identity).await.map(drop)
    }

    /// Waits until every sandbox that was let go is ended, `most` at most.
    pub async fn close(&self, most: Duration) {
        self.account.settled(most).await;
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
        let held = self.account.create().await?;
        let tag = read_tag(&held.inside, self.account.config.file_read).await?;
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

    async fn checked(&self) -> Result<Cloud, Trouble> {
        let held = self.account.create().await?;
        if let Some(expected) = &self.tag {
            let tag = read_tag(&held.inside, self.account.config.file_read).await?;
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
        if spec.language != Language::Python {
            return Err(Fault::Unsupported(Need::Language(spec.language.name().to_owned())));
        }
        match self.checked().await {
            Ok(cloud) => Ok(Box::new(cloud)),
            Err(trouble) => Err(trouble.fault(false)),
        }
    }
}
