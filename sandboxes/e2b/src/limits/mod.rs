//! The limits of one E2B account, enforced before E2B has to refuse: creations, calls, executions, and running
//! sandboxes.
//!
//! Every call is reserved before it is sent. Reservations are made in order, and refused with a retry time where the
//! wait would be too long. The rates hold at E2B's side, however long calls are in flight: a reservation is free again
//! only a whole window after its call has ended ([`CallReservation`]). Where other processes use the account, E2B
//! refuses nevertheless: [`AccountLimits::rate_limited`] and [`AccountLimits::concurrency_capped`] then delay the next
//! calls.
//!
//! All accounts of this process share the rates that E2B counts by address ([`EgressRates`]).

mod adaptive;
mod call_class;
mod concurrency;
mod config;
mod creation_budget;
mod egress;
mod exceeded;
mod gcra;
mod health;
mod plan;
mod rate_limiter;
mod status;
mod window;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchtower_contract::rounded;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

pub use self::call_class::CallClass;
pub use self::concurrency::SandboxReservation;
pub use self::config::Config;
pub use self::creation_budget::CreationBudget;
pub use self::egress::{Egress, EgressRates};
pub use self::exceeded::LimitExceeded;
pub use self::plan::Plan;
pub use self::rate_limiter::CallReservation;
pub use self::status::{RateStatus, Status};

use self::concurrency::ConcurrencyLimit;
use self::gcra::MAX_WAIT;
use self::health::Health;
use self::rate_limiter::RateLimiter;
use crate::budget::Budget;

/// The limits of one account.
pub struct AccountLimits {
    plan: Plan,
    wait_timeout: Duration,
    creation: Arc<RateLimiter>,
    egress: Egress,
    execution: Arc<RateLimiter>,
    /// Limits the creations in flight.
    creations_in_flight: Arc<Semaphore>,
    concurrency: ConcurrencyLimit,
    connections_per_sandbox: usize,
    /// Held for a few instructions.
    health: Mutex<Health>,
    budget: Budget,
}

/// The reservation of one creation, held while the sandbox is being created. Dropped before there is one, it no longer
/// counts against the cap; it still counts against the rate and the budget, since E2B may have counted the call.
#[must_use = "the reservation is held until the sandbox exists"]
#[derive(Debug)]
pub struct CreationReservation {
    sandbox: SandboxReservation,
    _call: CallReservation,
    _in_flight: OwnedSemaphorePermit,
}

impl CreationReservation {
    /// Ends the creation, whose sandbox exists. Returns the reservation that the sandbox keeps until it ends.
    pub fn created(self) -> SandboxReservation {
        self.sandbox
    }
}

/// The pause after a refusal without a retry time.
const DEFAULT_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that a refusal can cause. A longer one in a header is a mistake, or not E2B's.
const MAX_PAUSE: Duration = Duration::from_secs(60 * 60);

impl AccountLimits {
    /// Returns the limits of an account without recent calls. The budget was made for the same [`Config`].
    pub fn new(config: &Config, budget: Budget, egress: Egress) -> Self {
        let now = Instant::now();
        Self {
            plan: config.plan,
            wait_timeout: config.wait_timeout.min(MAX_WAIT),
            creation: config.creation(now),
            egress,
            execution: config.execution(now),
            creations_in_flight: Arc::new(Semaphore::new(config.plan.max_creations_in_flight())),
            concurrency: ConcurrencyLimit::new(config.max_sandboxes.unwrap_or(config.plan.max_sandboxes()), now),
            connections_per_sandbox: config.max_connections_per_sandbox.max(1),
            health: Mutex::new(Health::full()),
            budget,
        }
    }

    /// Waits until a sandbox may be created, in the order of calls: at the plan's rate, with at most
    /// [`Plan::max_creations_in_flight`] in flight, under the cap of concurrent sandboxes, and within the hourly
    /// budget. Dropping the future reserves nothing.
    ///
    /// # Errors
    /// The budget is used up, or none may be created within [`Config::wait_timeout`].
    pub async fn creation(&self) -> Result<CreationReservation, LimitExceeded> {
        let deadline = self.deadline();
        self.budget.check_creation()?;
        // The turn is kept until everything is reserved, so that no caller is overtaken.
        let turn = self.creation.turn(deadline).await?;
        let in_flight = match timeout_at(deadline, self.creations_in_flight.clone().acquire_owned()).await {
            Ok(Ok(in_flight)) => in_flight,
            // The semaphore is never closed, so this is the deadline.
            _ => return Err(self.creation.exceeded(1)),
        };
        let sandbox = self.concurrency.reserve(deadline).await?;
        let call = loop {
            self.concurrency.wait_while_full(deadline).await?;
            match turn.try_reserve() {
                Ok(call) => break call,
                Err(wait) => turn.wait(wait, deadline).await?,
            }
        };
        // Last, without an await after it: a caller that leaves before spends nothing of the budget.
        self.budget.spend()?;
        Ok(CreationReservation { sandbox, _call: call, _in_flight: in_flight })
    }

    /// Waits until a paused sandbox may be resumed: it counts against the cap again, and against nothing else.
    ///
    /// # Errors
    /// It may not within [`Config::wait_timeout`].
    pub async fn sandbox(&self) -> Result<SandboxReservation, LimitExceeded> {
        self.concurrency.reserve(self.deadline()).await
    }

    /// Waits until a program may be started.
    ///
    /// # Errors
    /// None may within [`Config::wait_timeout`].
    pub async fn execution(&self) -> Result<CallReservation, LimitExceeded> {
        self.reserve(CallClass::Execution).await
    }

    /// Waits until the management API may be called: 20,000 calls in 30 seconds.
    ///
    /// # Errors
    /// It may not within [`Config::wait_timeout`].
    pub async fn lifecycle(&self) -> Result<CallReservation, LimitExceeded> {
        self.reserve(CallClass::Lifecycle).await
    }

    /// Waits until a sandbox may be called: 40,000 calls in 60 seconds.
    ///
    /// # Errors
    /// It may not within [`Config::wait_timeout`].
    pub async fn operation(&self) -> Result<CallReservation, LimitExceeded> {
        self.reserve(CallClass::Operation).await
    }

    /// Records that E2B refused a call for its rate (429). No call of that class starts before `retry_after`, by
    /// default one second; executions then continue at half their rate. This counts as a failed call: do not report it
    /// to [`AccountLimits::failed`] too.
    pub fn rate_limited(&self, class: CallClass, retry_after: Option<Duration>) {
        let pause = retry_after.unwrap_or(DEFAULT_PAUSE).min(MAX_PAUSE);
        self.limiter(class).rate_limited(pause);
        self.update_health(Health::failed);
        tracing::debug!(class = class.name(), pause = %rounded(pause), "E2B refused a call for its rate");
    }

    /// Records that E2B counts more concurrent sandboxes than this process: another one uses the account. No sandbox
    /// starts for 5 seconds.
    pub fn concurrency_capped(&self) {
        self.concurrency.set_full();
    }

    /// Records that a call succeeded.
    pub fn succeeded(&self, class: CallClass) {
        self.limiter(class).succeeded();
        self.update_health(Health::succeeded);
    }

    /// Records that a call failed, other than for its rate.
    pub fn failed(&self, class: CallClass) {
        self.limiter(class).failed();
        self.update_health(Health::failed);
    }

    /// Returns the percentage of calls that succeeded, weighted towards the last twenty or so.
    pub fn health(&self) -> u8 {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).percent()
    }

    /// Returns how many connections to one sandbox may be open at once.
    pub(crate) fn connections_per_sandbox(&self) -> usize {
        self.connections_per_sandbox
    }

    /// Returns the usage of all limits.
    pub fn status(&self) -> Status {
        Status {
            plan: self.plan,
            health: self.health(),
            creation: self.creation.status(),
            lifecycle: self.egress.lifecycle.status(),
            operation: self.egress.operation.status(),
            execution: self.execution.status(),
            running: self.concurrency.running(),
            cap: self.concurrency.cap(),
            budget: self.budget.check(),
            by_operation: self.budget.operations().by_operation,
        }
    }

    /// Returns the hourly budget of creations, which also counts the other operations.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    async fn reserve(&self, class: CallClass) -> Result<CallReservation, LimitExceeded> {
        let reservation = self.limiter(class).reserve(self.deadline()).await?;
        self.budget.count(class.name());
        Ok(reservation)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.wait_timeout
    }

    fn limiter(&self, class: CallClass) -> &Arc<RateLimiter> {
        match class {
            CallClass::Creation => &self.creation,
            CallClass::Lifecycle => &self.egress.lifecycle,
            CallClass::Operation => &self.egress.operation,
            CallClass::Execution => &self.execution,
        }
    }

    fn update_health(&self, update: impl FnOnce(&mut Health)) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        update(&mut health);
        self.execution.set_health(health.share());
    }
}

#[cfg(test)]
mod tests;
