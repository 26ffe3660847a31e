//! The line that every request takes: quota, analyse, decide, cache, tiers, record. Nothing flows backwards.

use std::sync::{Arc, Mutex, PoisonError};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use switchtower_contract::{Events, Outcome, Output};
use tokio::time::Instant;

use crate::analyse::Profile;
use crate::cache::bars::Subject;
use crate::cache::finding::{Finding, Run};
use crate::cache::{CacheStatus, Digest, Fingerprint, Found, ResultCache, Stored, StoredResult};
use crate::clock::WallClock;
use crate::decide::{Decision, SharedRules};
use crate::error::{Error, RequestError};
use crate::memo::Memo;
use crate::quota::Quota;
use crate::recheck::{Recheck, Rechecks};
use crate::record::metrics::Metrics;
use crate::record::{OpenRecord, Recorder};
use crate::request::{Caller, Request};
use crate::route::TierName;
use crate::seed::Seed;
pub use crate::tier::Attempt;
use crate::tier::{Relay, Tiers, WalkOptions, WalkOutcome};

/// Takes requests down the line. It holds the parts and owns no state.
pub struct Router {
    parts: Parts,
    memo: Memo,
    /// Protects the draws of request ids.
    ids: Mutex<ChaCha8Rng>,
    rechecks: Rechecks,
}

/// What a router is made of.
pub struct Parts {
    pub quota: Quota,
    pub rules: SharedRules,
    pub cache: ResultCache,
    pub tiers: Tiers,
    pub recorder: Recorder,
    pub wall: WallClock,
    pub seed: Seed,
}

/// How a program ended, and how it came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub id: String,
    pub outcome: Outcome,
    pub output: Output,
    /// The tier that ran it; of a kept answer, the one that ran it then.
    pub tier: TierName,
    pub cache: CacheStatus,
    /// The same request has the same result: the sandbox saw that the program asked for nothing that differs, or its text
    /// proves it and a run in another interpreter agreed.
    pub pure: bool,
    /// What became of the result in the cache.
    pub stored: Stored,
    pub decision: Decision,
    /// Empty where nothing ran for this request.
    pub attempts: Vec<Attempt>,
    /// What would have let the program fare better.
    pub note: Option<String>,
}

/// What would become of a request.
#[derive(Debug, Clone)]
pub struct Explanation {
    pub profile: Arc<Profile>,
    pub decision: Result<Decision, Error>,
}

impl Router {
    pub fn new(parts: Parts) -> Self {
        let ids = Mutex::new(parts.seed.fork("ids").rng());
        let rechecks = Rechecks::new(parts.cache.recheck_one_in(), parts.seed.fork("rechecks").rng());
        Self { parts, memo: Memo::new(), ids, rechecks }
    }

    /// Runs a request; `events` gets what the program says while it runs. Dropping the future ends the program, frees
    /// all that the request held, and is recorded as abandoned.
    ///
    /// # Errors
    /// The request got no answer. A program that failed is an answer.
    pub async fn execute(&self, request: Request, events: Option<Events>) -> Result<Answer, RequestError> {
        let mut entry = self.parts.recorder.open(self.id(), &request);
        let answer = self.line(&request, events, &mut entry).await;
        match answer {
            Ok(answer) => {
                entry.answered(&answer.tier, &answer.outcome, answer.cache, answer.pure);
                Ok(answer)
            }
            Err(error) => Err(entry.refused(error)),
        }
    }

    async fn line(
        &self,
        request: &Request,
        events: Option<Events>,
        entry: &mut OpenRecord<'_>,
    ) -> Result<Answer, Error> {
        let deadline = Instant::now() + request.timeout;
        let Parts { quota, rules, cache, tiers, .. } = &self.parts;
        quota.admit(&request.caller)?;

        if let Some(error) = self.absent(request) {
            return Err(error);
        }
        let digest = Digest::of(&request.program);
        let (rules, revision) = rules.current_revision();
        let (profile, decision) = self.memo.decide(digest, request, rules, tiers.statuses());
        entry.analysed(&digest, &profile, revision);
        let decision = decision?;
        entry.decided(&decision);

        let key = || Fingerprint::new(&digest, request, cache.scope(), tiers.runtimes(&decision.route));
        let (asked, observed) = (key(), tiers.first_tier_observes(&decision.route));
        let subject = Subject { program: digest, class: decision.class, rule: decision.rule.as_str().into() };
        let flight =
            match cache.find(&asked, &subject, &request.caller.user, request.cache, observed, request.timeout).await {
                Found::Kept(kept, status) => {
                    if status == CacheStatus::Hit {
                        let in_any_case = cache.is_to_be_rechecked(&asked);
                        self.rechecks.offer(in_any_case, || Recheck::new(request, asked, subject, &kept));
                    }
                    return Ok(kept_answer(&kept, status, decision, events, entry).await);
                }
                Found::Nothing(flight) => flight,
            };

        let (mut relay, avoid_interpreter) = (Relay::new(events), flight.avoid_interpreter());
        let on_start = || flight.start();
        let options =
            WalkOptions { side_effects: profile.side_effects, deadline, avoid_interpreter, on_start: &on_start };
        let walked = tiers.walk(request, &options, &decision.route, &mut relay, &mut entry.attempts).await;
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
        // A sandbox that was opened for this run may have shown another runtime than the key has.
        let known = ran_in.is_some_and(|tier| !tier.runtime().is_empty()) && key() == asked;
        let finding = if known { Finding::of(&run) } else { Finding::Unique };
        let seen = matches!(finding, Finding::Observed(_));
        let status = flight.status();
        let stored = flight.land(finding);
        // Last: no follower waits for this caller to read.
        relay.deliver().await;

        let pure = seen || stored == Stored::Kept;
        let (id, attempts) = (entry.id().to_owned(), entry.attempts.clone());
        Ok(Answer { id, outcome, output, tier, cache: status, pure, stored, decision, attempts, note })
    }

    /// Runs stored results again that were offered with a hit, one at a time, and compares them. Goes on for as long as it
    /// is polled.
    pub async fn recheck_hits(&self) {
        while let Some(recheck) = self.rechecks.next().await {
            recheck.run(&self.parts.tiers, &self.parts.cache).await;
        }
    }

    /// What a request's program is and where it would run. Runs nothing, and counts as nothing.
    pub fn explain(&self, request: &Request) -> Explanation {
        let Parts { rules, tiers, .. } = &self.parts;
        let digest = Digest::of(&request.program);
        let (profile, decision) = self.memo.decide(digest, request, rules.current(), tiers.statuses());
        let decision = self.absent(request).map_or_else(|| decision.map_err(Error::from), Err);
        Explanation { profile, decision }
    }

    /// The first refusal: the caller has used what it may use.
    pub(crate) fn admit(&self, caller: &Caller) -> Result<(), Error> {
        Ok(self.parts.quota.admit(caller)?)
    }

    /// Opens the record of something that takes the line in its own way.
    pub(crate) fn open(&self, request: &Request) -> OpenRecord<'_> {
        let mut record = self.parts.recorder.open(self.id(), request);
        let digest = Digest::of(&request.program);
        let Parts { rules, tiers, .. } = &self.parts;
        let (rules, revision) = rules.current_revision();
        let (profile, _) = self.memo.decide(digest, request, rules, tiers.statuses());
        record.analysed(&digest, &profile, revision);
        record
    }

    /// The request insists on a tier that is configured and is not there.
    fn absent(&self, request: &Request) -> Option<Error> {
        let wanted = request.tier.as_ref()?;
        let absent = self.parts.tiers.absent().iter().find(|absent| absent.tier == *wanted)?;
        let remedy = absent.remedy.as_ref().map_or_else(String::new, |remedy| format!("; {remedy}"));
        Some(Error::NoTier { reason: format!("the tier {wanted} is absent: {}{remedy}", absent.reason) })
    }

    pub fn rules(&self) -> &SharedRules {
        &self.parts.rules
    }

    pub fn tiers(&self) -> &Tiers {
        &self.parts.tiers
    }

    pub fn cache(&self) -> &ResultCache {
        &self.parts.cache
    }

    pub fn recorder(&self) -> &Recorder {
        &self.parts.recorder
    }

    /// With how the tiers stand at this moment.
    pub fn metrics(&self) -> &Metrics {
        let metrics = self.parts.recorder.metrics();
        metrics.see(&self.parts.tiers, self.parts.cache.counts(), self.parts.recorder.dropped());
        metrics
    }

    pub(crate) fn seed(&self) -> &Seed {
        &self.parts.seed
    }

    pub fn wall(&self) -> &WallClock {
        &self.parts.wall
    }

    fn id(&self) -> String {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{:016x}{:016x}", ids.next_u64(), ids.next_u64())
    }
}

/// An answer that nothing ran for. Whoever listens hears it all the same.
async fn kept_answer(
    kept: &StoredResult,
    cache: CacheStatus,
    decision: Decision,
    events: Option<Events>,
    entry: &OpenRecord<'_>,
) -> Answer {
    if let Some(events) = events {
        for event in kept.output.events() {
            events.send(event).await;
        }
    }
    Answer {
        id: entry.id().to_owned(),
        outcome: kept.outcome.clone(),
        output: kept.output.clone(),
        tier: kept.tier.clone(),
        cache,
        pure: true,
        stored: Stored::Kept,
        decision,
        attempts: Vec::new(),
        note: None,
    }
}
