//! E2B as a backend. Each new sandbox is checked against its template's build tag and modules.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{
    Backend, Fault, Isolation, Kernels, Language, Location, Modules, Need, NetworkPolicy, Offer, Sandbox, Spec,
};

use crate::account::{Account, AccountStatus};
use crate::address::Address;
use crate::budget::{Budget, Now};
use crate::config::Config;
use crate::envd;
use crate::error::{CallError, Cause};
use crate::identity::Identity;
use crate::key::Key;
use crate::limits::{AccountLimits, Egress};
use crate::orphans;
use crate::prelude::{TemplateCheck, check_code};
use crate::runtime_id::RuntimeId;
use crate::sandbox::CloudSandbox;
use crate::template;
use crate::transport::Transport;

/// Sandboxes with another build tag, one after the other, for which a run tries again.
const MAX_WRONG_TAGS_IN_A_ROW: u64 = 3;

/// An account of E2B, or of another service with its wire. Clones share one account.
#[derive(Clone)]
pub struct E2b {
    account: Arc<Account>,
    identity: Identity,
    /// The build tag that the template must have.
    tag: Option<String>,
    /// The modules that it must have beyond Python's own.
    promised: Option<BTreeSet<String>>,
    runtime_id: Arc<RuntimeId>,
    /// Code that prepares every kernel after Switchtower's own.
    prelude: Arc<str>,
}

/// The maximum time of one program: a sandbox lives for at most an hour on the smallest plan.
const MAX_WALL: Duration = Duration::from_secs(45 * 60);

impl E2b {
    /// Returns the backend of an account. Opens nothing yet. `now` is the wall clock of the hourly budget.
    pub fn new(
        config: Config,
        address: Address,
        key: Key,
        transport: Arc<dyn Transport>,
        identity: Identity,
        now: Now,
    ) -> Self {
        Self::with_egress(Egress::unshared(), config, address, key, transport, identity, now)
    }

    /// Returns a backend as [`E2b::new`] does, for a process with several accounts: E2B counts some rates by source
    /// address.
    pub fn with_egress(
        egress: Egress,
        config: Config,
        address: Address,
        key: Key,
        transport: Arc<dyn Transport>,
        identity: Identity,
        now: Now,
    ) -> Self {
        let budget = match &config.budget_file {
            Some(file) => Budget::in_file(file.clone(), config.limits.hourly_limit(), now.clone()),
            None => Budget::in_memory(config.limits.hourly_limit(), now.clone()),
        };
        let limits = AccountLimits::new(&config.limits, budget, egress);
        let (tag, promised) = (config.tag(), config.promised());
        let template = config.template();
        // Without a tag, the template may change at any time.
        let image = tag.as_ref().map(|tag| format!("e2b {template} {tag}"));
        let runtime_id = Arc::new(RuntimeId::new(image));
        let account = Arc::new(Account::new(config, address, key, transport, limits, &identity, now));
        Self { account, identity, tag, promised, runtime_id, prelude: "".into() }
    }

    /// Adds code that prepares every kernel. It must not define names that programs may see.
    #[must_use]
    pub fn with_prelude(mut self, code: impl Into<Arc<str>>) -> Self {
        self.prelude = code.into();
        self
    }

    /// Ends orphaned sandboxes of the account: those of processes that have ended, and those that this one has lost.
    /// Returns how many were ended. Call it regularly: a creation of a process that has ended may take effect later,
    /// and its paused sandboxes count as orphans only after a day.
    ///
    /// # Errors
    /// E2B does not list the sandboxes. Sandboxes that were listed and could not be ended are in the log.
    pub async fn sweep(&self) -> Result<usize, CallError> {
        orphans::sweep(&self.account, &self.identity).await
    }

    /// Renews the leases of this process's paused sandboxes, so that no other process takes them for orphans. Call it
    /// at least once an hour.
    pub async fn renew_leases(&self) {
        self.account.renew_leases().await;
    }

    /// Checks that the service responds, accepts the key and has the template. Creates nothing.
    ///
    /// # Errors
    /// One of these fails. The message has the reason and how to fix it.
    pub async fn check_access(&self) -> Result<(), CallError> {
        orphans::check_access(&self.account).await?;
        self.find_template().await
    }

    /// Checks whether the template exists, and keeps the answer for [`E2b::status`]. A service that does not answer
    /// this question counts as one that has it.
    ///
    /// # Errors
    /// The template does not exist, or the service does not respond.
    pub async fn find_template(&self) -> Result<(), CallError> {
        let found = self.account.control.find_template(self.account.config.template()).await;
        match &found {
            Ok(()) => self.account.set_template_problem(None),
            Err(error) if error.cause == Cause::Template => {
                self.account.set_template_problem(Some(error.to_string()));
            }
            // Nothing new is known about the template.
            Err(_) => {}
        }
        found
    }

    /// Returns how often a server sweeps the account. Zero: only at its start.
    pub fn sweep_interval(&self) -> Duration {
        self.account.config.sweep_interval
    }

    /// Whether the template is known not to exist, so that no sandbox can be created.
    pub fn has_template_problem(&self) -> bool {
        self.account.has_template_problem()
    }

    /// Waits at most `limit` until every dropped sandbox is ended. Returns `false` where one may remain; its lifetime
    /// ends it, or the next sweep of a server with this account.
    pub async fn close(&self, limit: Duration) -> bool {
        self.account.close(limit).await
    }

    pub fn status(&self) -> AccountStatus {
        self.account.status()
    }

    /// Returns the account's limits, for calls outside of this crate.
    pub fn limits(&self) -> &AccountLimits {
        &self.account.limits
    }

    /// Opens a sandbox and imports these modules in it. Returns its build tag, the modules that failed, and the
    /// installed packages.
    ///
    /// # Errors
    /// No sandbox can be opened.
    pub async fn inspect(&self, modules: &BTreeSet<String>) -> Result<TemplateReport, CallError> {
        let guard = self.account.create(&NetworkPolicy::OPEN, 1).await?;
        let tag = read_tag(&guard.client, self.account.config.build_tag_timeout).await?;
        let sandbox = CloudSandbox::prepare(guard, tag.clone(), self.prelude.clone()).await?;
        let list = serde_json::json!(modules);
        let code = format!(
            "import importlib, json\nfailed = {{}}\nfor name in {list}:\n    try:\n        importlib.import_module(name)\n    \
             except BaseException as error:\n        failed[name] = f'{{type(error).__name__}}: {{error}}'\nprint(json.dumps(failed))"
        );
        let failed = crate::request::parse_json(sandbox.run_internal(&code).await?.trim().as_bytes())?;
        let listed =
            envd::command(&sandbox.client().await, "python3 -m pip list --format=freeze", PACKAGE_LIST_TIMEOUT).await?;
        let packages = listed.stdout.lines().map(str::to_owned).collect();
        Ok(TemplateReport { tag, failed, packages })
    }

    /// Opens a sandbox, and checks its build tag and its modules.
    async fn open_checked(&self, network: &NetworkPolicy, attempt: u32) -> Result<CloudSandbox, CallError> {
        let guard = self.account.create(network, attempt).await?;
        let mut build_tag = None;
        if let Some(expected) = &self.tag {
            let tag = read_tag(&guard.client, self.account.config.build_tag_timeout).await?;
            if tag.as_deref() != Some(expected) {
                let found = tag.as_deref().unwrap_or("none");
                let in_a_row = self.account.count_wrong_tag();
                tracing::error!(
                    target: "e2b_metrics", event = "build_tag_mismatch", sandboxId = guard.client.id(), expected, found,
                    "[E2B_METRICS]"
                );
                let message = format!("the template has build tag {found}, expected {expected}");
                // While a template is rolled out, some are old. Where all are others, more of them cost only money.
                let is_rollout = in_a_row <= MAX_WRONG_TAGS_IN_A_ROW;
                let unexpected = CallError { may_have_run: false, ..CallError::unexpected(&message) };
                return Err(if is_rollout { unexpected } else { CallError::template_content(&message) });
            }
            self.account.record_right_tag();
            build_tag = tag;
        }
        let sandbox = CloudSandbox::prepare(guard, build_tag, self.prelude.clone()).await?;
        if self.promised.is_none() && self.tag.is_some() {
            // No modules are promised: the check is for the processor only, which the keys of stored results need.
            let printed = sandbox.run_internal(&check_code(&BTreeSet::new())).await?;
            let check = crate::request::parse_json::<TemplateCheck>(printed.trim().as_bytes());
            self.runtime_id.record(check.ok().and_then(|check| check.processor));
        }
        if let Some(promised) = &self.promised {
            let printed = sandbox.run_internal(&check_code(promised)).await?;
            let check: TemplateCheck = crate::request::parse_json(printed.trim().as_bytes())?;
            self.runtime_id.record(check.processor);
            if !check.missing.is_empty() {
                let (missing, id) = (check.missing.join(", "), sandbox.id());
                tracing::error!(
                    target: "e2b_metrics", event = "template_incomplete", sandboxId = id, missing, python = check.python,
                    "[E2B_METRICS]"
                );
                return Err(CallError::template_content(&format!("it does not have the promised modules {missing}")));
            }
        }
        Ok(sandbox)
    }
}

/// The result of inspecting a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateReport {
    /// The build tag. `None` where there is no such file.
    pub tag: Option<String>,
    /// Modules that do not import, with the error of each.
    pub failed: std::collections::BTreeMap<String, String>,
    /// The installed packages as `name==version`. Empty where there is no pip.
    pub packages: Vec<String>,
}

/// Longest that listing the installed packages may take.
const PACKAGE_LIST_TIMEOUT: Duration = Duration::from_secs(120);

/// Reads the build tag of a sandbox.
async fn read_tag(
    client: &crate::sandbox_client::SandboxClient,
    deadline: Duration,
) -> Result<Option<String>, CallError> {
    match envd::read(client, template::TAG_FILE, deadline).await {
        Ok(content) => Ok(Some(String::from_utf8_lossy(&content).trim().to_owned())),
        Err(error) if error.cause == Cause::Gone && error.status == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The languages of E2B's interpreter.
pub(crate) const LANGUAGES: [Language; 6] =
    [Language::Python, Language::JavaScript, Language::TypeScript, Language::Bash, Language::R, Language::Java];

#[async_trait]
impl Backend for E2b {
    fn offer(&self) -> Offer {
        let modules = match &self.promised {
            Some(promised) => Modules::named(promised.iter().cloned().chain(template::standard_library())),
            None => Modules::Any,
        };
        Offer {
            languages: LANGUAGES
                .into_iter()
                .map(|language| (language, if language == Language::Python { modules.clone() } else { Modules::Any }))
                .collect(),
            isolation: Isolation::MicroVm,
            location: Location::Remote,
            machine: true,
            internet: true,
            observes: false,
            replayable: false,
            effectful: true,
            price_per_second: Some(self.account.price_per_second()),
            max_memory: self.account.config.memory,
            max_wall: MAX_WALL,
        }
    }

    fn runtime(&self) -> Arc<str> {
        self.runtime_id.get()
    }

    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        self.open_attempt(spec, 1).await
    }

    async fn open_attempt(&self, spec: &Spec, attempt: u32) -> Result<Box<dyn Sandbox>, Fault> {
        if !LANGUAGES.contains(&spec.language) {
            return Err(Fault::Unsupported(Need::Language(spec.language.name().to_owned())));
        }
        match self.open_checked(&spec.network, attempt).await {
            Ok(sandbox) => Ok(Box::new(sandbox)),
            Err(error) => Err(error.fault()),
        }
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        None
    }
}
