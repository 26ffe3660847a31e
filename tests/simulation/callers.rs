//! Simulated callers: the requests of many users, some of them streamed, some disconnected early, all drawn from a seed.

use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt};
use switchtower_contract::{Events, Isolation, Output, Program, Randomness};
use switchtower_core::error::Error;
use switchtower_core::request::{CacheMode, Priority, Request, RequestLimits};
use switchtower_core::router::Answer;
use switchtower_core::seed::Seed;
use tokio::time::{Instant, sleep, timeout};

use super::world::World;

/// A request and how its caller behaves.
#[derive(Clone)]
pub(crate) struct SimulatedRequest {
    pub(crate) request: Request,
    /// The output of every answer; `None`: it differs each time.
    pub(crate) expected: Option<String>,
    /// When the request is sent, from the start of the simulation.
    at: Duration,
    disconnects_after: Option<Duration>,
    streams: bool,
}

pub(crate) enum Ending {
    Answered(Box<Answer>),
    Refused(Error),
    Disconnected,
}

/// The end of a request as its caller sees it.
pub(crate) struct CallResult {
    pub(crate) call: SimulatedRequest,
    pub(crate) ending: Ending,
    pub(crate) took: Duration,
    /// The output that was streamed, if the caller asked for a stream.
    pub(crate) streamed: Option<Output>,
}

/// Runs all callers and returns the results in the order of the requests.
pub(crate) async fn run_callers(world: &World, seed: u64, requests: usize) -> Vec<CallResult> {
    let mut random = Seed::fixed(seed).fork("callers").rng();
    let calls: Vec<_> = (0..requests).map(|number| draw_request(number, &mut random)).collect();
    let callers: Vec<_> = calls.into_iter().map(|call| tokio::spawn(execute(world.router.clone(), call))).collect();
    let mut results = Vec::new();
    for caller in callers {
        results.push(caller.await.unwrap());
    }
    results
}

async fn execute(router: Arc<switchtower_core::router::Router>, call: SimulatedRequest) -> CallResult {
    sleep(call.at).await;
    let started = Instant::now();
    let (events, listener) = if call.streams {
        let (events, mut from) = Events::channel();
        let listener = tokio::spawn(async move {
            let mut streamed = Output::default();
            while let Some(event) = from.recv().await {
                streamed.push(event);
            }
            streamed
        });
        (Some(events), Some(listener))
    } else {
        (None, None)
    };
    let execute = router.execute(call.request.clone(), events);
    let ended = match call.disconnects_after {
        Some(after) => timeout(after, execute).await.ok(),
        None => Some(execute.await),
    };
    let took = started.elapsed();
    let ending = match ended {
        Some(Ok(answer)) => Ending::Answered(Box::new(answer)),
        Some(Err(refused)) => Ending::Refused(refused.error),
        None => Ending::Disconnected,
    };
    let streamed = match listener {
        Some(listener) => Some(listener.await.unwrap()),
        None => None,
    };
    CallResult { call, ending, took, streamed }
}

fn draw_request(number: usize, random: &mut impl Rng) -> SimulatedRequest {
    // A third of the requests comes from one greedy user.
    let user = if random.random_ratio(1, 3) { 0 } else { random.random_range(1..20) };
    let (source, expected) = program(number, random);
    // Half of the programs with a fixed output are the same for all users; the others name their user.
    let shared = expected.is_some() && random.random_ratio(1, 2);
    let source = if shared { source } else { format!("# user {user}\n{source}") };
    let mut request = Request::new(Program::python(source), &RequestLimits::default()).unwrap();
    request.caller.user = format!("user {user}").into();
    request.priority = [Priority::High, Priority::Normal, Priority::Low][random.random_range(0..3)];
    if request.program.source.contains("while True") {
        request.timeout = Duration::from_secs(3);
    }
    if request.program.source.contains("seeded") {
        request.program.randomness = Randomness::Seeded(7);
    }
    if request.program.source.contains("socket") {
        request.isolation = Some(Isolation::MicroVm);
    }
    request.cache = match random.random_range(0..10) {
        0 => CacheMode::Bypass,
        1 => CacheMode::Refresh,
        _ => CacheMode::Use,
    };
    let mut at = Duration::from_micros(random.random_range(0..120_000_000));
    if random.random_ratio(1, 2) {
        // Half of them come in bursts, some of each burst a little later: no request waits for one of another user that has
        // not started to run.
        let later = Duration::from_millis(random.random_range(0..3) * 10);
        at = Duration::from_secs(at.as_secs() / 5 * 5) + later;
    }
    SimulatedRequest {
        request,
        expected,
        at,
        disconnects_after: random.random_ratio(1, 10).then(|| Duration::from_millis(random.random_range(0..500))),
        streams: random.random_ratio(1, 3),
    }
}

/// Returns a program and its output. The Python is analysed; the script in its comments is what the backend does.
fn program(number: usize, random: &mut impl Rng) -> (String, Option<String>) {
    let some = random.random_range(0..40);
    let prints = |text: String| Some(text + "\n");
    match random.random_range(0..100) {
        0..40 => (format!("print({some})\n#: sleep {some}ms; print {some}"), prints(some.to_string())),
        40..55 => ("import random\nprint(random.random())\n#: sleep 3ms; random".to_owned(), None),
        // The scripted backend's first draw of this seed.
        55..60 => ("seeded = print\n#: random".to_owned(), prints(SEEDED.to_owned())),
        60..70 => (
            format!("import pandas\nprint(pandas.DataFrame([{some}]))\n#: need module pandas; print {some}"),
            prints(some.to_string()),
        ),
        // The need shows only after some output was sent.
        70..75 => (
            format!(
                "__import__('pan' + 'das')\nprint({some})\n#: print {some}; sleep 400ms; need module pandas; print later"
            ),
            prints(format!("{some}\nlater")),
        ),
        75..83 => (
            format!("import socket\nsocket.create_connection(('example.org', 80))\n#: touch {number}; print sent"),
            prints("sent".to_owned()),
        ),
        83..85 => ("while True: pass\n#: spin".to_owned(), Some(String::new())),
        85..93 => {
            (format!("raise ValueError({some})\n#: print before; raise ValueError {some}"), prints("before".to_owned()))
        }
        _ => (
            format!("print('often', {some})\n#: print often {some}; sleep 300ms; fault lost 10%"),
            prints(format!("often {some}")),
        ),
    }
}

const SEEDED: &str = "7191089600892374487";
