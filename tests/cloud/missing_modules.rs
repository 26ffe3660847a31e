//! Modules that one cloud does not have and the next one of the route has, with real Python in both.

use std::collections::BTreeSet;

use switchtower::config::Cloud;
use switchtower_contract::{Event, Events, Exit};
use switchtower_core::analyse::analyse;
use switchtower_core::route::{Leg, Route};
use switchtower_core::seed::Seed;
use switchtower_core::tier::{Attempt, Relay, Tier, Tiers, WalkOptions, WalkOutcome};
use switchtower_e2b::E2b;
use switchtower_fake_e2b::{Fake, KernelMode, Plan, Settings, Template};

use super::harness::request;
use super::in_process::account;

/// Returns a cloud whose template has these modules beyond Python's own; `None`: all that are installed.
fn cloud(modules: Option<&[&str]>) -> (Fake, E2b, Cloud) {
    let modules = modules.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
    let templates = [("code-interpreter-v1".to_owned(), Template { tag: "default".to_owned(), modules })].into();
    let settings = Settings { plan: Plan::Unlimited, kernels: KernelMode::python(), templates, ..Settings::default() };
    let mut cloud = Cloud::default();
    cloud.account.limits.creations_per_second = Some(100);
    cloud.tier.pool = None;
    let fake = Fake::new(settings);
    let account = account(&fake, cloud.account.clone());
    (fake, account, cloud)
}

/// Two clouds: `e2b` has Python's own library only, `dedicated` what this machine's Python has.
struct TwoClouds {
    tiers: Tiers,
    clouds: Vec<(Fake, E2b)>,
}

impl TwoClouds {
    fn new(second: Option<&[&str]>) -> Self {
        let clouds = [("e2b", cloud(Some(&[]))), ("dedicated", cloud(second))];
        let tier = |(name, (_, account, cloud)): &(&str, (Fake, E2b, Cloud))| {
            let backend = std::sync::Arc::new(account.clone());
            Tier::new((*name).into(), backend, cloud.tier.clone(), &Seed::fixed(1))
        };
        let tiers = Tiers::new(clouds.iter().map(tier));
        Self { tiers, clouds: clouds.into_iter().map(|(_, (fake, account, _))| (fake, account)).collect() }
    }

    /// Returns the result of the walk, the events that its caller received, and the attempts.
    async fn run(&self, source: &str) -> (WalkOutcome, Vec<Event>, Vec<String>) {
        let request = request(source);
        let route = Route(["e2b", "dedicated"].map(|name| Leg { tier: name.into(), budget: None }).into());
        let (to, mut from) = Events::channel();
        let listen = async {
            let mut received = Vec::new();
            while let Some(event) = from.recv().await {
                received.push(event);
            }
            received
        };
        let mut attempts: Vec<Attempt> = Vec::new();
        let walk = async {
            let (side_effects, mut relay) = (analyse(&request.program).side_effects, Relay::new(Some(to)));
            let walked = self
                .tiers
                .walk(&request, &WalkOptions::new(&request, side_effects), &route, &mut relay, &mut attempts)
                .await;
            relay.deliver().await;
            walked.unwrap()
        };
        let (walked, received) = tokio::join!(walk, listen);
        let attempted = attempts.iter().map(|attempt| format!("{} {}", attempt.tier, attempt.outcome)).collect();
        (walked, received, attempted)
    }

    async fn close(self) {
        for (fake, account) in self.clouds {
            account.close(std::time::Duration::from_secs(20)).await;
            assert_eq!(fake.running(), Vec::<String>::new());
            fake.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_one_cloud_does_not_have_is_imported_in_the_next_and_output_arrives_once() {
    let clouds = TwoClouds::new(None);
    // The whole program may have side effects, and pip is not known to be harmless; but it ends at its imports.
    for (source, output) in [
        ("import pip\nprint(pip.__name__)", "pip\n"),
        ("import urllib.request\nfrom pip import __name__ as name\nprint(name)\nurllib.request.Request", "pip\n"),
        ("import time\nprint('a', flush=True)\ntime.sleep(0.6)\nimport pip\nprint('b')", "a\nb\n"),
    ] {
        let (walked, received, attempted) = clouds.run(source).await;
        assert_eq!(attempted, ["e2b unsupported", "dedicated finished"], "{source}");
        assert_eq!((walked.output.stdout.as_str(), walked.note), (output, None), "{source}");
        let text: String = received
            .iter()
            .map(|event| match event {
                Event::Stdout(text) => text.as_str(),
                Event::Result { .. } => "",
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(text, output, "{source}");
    }
    clouds.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_may_have_had_effects_or_continued_without_a_module_is_not_moved() {
    let clouds = TwoClouds::new(None);
    let effects = "import subprocess\nsubprocess.run(['true'])\nimport pip";
    let (walked, _, attempted) = clouds.run(effects).await;
    assert_eq!(attempted, ["e2b raised"]);
    let note = walked.note.unwrap();
    assert!(
        note.contains(
            "tier dedicated may provide it, but was not tried: the program may already have had side effects"
        ),
        "{note}"
    );
    // Inside a function, what ran before is not known.
    let (_, _, attempted) = clouds.run("import subprocess\ndef f():\n    import pip\nf()").await;
    assert_eq!(attempted, ["e2b raised"]);
    let (walked, _, attempted) = clouds.run("try:\n    import pip\nexcept ImportError:\n    print('without')").await;
    assert_eq!((attempted, walked.note), (vec!["e2b finished".to_owned()], None));
    assert_eq!((walked.outcome.exit, walked.output.stdout.as_str()), (Exit::Finished(0), "without\n"));
    // A message of the program's own is not about the tier.
    let (_, _, attempted) = clouds.run("raise ImportError('I do not like this machine')").await;
    assert_eq!(attempted, ["e2b raised"]);
    clouds.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_no_cloud_has_is_tried_in_each_and_the_note_names_them() {
    let clouds = TwoClouds::new(None);
    let (walked, received, attempted) = clouds.run("import no_such_module_anywhere").await;
    assert_eq!(attempted, ["e2b unsupported", "dedicated raised"]);
    let note = walked.note.unwrap();
    assert_eq!(
        note,
        "it needs the module no_such_module_anywhere, which none of the tried tiers provides (e2b, dedicated); if \
         it is your own, add no_such_module_anywhere.py or its folder to the files; no configured tier provides it"
    );
    let errors = received.iter().filter(|event| matches!(event, Event::Error(_))).count();
    assert_eq!((errors, received.len()), (1, 1), "{received:?}");
    clouds.close().await;
}
