//! A router over a scripted local tier and a cloud tier at the stand-in, without a network.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use switchtower::config::Cloud;
use switchtower_contract::scripted::{self, Scripted};
use switchtower_contract::{Language, Languages, Modules, Program};
use switchtower_core::cache::{self, ResultCache};
use switchtower_core::clock::WallClock;
use switchtower_core::decide::SharedRules;
use switchtower_core::error::RequestError;
use switchtower_core::quota::{self, Quota};
use switchtower_core::record::{self, Recorder};
use switchtower_core::request::{Caller, Request, RequestLimits};
use switchtower_core::route::TierName;
use switchtower_core::router::{Answer, Parts, Router};
use switchtower_core::seed::Seed;
use switchtower_core::tier::{self, Tier, Tiers};
use switchtower_e2b::E2b;
use switchtower_fake_e2b::{Fake, KernelMode, Settings};

use super::in_process::account;

pub(super) struct TestHarness {
    pub(super) router: Arc<Router>,
    pub(super) fake: Fake,
    pub(super) account: E2b,
}

/// Returns the settings of a stand-in with scripted kernels. The check of the template finds every module.
pub(super) fn scripted() -> Settings {
    let unscripted = |code: &str| {
        let check = "{\"python\": \"3.12.0\", \"missing\": [], \"processor\": \"one\"}\n";
        if code.contains("_switchtower_check") { check } else { "" }.to_owned()
    };
    Settings { kernels: KernelMode::Scripted { unscripted: Arc::new(unscripted) }, ..Settings::default() }
}

impl TestHarness {
    pub(super) fn new(settings: Settings, cloud: Cloud) -> Self {
        let fake = Fake::new(settings);
        let account = account(&fake, cloud.account.clone());
        Self::with(fake, account, cloud.tier, 1)
    }

    pub(super) fn with(fake: Fake, account: E2b, config: tier::Config, seed: u64) -> Self {
        let seed = Seed::fixed(seed);
        let mut settings = scripted::Settings::default();
        settings.offer.languages = Languages::only(Language::Python, Modules::named(["math"]));
        let local = Scripted::new(1, settings);
        let local_tier =
            Tier::new("wasm".into(), Arc::new(local.clone()), tier::Config::default(), &seed.fork("local"));
        let cloud_tier = Tier::new("e2b".into(), Arc::new(account.clone()), config, &seed.fork("cloud"));
        let wall = WallClock::starting_at(UNIX_EPOCH);
        let router = Arc::new(Router::new(Parts {
            quota: Quota::new(&quota::Config::default()),
            rules: SharedRules::builtin(),
            cache: ResultCache::new(&cache::Config::default()),
            tiers: Tiers::new([local_tier, cloud_tier]),
            recorder: Recorder::new(&record::Config::default(), wall).unwrap(),
            wall,
            seed,
        }));
        Self { router, fake, account }
    }

    /// Starts to fill the pool.
    pub(super) fn start(&self) {
        self.cloud().start();
    }

    pub(super) fn cloud(&self) -> &Tier {
        self.router.tiers().get(&TierName::from("e2b")).unwrap()
    }

    pub(super) async fn run(&self, request: Request) -> Result<Answer, RequestError> {
        self.router.execute(request, None).await
    }

    /// Runs a program in the cloud, without applying the rules.
    pub(super) async fn remote(&self, source: &str) -> Result<Answer, RequestError> {
        self.run(remote(source)).await
    }

    /// Closes everything, and checks that no sandbox remains.
    pub(super) async fn close(self) {
        self.router.tiers().close().await;
        self.account.close(std::time::Duration::from_secs(60)).await;
        assert_eq!(self.fake.running(), Vec::<String>::new());
        assert_eq!(self.fake.counts().leaked(), 0, "{:?}", self.fake.counts());
        self.fake.close().await;
    }
}

pub(super) fn request(source: &str) -> Request {
    Request::new(Program::python(source), &RequestLimits::default()).unwrap()
}

pub(super) fn remote(source: &str) -> Request {
    Request { tier: Some("e2b".into()), ..request(source) }
}

pub(super) fn with_user(user: &str, request: Request) -> Request {
    Request { caller: Caller::named(user), ..request }
}

/// Returns the attempts as `tier outcome`.
pub(super) fn attempts_of(answer: &Answer) -> Vec<String> {
    answer.attempts.iter().map(|attempt| format!("{} {}", attempt.tier, attempt.outcome)).collect()
}
