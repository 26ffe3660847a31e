use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::advance;

use super::*;

fn breaker() -> Breaker {
    Breaker::new("e2b".into(), Config::default())
}

fn unavailable() -> Fault {
    Fault::Unavailable { reason: "connection refused".to_owned() }
}

fn record_failures(breaker: &Breaker, times: usize) {
    for _ in 0..times {
        breaker.permit().unwrap().record_outcome(Some(&unavailable()));
    }
}

#[tokio::test(start_paused = true)]
async fn five_consecutive_failures_open_the_breaker_for_a_minute() {
    let breaker = breaker();
    record_failures(&breaker, 4);
    breaker.permit().unwrap().record_outcome(None);
    record_failures(&breaker, 4);
    assert_eq!(breaker.status().state, BreakerState::Closed);
    record_failures(&breaker, 1);
    assert_eq!(breaker.status().state, BreakerState::Open);
    assert_eq!(breaker.check(), Err(Open { retry_after: Duration::from_secs(60) }));
    advance(Duration::from_millis(59_900)).await;
    assert!(breaker.permit().is_err());
    advance(Duration::from_millis(100)).await;
    assert_eq!(breaker.status().state, BreakerState::HalfOpen);
    assert!(breaker.permit().is_ok());
}

#[tokio::test(start_paused = true)]
async fn refusals_and_lost_runs_do_not_count_as_failures() {
    let breaker = breaker();
    for _ in 0..10 {
        let refused = Fault::Refused { reason: "429".to_owned(), retry_after: Some(Duration::from_secs(1)) };
        breaker.permit().unwrap().record_outcome(Some(&refused));
        breaker.permit().unwrap().record_outcome(Some(&Fault::Lost { reason: "cut".to_owned() }));
    }
    assert_eq!((breaker.status().state, breaker.status().failures), (BreakerState::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn one_probe_at_a_time_decides_whether_the_breaker_closes() {
    let breaker = breaker();
    record_failures(&breaker, 5);
    advance(Duration::from_secs(60)).await;
    let probe = breaker.permit().unwrap();
    assert!(breaker.permit().is_err(), "a probe is in progress");
    probe.record_outcome(Some(&unavailable()));
    assert_eq!(breaker.status().retry_after, Some(Duration::from_secs(60)));
    advance(Duration::from_secs(60)).await;
    breaker.permit().unwrap().record_outcome(None);
    assert_eq!(breaker.status().state, BreakerState::Closed);
    assert_eq!((breaker.status().failures, breaker.status().opened), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn after_a_probe_is_dropped_the_next_request_may_probe() {
    let breaker = breaker();
    record_failures(&breaker, 5);
    advance(Duration::from_secs(60)).await;
    drop(breaker.permit().unwrap());
    breaker.permit().unwrap().record_outcome(None);
    assert_eq!(breaker.status().state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_began_before_the_breaker_opened_changes_nothing() {
    let breaker = breaker();
    let (succeeds, fails) = (breaker.permit().unwrap(), breaker.permit().unwrap());
    record_failures(&breaker, 5);
    succeeds.record_outcome(None);
    fails.record_outcome(Some(&unavailable()));
    assert_eq!((breaker.status().state, breaker.status().opened), (BreakerState::Open, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reset_closes_the_breaker_and_an_earlier_probe_cannot_reopen_it() {
    let breaker = breaker();
    record_failures(&breaker, 5);
    advance(Duration::from_secs(60)).await;
    let probe = breaker.permit().unwrap();
    breaker.reset();
    probe.record_outcome(Some(&unavailable()));
    assert_eq!((breaker.status().state, breaker.status().failures), (BreakerState::Closed, 0));
}

/// A step of the property test. The index selects one of the open permits.
#[derive(Debug, Clone, Copy)]
enum Step {
    TakePermit,
    Succeed(usize),
    Fail(usize),
    Drop(usize),
    /// Lets this many seconds pass.
    Advance(u64),
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::TakePermit),
        2 => (0..4usize).prop_map(Step::Succeed),
        4 => (0..4usize).prop_map(Step::Fail),
        1 => (0..4usize).prop_map(Step::Drop),
        2 => (1..40u64).prop_map(Step::Advance),
        1 => Just(Step::Reset),
    ]
}

/// A reference model of a circuit breaker.
#[derive(Debug)]
struct Model {
    state: BreakerState,
    failures: u32,
    /// Seconds until a probe is allowed.
    left: u64,
    /// Open permits: the number of state changes when the permit was taken, and whether it is the probe.
    permits: Vec<(u64, bool)>,
    changes: u64,
}

impl Model {
    fn transition_to(&mut self, state: BreakerState) {
        (self.state, self.changes) = (state, self.changes + 1);
        self.left = if state == BreakerState::Open { 60 } else { 0 };
    }

    fn probing(&self) -> bool {
        self.permits.iter().any(|(taken_at, probe)| *probe && *taken_at == self.changes)
    }
}

proptest! {
    #[test]
    fn a_breaker_agrees_with_its_model_for_any_sequence_of_steps(steps in vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let breaker = breaker();
            let mut model = Model { state: BreakerState::Closed, failures: 0, left: 0, permits: vec![], changes: 0 };
            let mut permits: Vec<Permit> = Vec::new();
            for step in steps {
                match step {
                    Step::TakePermit => {
                        let allowed = match model.state {
                            BreakerState::Closed => true,
                            BreakerState::Open => model.left == 0,
                            BreakerState::HalfOpen => !model.probing(),
                        };
                        let permit = breaker.permit();
                        prop_assert_eq!(permit.is_ok(), allowed);
                        if let Ok(permit) = permit {
                            if model.state == BreakerState::Open {
                                model.transition_to(BreakerState::HalfOpen);
                            }
                            model.permits.push((model.changes, model.state == BreakerState::HalfOpen));
                            permits.push(permit);
                        }
                    }
                    Step::Succeed(at) if at < permits.len() => {
                        permits.remove(at).record_outcome(None);
                        let (taken_at, probe) = model.permits.remove(at);
                        if probe && taken_at == model.changes {
                            model.transition_to(BreakerState::Closed);
                            model.failures = 0;
                        } else if !probe && model.state == BreakerState::Closed {
                            model.failures = 0;
                        }
                    }
                    Step::Fail(at) if at < permits.len() => {
                        permits.remove(at).record_outcome(Some(&unavailable()));
                        let (taken_at, probe) = model.permits.remove(at);
                        if probe && taken_at == model.changes {
                            model.failures += 1;
                            model.transition_to(BreakerState::Open);
                        } else if !probe && model.state == BreakerState::Closed {
                            model.failures += 1;
                            if model.failures >= 5 {
                                model.transition_to(BreakerState::Open);
                            }
                        }
                    }
                    Step::Drop(at) if at < permits.len() => {
                        drop(permits.remove(at));
                        model.permits.remove(at);
                    }
                    Step::Advance(seconds) => {
                        advance(Duration::from_secs(seconds)).await;
                        model.left = model.left.saturating_sub(seconds);
                    }
                    Step::Reset => {
                        breaker.reset();
                        model.transition_to(BreakerState::Closed);
                        model.failures = 0;
                    }
                    Step::Succeed(_) | Step::Fail(_) | Step::Drop(_) => {}
                }
                let state = if model.state == BreakerState::Open && model.left == 0 { BreakerState::HalfOpen } else { model.state };
                prop_assert_eq!(breaker.status().state, state);
                prop_assert_eq!(breaker.status().failures, model.failures);
            }
            Ok(())
        })?;
    }
}
