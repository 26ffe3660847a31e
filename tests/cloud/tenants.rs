//! One program after another in the same sandbox, with real kernels: nothing of one is there for the next.

use switchtower::config::Cloud;
use switchtower_contract::{Exit, File};
use switchtower_core::tier::pool;
use switchtower_fake_e2b::{Fake, Kernels, Plan, Settings};

use super::house::{House, remote};
use super::through::account;

/// One sandbox for everybody.
fn single(reuse: pool::Reuse) -> House {
    let mut cloud = Cloud::default();
    cloud.account.limits.creations_per_second = Some(100);
    cloud.tier.pool = Some(pool::Config { min: 0, target: 1, max: 1, reuse, ..pool::Config::default() });
    let settings = Settings { plan: Plan::Unlimited, kernels: Kernels::python(), ..Settings::default() };
    let fake = Fake::new(settings);
    let account = account(&fake, cloud.account);
    House::of(fake, account, cloud.tier, 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_and_files_of_one_program_are_not_there_for_the_next() {
    // Trusting callers: the sandbox is used again although they write files.
    let house = single(pool::Reuse::Clean);
    let first = "import os\nsecret = 42\nopen('mine.txt', 'w').write('x')\nos.makedirs('/tmp/deep/er')\n\
                 open('/tmp/deep/er/f', 'w').write('y')\nimport builtins\nbuiltins.leak = 1\nprint('left')";
    assert_eq!(house.remote(first).await.unwrap().output.stdout, "left\n");
    let second = "import os, builtins\nprint('secret' in globals(), os.listdir('.'), os.path.exists('/tmp/deep'), \
                  hasattr(builtins, 'leak'))";
    let answer = house.remote(second).await.unwrap();
    let seen = &answer.output.stdout;
    assert!(seen.starts_with("False [") && !seen.contains("mine.txt") && seen.ends_with("False False\n"), "{seen}");
    assert_eq!(house.fake.counts().created, 1, "it was the same sandbox");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_may_have_left_something_gives_its_sandbox_up() {
    let house = single(pool::Reuse::Contained);
    assert!(house.remote("print(1)").await.is_ok());
    assert!(house.remote("print(2)").await.is_ok());
    assert_eq!(house.fake.counts().created, 1);
    assert!(house.remote("open('mine.txt', 'w').write('x')").await.is_ok());
    assert!(house.remote("print(3)").await.is_ok());
    assert_eq!(house.fake.counts().created, 2);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interpreter_that_dies_costs_its_own_program_only() {
    let house = single(pool::Reuse::Clean);
    assert_eq!(house.remote("import os\nos._exit(1)").await.unwrap().outcome.exit, Exit::Killed);
    assert_eq!(house.remote("print(1)").await.unwrap().output.stdout, "1\n");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_one_request_gives_are_not_there_for_the_next() {
    let house = single(pool::Reuse::Contained);
    let mut giving = remote("print(1)");
    // A folder that was there before, so that nothing new shows beside it.
    giving.program.files = vec![File { path: "/var/tmp/deep/given.txt".to_owned(), content: b"mine".to_vec() }];
    assert!(house.run(giving).await.is_ok());
    let looks = "import os\nprint(os.path.exists('/var/tmp/deep/given.txt'))";
    assert_eq!(house.remote(looks).await.unwrap().output.stdout, "False\n");
    assert_eq!(house.fake.counts().created, 2, "the sandbox that was given files was given up");
    house.close().await;
}
