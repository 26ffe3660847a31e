//! The counts add up for any order of calls.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use switchtower_fake_e2b::{Plan, Settings};

use crate::client::{Client, SandboxHandle, settings};

/// A call of a client, about one of its sandboxes.
#[derive(Debug, Clone)]
enum Step {
    Create { auto_pause: bool, timeout: u64 },
    Kill(usize),
    Pause(usize),
    Connect(usize),
    Run(usize),
    Vanish(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (any::<bool>(), 1..200_u64).prop_map(|(auto_pause, timeout)| Step::Create { auto_pause, timeout }),
        1 => (0..8_usize).prop_map(Step::Kill),
        1 => (0..8_usize).prop_map(Step::Pause),
        1 => (0..8_usize).prop_map(Step::Connect),
        1 => (0..8_usize).prop_map(Step::Run),
        1 => (0..8_usize).prop_map(Step::Vanish),
        2 => (1..120_u64).prop_map(Step::Wait),
    ]
}

async fn walk(client: &Client, known: &mut Vec<SandboxHandle>, step: Step) {
    let chosen = |at: usize| known.get(at % known.len().max(1)).cloned();
    match step {
        Step::Create { auto_pause, timeout } => {
            let body = json!({"templateID": "base", "timeout": timeout, "autoPause": auto_pause});
            let created = client.create_with(body).await;
            if created.status == 201 {
                known.push(created.sandbox());
            }
        }
        Step::Wait(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        Step::Kill(at) => {
            if let Some(one) = chosen(at) {
                client.kill(&one).await;
            }
        }
        Step::Pause(at) => {
            if let Some(one) = chosen(at) {
                client.call("POST", &format!("/sandboxes/{}/pause", one.id), &json!({})).await;
            }
        }
        Step::Connect(at) => {
            if let Some(one) = chosen(at) {
                client.call("POST", &format!("/sandboxes/{}/connect", one.id), &json!({"timeout": 50})).await;
            }
        }
        Step::Run(at) => {
            if let Some(one) = chosen(at) {
                client.run(&one, "#: print 1").await;
            }
        }
        Step::Vanish(at) => {
            if let Some(one) = chosen(at) {
                client.fake.vanish(&one.id);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn every_sandbox_is_counted_once(steps in prop::collection::vec(step(), 1..60), seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let faults = "create.500=10%,vanish=10%,execute.cut=10%,execute.500=10%".parse().unwrap();
            let client = Client::new(Settings { plan: Plan::Hobby, seed, faults, ..settings() });
            let mut known = Vec::new();
            for step in steps {
                walk(&client, &mut known, step).await;
                let c = client.fake.counts();
                let ended = c.killed + c.expired + c.vanished + c.closed;
                assert_eq!(c.created, ended + c.running + c.paused_now, "{c:?}");
                assert_eq!(c.running, client.fake.running().len() as u64, "{c:?}");
                assert!(c.paused >= c.resumed + c.paused_now, "{c:?}");
                assert!(c.max_running <= 20 && c.running <= c.max_running, "{c:?}");
            }
            client.fake.close().await;
            assert_eq!(client.fake.counts().running + client.fake.counts().paused_now, 0);
        });
    }
}
