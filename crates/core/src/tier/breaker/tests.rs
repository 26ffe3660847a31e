use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::advance;

use super::*;

fn breaker() -> Breaker {
    Breaker::new("e2b".into(), Config::default())
}

fn away() -> Fault {
    Fault::Unavailable { reason: "nobody there".to_owned() }
}

fn fails(breaker: &Breaker, times: usize) {
    for _ in 0..times {
        breaker.permit().unwrap().record_outcome(Some(&away()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_fifth_failure_in_a_row_opens_it_for_a_minute() {
    let breaker = breaker();
    fails(&breaker, 4);
    breaker.permit().unwrap().record_outcome(None);
    fails(&breaker, 4);
    assert_eq!(breaker.status().state, State::Closed);
    fails(&breaker, 1);
    assert_eq!(breaker.status().state, State::Open);
    assert_eq!(breaker.check(), Err(Open { retry_after: Duration::from_secs(60) }));
    advance(Duration::from_millis(59_900)).await;
    assert!(breaker.permit().is_err());
    advance(Duration::from_millis(100)).await;
    assert_eq!(breaker.status().state, State::HalfOpen);
    assert!(breaker.permit().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_and_a_lost_run_are_no_failures() {
    let breaker = breaker();
    for _ in 0..10 {
        let refused = Fault::Refused { reason: "429".to_owned(), retry_after: Some(Duration::from_secs(1)) };
        breaker.permit().unwrap().record_outcome(Some(&refused));
        breaker.permit().unwrap().record_outcome(Some(&Fault::Lost { reason: "cut".to_owned() }));
    }
    assert_eq!((breaker.status().state, breaker.status().failures), (State::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn one_probe_goes_at_a_time_and_decides() {
    let breaker = breaker();
    fails(&breaker, 5);
    advance(Duration::from_secs(60)).await;
    let probe = breaker.permit().unwrap();
    assert!(breaker.permit().is_err(), "its probe is out");
    probe.record_outcome(Some(&away()));
    assert_eq!(breaker.status().retry_after, Some(Duration::from_secs(60)));
    advance(Duration::from_secs(60)).await;
    breaker.permit().unwrap().record_outcome(None);
    assert_eq!(breaker.status().state, State::Closed);
    assert_eq!((breaker.status().failures, breaker.status().opened), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_leaves_room_for_the_next() {
    let breaker = breaker();
    fails(&breaker, 5);
    advance(Duration::from_secs(60)).await;
    drop(breaker.permit().unwrap());
    breaker.permit().unwrap().record_outcome(None);
    assert_eq!(breaker.status().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_straggler_from_before_it_opened_changes_nothing() {
    let breaker = breaker();
    let (well, ill) = (breaker.permit().unwrap(), breaker.permit().unwrap());
    fails(&breaker, 5);
    well.record_outcome(None);
    ill.record_outcome(Some(&away()));
    assert_eq!((breaker.status().state, breaker.status().opened), (State::Open, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reset_closes_it_and_an_old_probe_cannot_open_it() {
    let breaker = breaker();
    fails(&breaker, 5);
    advance(Duration::from_secs(60)).await;
    let probe = breaker.permit().unwrap();
    breaker.reset();
    probe.record_outcome(Some(&away()));
    assert_eq!((breaker.status().state, breaker.status().failures), (State::Closed, 0));
}

/// What can happen to a breaker.
#[derive(Debug, Clone, Copy)]
enum Step {
    Ask,
    Well(usize),
    Ill(usize),
    Leave(usize),
    Pass(u64),
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Ask),
        2 => (0..4usize).prop_map(Step::Well),
        4 => (0..4usize).prop_map(Step::Ill),
        1 => (0..4usize).prop_map(Step::Leave),
        2 => (1..40u64).prop_map(Step::Pass),
        1 => Just(Step::Reset),
    ]
}

/// The breaker as a textbook has it: what it must do, in as few words as there are.
#[derive(Debug)]
struct Model {
    state: State,
    failures: u32,
    /// Seconds until it may be tried again.
    left: u64,
    /// Permits out: each with the count of state changes at its making, and whether it is the probe.
    out: Vec<(u64, bool)>,
    changes: u64,
}

impl Model {
    fn turn(&mut self, state: State) {
        (self.state, self.changes) = (state, self.changes + 1);
        self.left = if state == State::Open { 60 } else { 0 };
    }

    fn probing(&self) -> bool {
        self.out.iter().any(|(made, probe)| *probe && *made == self.changes)
    }
}

proptest! {
    #[test]
    fn it_behaves_as_the_textbook_says(steps in vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let breaker = breaker();
            let mut model = Model { state: State::Closed, failures: 0, left: 0, out: vec![], changes: 0 };
            let mut permits: Vec<Permit> = Vec::new();
            for step in steps {
                match step {
                    Step::Ask => {
                        let may = match model.state {
                            State::Closed => true,
                            State::Open => model.left == 0,
                            State::HalfOpen => !model.probing(),
                        };
                        let permit = breaker.permit();
                        prop_assert_eq!(permit.is_ok(), may);
                        if let Ok(permit) = permit {
                            if model.state == State::Open {
                                model.turn(State::HalfOpen);
                            }
                            model.out.push((model.changes, model.state == State::HalfOpen));
                            permits.push(permit);
                        }
                    }
                    Step::Well(at) if at < permits.len() => {
                        permits.remove(at).record_outcome(None);
                        let (made, probe) = model.out.remove(at);
                        if probe && made == model.changes {
                            model.turn(State::Closed);
                            model.failures = 0;
                        } else if !probe && model.state == State::Closed {
                            model.failures = 0;
                        }
                    }
                    Step::Ill(at) if at < permits.len() => {
                        permits.remove(at).record_outcome(Some(&away()));
                        let (made, probe) = model.out.remove(at);
                        if probe && made == model.changes {
                            model.failures += 1;
                            model.turn(State::Open);
                        } else if !probe && model.state == State::Closed {
                            model.failures += 1;
                            if model.failures >= 5 {
                                model.turn(State::Open);
                            }
                        }
                    }
                    Step::Leave(at) if at < permits.len() => {
                        drop(permits.remove(at));
                        model.out.remove(at);
                    }
                    Step::Pass(seconds) => {
                        advance(Duration::from_secs(seconds)).await;
                        model.left = model.left.saturating_sub(seconds);
                    }
                    Step::Reset => {
                        breaker.reset();
                        model.turn(State::Closed);
                        model.failures = 0;
                    }
                    Step::Well(_) | Step::Ill(_) | Step::Leave(_) => {}
                }
                let seen = if model.state == State::Open && model.left == 0 { State::HalfOpen } else { model.state };
                prop_assert_eq!(breaker.status().state, seen);
                prop_assert_eq!(breaker.status().failures, model.failures);
            }
            Ok(())
        })?;
    }
}
