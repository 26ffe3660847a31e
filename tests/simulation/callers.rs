//! Many users who ask, listen and leave as a seed says.

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

/// What a caller is about to ask.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    /// What every answer must print; `None`: something new each time.
    pub(crate) says: Option<String>,
    at: Duration,
    leaves: Option<Duration>,
    listens: bool,
}

pub(crate) enum Ending {
    Answered(Box<Answer>),
    Refused(Error),
    Left,
}

/// What became of it, as the caller saw it.
pub(crate) struct Told {
    pub(crate) asked: Asked,
    pub(crate) ending: Ending,
    pub(crate) took: Duration,
    /// What a listener heard.
    pub(crate) heard: Option<Output>,
}

pub(crate) async fn all(world: &World, seed: u64, requests: usize) -> Vec<Told> {
    let mut chance = Seed::fixed(seed).fork("callers").rng();
    let asked: Vec<_> = (0..requests).map(|number| ask(number, &mut chance)).collect();
    let callers: Vec<_> = asked.into_iter().map(|asked| tokio::spawn(call(world.router.clone(), asked))).collect();
    let mut told = Vec::new();
    for caller in callers {
        told.push(caller.await.unwrap());
    }
    told
}

async fn call(router: Arc<switchtower_core::router::Router>, asked: Asked) -> Told {
    sleep(asked.at).await;
    let started = Instant::now();
    let (events, listener) = if asked.listens {
        let (events, mut from) = Events::channel();
        let listener = tokio::spawn(async move {
            let mut heard = Output::default();
            while let Some(event) = from.recv().await {
                heard.push(event);
            }
            heard
        });
        (Some(events), Some(listener))
    } else {
        (None, None)
    };
    let execute = router.execute(asked.request.clone(), events);
    let ended = match asked.leaves {
        Some(after) => timeout(after, execute).await.ok(),
        None => Some(execute.await),
    };
    let took = started.elapsed();
    let ending = match ended {
        Some(Ok(answer)) => Ending::Answered(Box::new(answer)),
        Some(Err(refused)) => Ending::Refused(refused.error),
        None => Ending::Left,
    };
    let heard = match listener {
        Some(listener) => Some(listener.await.unwrap()),
        None => None,
    };
    Told { asked, ending, took, heard }
}

fn ask(number: usize, chance: &mut impl Rng) -> Asked {
    // A third of everything comes from one greedy user.
    let user = if chance.random_ratio(1, 3) { 0 } else { chance.random_range(1..20) };
    let (source, says) = program(number, chance);
    // Shared programs are the same for all; the others say whose they are.
    let shared = says.is_some() && chance.random_ratio(1, 2);
    let source = if shared { source } else { format!("# user {user}\n{source}") };
    let mut request = Request::new(Program::python(source), &RequestLimits::default()).unwrap();
    request.caller.user = format!("user {user}").into();
    request.priority = [Priority::High, Priority::Normal, Priority::Low][chance.random_range(0..3)];
    if request.program.source.contains("while True") {
        request.timeout = Duration::from_secs(3);
    }
    if request.program.source.contains("seeded") {
        request.program.randomness = Randomness::Seeded(7);
    }
    if request.program.source.contains("socket") {
        request.isolation = Some(Isolation::MicroVm);
    }
    request.cache = match chance.random_range(0..10) {
        0 => CacheMode::Bypass,
        1 => CacheMode::Refresh,
        _ => CacheMode::Use,
    };
    let mut at = Duration::from_micros(chance.random_range(0..120_000_000));
    if chance.random_ratio(1, 2) {
        // Half of them come in crowds, some of each a little later: no request waits for one of another user that has not
        // begun to run.
        let later = Duration::from_millis(chance.random_range(0..3) * 10);
        at = Duration::from_secs(at.as_secs() / 5 * 5) + later;
    }
    Asked {
        request,
        says,
        at,
        leaves: chance.random_ratio(1, 10).then(|| Duration::from_millis(chance.random_range(0..500))),
        listens: chance.random_ratio(1, 3),
    }
}

/// A program and what it prints. The Python is what is analysed; the script is what happens.
fn program(number: usize, chance: &mut impl Rng) -> (String, Option<String>) {
    let some = chance.random_range(0..40);
    let says = |text: String| Some(text + "\n");
    match chance.random_range(0..100) {
        0..40 => (format!("print({some})\n#: sleep {some}ms; print {some}"), says(some.to_string())),
        40..55 => ("import random\nprint(random.random())\n#: sleep 3ms; random".to_owned(), None),
        // The scripted backend's first draw of this seed.
        55..60 => ("seeded = print\n#: random".to_owned(), says(SEEDED.to_owned())),
        60..70 => (
            format!("import pandas\nprint(pandas.DataFrame([{some}]))\n#: need module pandas; print {some}"),
            says(some.to_string()),
        ),
        // What it needs shows only after its output has begun to flow.
        70..75 => (
            format!(
                "__import__('pan' + 'das')\nprint({some})\n#: print {some}; sleep 400ms; need module pandas; print later"
            ),
            says(format!("{some}\nlater")),
        ),
        75..83 => (
            format!("import socket\nsocket.create_connection(('example.org', 80))\n#: touch {number}; print sent"),
            says("sent".to_owned()),
        ),
        83..85 => ("while True: pass\n#: spin".to_owned(), Some(String::new())),
        85..93 => {
            (format!("raise ValueError({some})\n#: print before; raise ValueError {some}"), says("before".to_owned()))
        }
        _ => (
            format!("print('often', {some})\n#: print often {some}; sleep 300ms; fault lost 10%"),
            says(format!("often {some}")),
        ),
    }
}

const SEEDED: &str = "7191089600892374487";
