//! Programs one after another in the same sandbox, with real kernels: no state of one is visible to the next.

use switchtower::config::Cloud;
use switchtower_contract::{Exit, File};
use switchtower_core::tier::pool;
use switchtower_fake_e2b::{Fake, KernelMode, Plan, Settings};

use super::harness::{TestHarness, remote};
use super::in_process::account;

/// Returns a harness with at most one sandbox at a time. None is created ahead of demand, so that the number of those that
/// were created says which program got a fresh one.
fn single(reuse: pool::Reuse) -> TestHarness {
    let mut cloud = Cloud::default();
    cloud.account.limits.creations_per_second = Some(100);
    cloud.tier.pool = Some(pool::Config { min: 0, target: 0, max: 1, reuse, ..pool::Config::default() });
    let settings = Settings { plan: Plan::Unlimited, kernels: KernelMode::python(), ..Settings::default() };
    let fake = Fake::new(settings);
    let account = account(&fake, cloud.account);
    TestHarness::with(fake, account, cloud.tier, 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_and_files_of_one_program_are_not_visible_to_the_next() {
    // With this setting, the sandbox is reused after programs that write files.
    let harness = single(pool::Reuse::Clean);
    let first = "import os\nsecret = 42\nopen('mine.txt', 'w').write('x')\nos.makedirs('/tmp/deep/er')\n\
                 open('/tmp/deep/er/f', 'w').write('y')\nimport builtins\nbuiltins.leak = 1\nprint('left')";
    assert_eq!(harness.remote(first).await.unwrap().output.stdout, "left\n");
    let second = "import os, builtins\nprint('secret' in globals(), os.listdir('.'), os.path.exists('/tmp/deep'), \
                  hasattr(builtins, 'leak'))";
    let answer = harness.remote(second).await.unwrap();
    let stdout = &answer.output.stdout;
    assert!(
        stdout.starts_with("False [") && !stdout.contains("mine.txt") && stdout.ends_with("False False\n"),
        "{stdout}"
    );
    assert_eq!(harness.fake.counts().created, 1, "it was the same sandbox");
    harness.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_is_not_reused_after_a_program_that_may_have_left_something() {
    let harness = single(pool::Reuse::Contained);
    assert!(harness.remote("print(1)").await.is_ok());
    assert!(harness.remote("print(2)").await.is_ok());
    assert_eq!(harness.fake.counts().created, 1);
    assert!(harness.remote("open('mine.txt', 'w').write('x')").await.is_ok());
    assert!(harness.remote("print(3)").await.is_ok());
    assert_eq!(harness.fake.counts().created, 2);
    harness.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interpreter_that_dies_affects_its_own_program_only() {
    let harness = single(pool::Reuse::Clean);
    assert_eq!(harness.remote("import os\nos._exit(1)").await.unwrap().outcome.exit, Exit::Killed);
    assert_eq!(harness.remote("print(1)").await.unwrap().output.stdout, "1\n");
    harness.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_one_request_are_not_visible_to_the_next() {
    let harness = single(pool::Reuse::Contained);
    let mut with_file = remote("print(1)");
    // In a folder that exists already, so that listing it shows no new entry.
    with_file.program.files = vec![File { path: "/var/tmp/deep/given.txt".to_owned(), content: b"mine".to_vec() }];
    assert!(harness.run(with_file).await.is_ok());
    let second = "import os\nprint(os.path.exists('/var/tmp/deep/given.txt'))";
    assert_eq!(harness.remote(second).await.unwrap().output.stdout, "False\n");
    assert_eq!(harness.fake.counts().created, 2, "the sandbox with the files was not reused");
    harness.close().await;
}
