//! What one E2B account may do at a time, kept to before E2B has to refuse: creations, calls, executions, and how many
//! sandboxes run.
//!
//! Every right is asked for before its call is sent, waits in order, and says when to come back where the wait would be
//! too long. The rates hold where the calls arrive, however long each is on its way: a right is given back only a whole
//! window after its call has ended ([`Reservation`]). Other processes may use the account: then E2B refuses after all, and
//! [`Limits::rate_limited`] and [`Limits::concurrency_capped`] hold the next ones back.
//!
//! What E2B counts by address, all accounts of this process share ([`EgressRates`]).

mod adaptive;
mod bucket;
mod config;
mod egress;
mod gcra;
mod health;
mod kind;
mod limited;
mod places;
mod plan;
mod status;
mod window;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchtower_contract::rounded;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

pub use self::bucket::Reservation;
pub use self::config::Config;
pub use self::egress::{Egress, EgressRates};
pub use self::kind::Kind;
pub use self::limited::Limited;
pub use self::places::Place;
pub use self::plan::Plan;
pub use self::status::{Flow, Status};

use self::bucket::Bucket;
use self::gcra::FAR;
use self::health::Health;
use self::places::Places;
use crate::budget::Budget;

/// The limits of one account.
pub struct Limits {
    plan: Plan,
    patience: Duration,
    creation: Arc<Bucket>,
    egress: Egress,
    execution: Arc<Bucket>,
    /// Creations under way.
    at_once: Arc<Semaphore>,
    places: Places,
    connections_per_sandbox: usize,
    /// Protects the score; held for a few instructions.
    health: Mutex<Health>,
    budget: Budget,
}

/// The right to create one sandbox, while it is being created. Dropped before there is one, it frees its place; the
/// rate and the budget stay spent, for E2B may have counted the call.
#[must_use = "a creation is held until there is a sandbox"]
#[derive(Debug)]
pub struct Creation {
    place: Place,
    _right: Reservation,
    _under_way: OwnedSemaphorePermit,
}

impl Creation {
    /// The sandbox exists: the next one may be created, and this place is held until it ends.
    pub fn created(self) -> Place {
        self.place
    }
}

/// What a refusal without a time asks for.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that E2B's word is taken for. A header that says more is a mistake, or somebody else's.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

impl Limits {
    /// The limits of an account that has been quiet. [`Config::max_per_hour`] is the budget's, which was made with it.
    pub fn new(config: &Config, budget: Budget, egress: Egress) -> Self {
        let now = Instant::now();
        Self {
            plan: config.plan,
            patience: config.wait_timeout.min(FAR),
            creation: config.creation(now),
            egress,
            execution: config.execution(now),
            at_once: Arc::new(Semaphore::new(config.plan.creations_at_once())),
            places: Places::new(config.max_concurrent.unwrap_or(config.plan.concurrent()), now),
            connections_per_sandbox: config.max_connections_per_sandbox.max(1),
            health: Mutex::new(Health::full()),
            budget,
        }
    }

    /// Waits for the right to create one sandbox: at the plan's rate, no more under way at once than the plan has it
    /// ([`Plan::creations_at_once`]: one after the other on Hobby), under the cap of concurrent sandboxes, within the
    /// hour's budget. In the order of asking. Dropping the future gives everything back.
    ///
    /// # Errors
    /// The budget is used up, or there is no right within [`Config::wait_timeout`].
    pub async fn creation(&self) -> Result<Creation, Limited> {
        let deadline = self.deadline();
        self.budget.admit()?;
        // The first in line stays first until it has everything, so nobody is overtaken half way.
        let turn = self.creation.turn(deadline).await?;
        let under_way = match timeout_at(deadline, self.at_once.clone().acquire_owned()).await {
            Ok(Ok(under_way)) => under_way,
            // The semaphore is never closed: this is the deadline.
            _ => return Err(self.creation.refusal(1)),
        };
        let place = self.places.place(deadline).await?;
        let right = loop {
            self.places.open(deadline).await?;
            match turn.take() {
                Ok(right) => break right,
                Err(wait) => turn.wait(wait, deadline).await?,
            }
        };
        // Last, without an await behind it: who leaves before has spent nothing.
        self.budget.spend()?;
        Ok(Creation { place, _right: right, _under_way: under_way })
    }

    /// Waits for a place for a sandbox that exists: a paused one that wakes counts against the cap again, and against
    /// nothing else.
    ///
    /// # Errors
    /// No place is free within [`Config::wait_timeout`].
    pub async fn place(&self) -> Result<Place, Limited> {
        self.places.place(self.deadline()).await
    }

    /// Waits for the right to start a program.
    ///
    /// # Errors
    /// There is none within [`Config::wait_timeout`].
    pub async fn execution(&self) -> Result<Reservation, Limited> {
        self.right(Kind::Execution).await
    }

    /// Waits for the right to a call of the management API: 20,000 in 30 seconds.
    ///
    /// # Errors
    /// There is none within [`Config::wait_timeout`].
    pub async fn lifecycle(&self) -> Result<Reservation, Limited> {
        self.right(Kind::Lifecycle).await
    }

    /// Waits for the right to a call into a sandbox: 40,000 in 60 seconds.
    ///
    /// # Errors
    /// There is none within [`Config::wait_timeout`].
    pub async fn operation(&self) -> Result<Reservation, Limited> {
        self.right(Kind::Operation).await
    }

    /// E2B refused a call for its rate (429): nothing more of that kind starts before `retry_after`, or for a second
    /// where it gave no time. Executions are at half their rate from then on. Counts as a call that failed: do not
    /// report it to [`Limits::failed`] too.
    pub fn rate_limited(&self, what: Kind, retry_after: Option<Duration>) {
        let pause = retry_after.unwrap_or(PAUSE).min(LONGEST_PAUSE);
        self.bucket(what).rate_limited(pause);
        self.feel(Health::failed);
        tracing::debug!(what = what.name(), pause = %rounded(pause), "E2B refused a call for its rate");
    }

    /// E2B says that the account is full though we count less: another process uses it. Nothing starts for 5 seconds.
    pub fn concurrency_capped(&self) {
        self.places.capped();
    }

    /// A call did well.
    pub fn succeeded(&self, what: Kind) {
        self.bucket(what).succeeded();
        self.feel(Health::succeeded);
    }

    /// A call did not do well, and it was not its rate.
    pub fn failed(&self, what: Kind) {
        self.bucket(what).failed();
        self.feel(Health::failed);
    }

    /// From 0 to 100: the share of calls that did well, the last twenty or so counting most.
    pub fn health(&self) -> u8 {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).percent()
    }

    /// Connections to one sandbox that may be open at once.
    pub(crate) fn connections_per_sandbox(&self) -> usize {
        self.connections_per_sandbox
    }

    /// How much is in use.
    pub fn status(&self) -> Status {
        Status {
            plan: self.plan,
            health: self.health(),
            creation: self.creation.flow(),
            lifecycle: self.egress.lifecycle.flow(),
            operation: self.egress.operation.flow(),
            execution: self.execution.flow(),
            running: self.places.running(),
            cap: self.places.cap(),
            budget: self.budget.check(),
            by_operation: self.budget.stats().by_operation,
        }
    }

    /// The hour's budget of creations, and what was asked of E2B.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    async fn right(&self, what: Kind) -> Result<Reservation, Limited> {
        let right = self.bucket(what).right(self.deadline()).await?;
        self.budget.count(what.name());
        Ok(right)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }

    fn bucket(&self, what: Kind) -> &Arc<Bucket> {
        match what {
            Kind::Creation => &self.creation,
            Kind::Lifecycle => &self.egress.lifecycle,
            Kind::Operation => &self.egress.operation,
            Kind::Execution => &self.execution,
        }
    }

    fn feel(&self, how: impl FnOnce(&mut Health)) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        how(&mut health);
        self.execution.health(health.share());
    }
}

#[cfg(test)]
mod tests;
