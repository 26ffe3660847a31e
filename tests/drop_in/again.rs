//! The rebuild of a real kernel that was lost.

use std::time::Duration;

use switchtower_core::session::ExecuteCell;
use tokio::sync::mpsc;

use super::harness::TestHarness;
use super::moves::{open, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_kernel_is_rebuilt_with_the_sleeps_random_values_and_refusals_of_its_history() {
    let harness = TestHarness::open_without_cloud().await;
    let session = open(&harness.sessions).await;
    for cell in [
        "import random, time, uuid\nslept = time.time()\ntime.sleep(200)\nslept = time.time() - slept",
        // More memory than a cell gets, and less than the tier has.
        "try:\n    big = [0] * 10**8\nexcept MemoryError:\n    big = 'refused'",
        "drawn = [random.random(), uuid.uuid4().hex, id(big)]\nnames = list({f'n{n}' for n in range(40)})",
    ] {
        let (output, _) = run(&session, cell).await.unwrap();
        assert_eq!(output.error, None, "{cell}");
    }
    let print = "print(big, slept > 200, slept, drawn, names)";
    let (before, _) = run(&session, print).await.unwrap();
    assert!(before.stdout.starts_with("refused True"), "{}", before.stdout);

    let endless = ExecuteCell {
        source: "drawn = None\nwhile True: pass".to_owned(),
        timeout: Some(Duration::from_millis(200)),
        ..ExecuteCell::default()
    };
    let (to, _events) = mpsc::channel(64);
    assert_eq!(session.execute(endless, &to).await.unwrap().outcome.exit.name(), "timed_out");
    let (after, _) = run(&session, print).await.unwrap();
    assert_eq!(after.stdout, before.stdout);
    session.end();
    harness.close().await;
}
