//! The request path: quota, analysis, decision, cache, tiers, record, in this order.

use std::sync::{Arc, Mutex, PoisonError};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use switchtower_contract::{Events, Outcome, Output};
use tokio::time::Instant;

use crate::analyse::Profile;
use crate::cache::bars::Subject;
use crate::cache::finding::{Finding, Run};
use crate::cache::{CacheStatus, Digest, Fingerprint, Lookup, ResultCache, Stored, StoredResult};
use crate::clock::WallClock;
use crate::decide::{Decision, SharedRules};
use crate::error::{Error, RequestError};
use crate::memo::{Analysis, Memo};
use crate::quota::Quota;
use crate::recheck::{Recheck, Rechecks, Selection};
use crate::record::metrics::Metrics;
use crate::record::{OpenRecord, Recorder};
use crate::request::{Caller, Request};
use crate::route::TierName;
use crate::seed::Seed;
pub use crate::tier::Attempt;
use crate::tier::{Relay, Tiers, WalkOptions, WalkOutcome};

/// Executes requests. All state is in its parts.
pub struct Router {
    parts: Parts,
    memo: Memo,
    /// Source of request ids; held for one draw.
    ids: Mutex<ChaCha8Rng>,
    rechecks: Rechecks,
}

/// The parts of a router.
pub struct Parts {
    pub quota: Quota,
    pub rules: SharedRules,
    pub cache: ResultCache,
    pub tiers: Tiers,
    pub recorder: Recorder,
    pub wall: WallClock,
    pub seed: Seed,
}

/// The result of a program, and how it was obtained.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The request's id: 32 hexadecimal digits.
    pub id: String,
    pub outcome: Outcome,
    pub output: Output,
    /// The tier that ran the program; of a stored result, the tier that produced it.
    pub tier: TierName,
    pub cache: CacheStatus,
    /// Whether every run of the same request has this result: the sandbox observed no effect that differs between runs, or
    /// the static proof holds and a run in another interpreter had the same result.
    pub pure: bool,
    /// Whether the result was stored in the cache.
    pub stored: Stored,
    pub decision: Arc<Decision>,
    /// Empty if nothing ran for this request.
    pub attempts: Vec<Attempt>,
    /// How to get a better result, for example which tier or setting provides what the program lacked.
    pub note: Option<String>,
}

/// The analysis of a request and the decision for it, without a run.
#[derive(Debug, Clone)]
pub struct Explanation {
    pub profile: Arc<Profile>,
    pub decision: Result<Arc<Decision>, Error>,
}

impl Router {
    /// Returns a router with these parts.
    pub fn new(parts: Parts) -> Self {
        let ids = Mutex::new(parts.seed.fork("ids").rng());
        let rechecks = Rechecks::new(parts.cache.recheck_one_in(), parts.seed.fork("rechecks").rng());
        Self { parts, memo: Memo::new(), ids, rechecks }
    }

    /// Runs a request. `events` gets the program's output while it runs. Dropping the future ends the program, releases
    /// everything that the request holds, and writes its record with the outcome `abandoned`.
    ///
    /// # Errors
    /// The request got no answer. A program that raised or reached a limit is an answer, not an error.
    pub async fn execute(&self, request: Request, events: Option<Events>) -> Result<Answer, RequestError> {
        let mut record = self.parts.recorder.open(self.new_id(), &request);
        let answer = self.run(&request, events, &mut record).await;
        match answer {
            Ok(answer) => {
                record.answered(&answer.tier, &answer.outcome, answer.cache, answer.pure);
                Ok(answer)
            }
            Err(error) => Err(record.refused(error)),
        }
    }

    async fn run(
        &self,
        request: &Request,
        events: Option<Events>,
        record: &mut OpenRecord<'_>,
    ) -> Result<Answer, Error> {
        let deadline = Instant::now() + request.timeout;
        let Parts { quota, rules, cache, tiers, .. } = &self.parts;
        quota.admit(&request.caller)?;

        tiers.wait_for_offers(request, deadline).await?;
        if let Some(error) = self.absent_tier(request) {
            return Err(error);
        }
        let digest = Digest::of(&request.program);
        let (rules, revision) = rules.current_revision();
        let (Analysis { profile, summary }, decision) = self.memo.decide(digest, request, rules, tiers.statuses());
        record.analysed(&digest, summary, revision);
        let decision = decision?;
        record.decided(Arc::clone(&decision));

        let current_key = || Fingerprint::new(&digest, request, cache.scope(), tiers.runtimes(&decision.route));
        let (key, observed) = (current_key(), tiers.first_tier_observes(&decision.route));
        let subject = Subject { program: digest, class: decision.class, rule: decision.rule.as_str().into() };
        let flight =
            match cache.find(&key, &subject, &request.caller.user, request.cache, observed, request.timeout).await {
                Lookup::Stored(result, status) => {
                    if status == CacheStatus::Hit {
                        let selection = if cache.must_recheck(&key) { Selection::Always } else { Selection::Sample };
                        self.rechecks.offer(selection, || Recheck::new(request, key, subject, &result));
                    }
                    return Ok(stored_answer(&result, status, decision, events, record).await);
                }
                Lookup::Run(flight) => flight,
            };

        let (mut relay, avoid_interpreter) = (Relay::new(events), flight.avoid_interpreter());
        let on_start = || flight.start();
        let options =
            WalkOptions { side_effects: profile.side_effects, deadline, avoid_interpreter, on_start: &on_start };
        let walked = tiers.walk(request, &options, &decision.route, &mut relay, &mut record.attempts).await;
        let WalkOutcome { tier, outcome, output, interpreter, limits, note } = walked?;
        let (verdict, randomness) = (&profile.verdict, request.program.randomness);
        let ran_in = tiers.get(&tier);
        let run = Run {
            tier: &tier,
            observes: ran_in.is_some_and(|tier| tier.offer().observes),
            outcome: &outcome,
            output: &output,
            verdict,
            randomness,
            limits: &limits,
            interpreter,
        };
        // Opening a sandbox for this run may have changed the runtime ids, and with them the key.
        let key_is_valid = ran_in.is_some_and(|tier| !tier.runtime().is_empty()) && current_key() == key;
        let finding = if key_is_valid { Finding::of(&run) } else { Finding::Unique };
        let is_observed = matches!(finding, Finding::Observed(_));
        let status = flight.status();
        let stored = flight.complete(finding);
        // After the flight, so that no follower waits for this caller to read.
        relay.deliver().await;

        let pure = is_observed || stored == Stored::Kept;
        let (id, attempts) = (record.id().to_owned(), record.attempts.clone());
        Ok(Answer { id, outcome, output, tier, cache: status, pure, stored, decision, attempts, note })
    }

    /// Runs the programs of sampled hits again, one at a time, and compares their results with the stored ones, for as long
    /// as it is polled.
    pub async fn recheck_hits(&self) {
        while let Some(recheck) = self.rechecks.next().await {
            recheck.run(&self.parts.tiers, &self.parts.cache).await;
        }
    }

    /// Returns the analysis of a request and the decision for it. Runs nothing, uses no quota and writes no record.
    pub fn explain(&self, request: &Request) -> Explanation {
        let Parts { rules, tiers, .. } = &self.parts;
        let digest = Digest::of(&request.program);
        let (Analysis { profile, .. }, decision) = self.memo.decide(digest, request, rules.current(), tiers.statuses());
        let decision = self.absent_tier(request).map_or_else(|| decision.map_err(Error::from), Err);
        Explanation { profile, decision }
    }

    /// Counts a request of this caller against its quota.
    ///
    /// # Errors
    /// `Quota`: the rate limit is exceeded.
    pub(crate) fn admit(&self, caller: &Caller) -> Result<(), Error> {
        Ok(self.parts.quota.admit(caller)?)
    }

    /// Opens the record of a request that [`execute`](Self::execute) does not run, with its analysis.
    pub(crate) fn open(&self, request: &Request) -> OpenRecord<'_> {
        let mut record = self.parts.recorder.open(self.new_id(), request);
        let digest = Digest::of(&request.program);
        let Parts { rules, tiers, .. } = &self.parts;
        let (rules, revision) = rules.current_revision();
        let (analysis, _) = self.memo.decide(digest, request, rules, tiers.statuses());
        record.analysed(&digest, analysis.summary, revision);
        record
    }

    /// Returns the error for a request that names a tier which is configured but absent.
    fn absent_tier(&self, request: &Request) -> Option<Error> {
        let wanted = request.tier.as_ref()?;
        let absent = self.parts.tiers.absent().find(|absent| absent.tier == *wanted)?;
        Some(Error::NoTier { reason: absent.to_string() })
    }

    /// Returns the routing rules.
    pub fn rules(&self) -> &SharedRules {
        &self.parts.rules
    }

    /// Returns the tiers.
    pub fn tiers(&self) -> &Tiers {
        &self.parts.tiers
    }

    /// Returns the result cache.
    pub fn cache(&self) -> &ResultCache {
        &self.parts.cache
    }

    /// Returns the recorder of requests.
    pub fn recorder(&self) -> &Recorder {
        &self.parts.recorder
    }

    /// Returns the metrics, after an update with the current state of tiers, cache and sink.
    pub fn metrics(&self) -> &Metrics {
        let metrics = self.parts.recorder.metrics();
        metrics.update(&self.parts.tiers, self.parts.cache.counts(), self.parts.recorder.dropped());
        metrics
    }

    pub(crate) fn seed(&self) -> &Seed {
        &self.parts.seed
    }

    /// Returns the clock for timestamps.
    pub fn wall(&self) -> &WallClock {
        &self.parts.wall
    }

    fn new_id(&self) -> String {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{:016x}{:016x}", ids.next_u64(), ids.next_u64())
    }
}

/// Returns the answer with a stored result, after sending its output to `events`.
async fn stored_answer(
    result: &StoredResult,
    cache: CacheStatus,
    decision: Arc<Decision>,
    events: Option<Events>,
    record: &OpenRecord<'_>,
) -> Answer {
    if let Some(events) = events {
        for event in result.output.events() {
            events.send(event).await;
        }
    }
    Answer {
        id: record.id().to_owned(),
        outcome: result.outcome.clone(),
        output: result.output.clone(),
        tier: result.tier.clone(),
        cache,
        pure: true,
        stored: Stored::Kept,
        decision,
        attempts: Vec::new(),
        note: None,
    }
}
