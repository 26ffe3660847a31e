//! The whole router on a paused clock: thousands of requests of many users, with faults, and callers who leave. The same
//! seed tells the same story.

mod callers;
mod fairness;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use switchtower_contract::Randomness;
use switchtower_core::cache::CacheStatus;

use callers::{Ending, Told};
use world::{World, tiers};

const REQUESTS: usize = 2000;

/// Everything that can be seen of a story afterwards.
struct Story {
    world: World,
    told: Vec<Told>,
    records: Vec<serde_json::Value>,
}

fn story(seed: u64) -> Story {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(seed);
        let told = callers::all(&world, seed, REQUESTS).await;
        let records = world.router.recorder().ledger().all();
        let records = records.iter().map(|record| serde_json::to_value(&**record).unwrap()).collect();
        Story { world, told, records }
    })
}

/// Holds a story against everything that was promised.
fn check(story: &Story) {
    everything_is_recorded_once(story);
    limits_hold(story);
    nobody_starves(story);
    nothing_is_left_behind(story);
    the_cache_does_not_lie(story);
    effects_happen_at_most_once(story);
    listeners_hear_what_the_answer_says(story);
}

fn everything_is_recorded_once(Story { told, records, .. }: &Story) {
    assert_eq!(records.len(), told.len());
    let ids: BTreeSet<_> = records.iter().map(|record| record["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), records.len());
    let left = told.iter().filter(|told| matches!(told.ending, Ending::Left)).count();
    let abandoned = records.iter().filter(|record| record["outcome"] == "abandoned").count();
    assert_eq!(abandoned, left);
    let cut = |record: &&serde_json::Value| record["attempts"].as_array().unwrap().iter().any(abandoned_there);
    assert!(records.iter().filter(cut).all(|record| record["outcome"] == "abandoned"));
    assert!(records.iter().any(|record| cut(&record)));
    for told in told {
        if let Ending::Answered(answer) = &told.ending {
            let record = records.iter().find(|record| record["id"] == answer.id.as_str()).unwrap();
            assert_eq!(record["outcome"], answer.outcome.exit.name());
        }
    }
}

fn abandoned_there(attempt: &serde_json::Value) -> bool {
    attempt["outcome"] == "abandoned"
}

fn limits_hold(Story { world, .. }: &Story) {
    for (name, slots) in tiers().iter().map(|tier| (tier.name, tier.slots)) {
        assert!(world.backends[name].counts().most_live <= slots as u64, "{name}");
        assert!(world.watches[name].most_of_one_user() <= world::PER_USER, "{name}");
    }
}

fn nobody_starves(Story { told, .. }: &Story) {
    let refused: BTreeMap<_, usize> = told.iter().fold(BTreeMap::new(), |mut sum, told| {
        if let Ending::Refused(error) = &told.ending {
            *sum.entry(error.name()).or_default() += 1;
        }
        sum
    });
    // Refusals of a tier that failed, or that lost a program with effects. Few wait for longer than they have time.
    assert!(refused.keys().all(|name| ["unavailable", "lost", "deadline"].contains(name)), "{refused:?}");
    assert!(refused.get("deadline").is_none_or(|late| late * 100 <= told.len()), "{refused:?} of {}", told.len());
    let longest = told.iter().map(|told| told.took).max().unwrap_or_default();
    let timeout = switchtower_core::request::RequestLimits::default().default_timeout;
    assert!(longest <= timeout + Duration::from_millis(500), "{longest:?}");
}

fn nothing_is_left_behind(Story { world, .. }: &Story) {
    for (name, backend) in &world.backends {
        let counts = backend.counts();
        assert_eq!((counts.live, counts.running), (0, 0), "{name}");
    }
    for standing in world.router.tiers().statuses() {
        assert_eq!((standing.running, standing.queued), (0, 0), "{}", standing.tier);
    }
    assert_eq!(world.router.cache().in_flight(), 0);
}

fn the_cache_does_not_lie(Story { told, .. }: &Story) {
    let (mut seen, mut spared, mut shared) = (BTreeSet::new(), 0, 0);
    for told in told {
        let Ending::Answered(answer) = &told.ending else { continue };
        match &told.asked.says {
            Some(says) => assert_eq!(&answer.output.stdout, says, "{}", told.asked.request.program.source),
            None => assert!(told.asked.request.program.randomness == Randomness::Fresh),
        }
        match answer.cache {
            CacheStatus::Hit => spared += 1,
            CacheStatus::Coalesced => shared += 1,
            CacheStatus::Miss | CacheStatus::Bypass => {}
        }
        if told.asked.says.is_none() {
            assert!(!answer.pure && matches!(answer.cache, CacheStatus::Miss | CacheStatus::Bypass));
            assert!(seen.insert(answer.output.stdout.clone()), "an answer made by chance was given twice");
        }
    }
    assert!(spared > 50 && shared > 0, "{spared} from the cache, {shared} shared");
}

fn effects_happen_at_most_once(Story { world, .. }: &Story) {
    let touched = world.backends["e2b"].touched();
    assert!(!touched.is_empty() && touched.values().all(|times| *times == 1), "{touched:?}");
}

fn listeners_hear_what_the_answer_says(Story { told, .. }: &Story) {
    for told in told {
        if let (Ending::Answered(answer), Some(heard)) = (&told.ending, &told.heard) {
            assert_eq!(heard, &answer.output, "{}", told.asked.request.program.source);
        }
    }
}

#[test]
fn the_same_seed_tells_the_same_story_and_every_promise_is_kept() {
    for seed in 1..=4 {
        let (one, two) = (story(seed), story(seed));
        check(&one);
        let bytes = |story: &Story| serde_json::to_vec(&story.records).unwrap();
        assert!(bytes(&one) == bytes(&two), "seed {seed} told two stories");
    }
}

#[test]
fn another_seed_tells_another_story() {
    assert_ne!(story(1).records, story(2).records);
}
