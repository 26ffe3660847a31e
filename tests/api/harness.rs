//! A harness for tests of the API: the whole request path over a scripted backend.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, Response};
use serde_json::Value;
use switchtower_contract::Backend;
use switchtower_contract::scripted::Scripted;
use switchtower_core::cache::{self, ResultCache};
use switchtower_core::clock::WallClock;
use switchtower_core::decide::SharedRules;
use switchtower_core::memory::MemoryAccount;
use switchtower_core::quota::{self, Quota};
use switchtower_core::record::{self, Recorder};
use switchtower_core::request::RequestLimits;
use switchtower_core::router::{Parts, Router};
use switchtower_core::seed::Seed;
use switchtower_core::session::{self, Sessions};
use switchtower_core::tier::late::LateBackend;
use switchtower_core::tier::{self, Tier, Tiers};
use switchtower_server::api;
use switchtower_server::service::Config;
use tower::ServiceExt as _;

pub(super) struct TestHarness {
    pub(super) backend: Scripted,
    pub(super) router: Arc<Router>,
    pub(super) app: axum::Router,
}

impl TestHarness {
    pub(super) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(super) fn with(config: Config) -> Self {
        Self::with_recorder(config, recorder())
    }

    /// A harness whose records go to this recorder.
    pub(super) fn with_recorder(config: Config, recorder: Recorder) -> Self {
        let backend = Scripted::default();
        let router = router(vec![("wasm", Arc::new(backend.clone()))], recorder);
        let app = api::app(Arc::clone(&router), &config, api::AppState::default());
        Self { backend, router, app }
    }

    /// A harness with these limits of a caller and of its only tier.
    pub(super) fn with_limits(quota: &quota::Config, tier: tier::Config) -> Self {
        let backend = Scripted::default();
        let seed = Seed::fixed(1);
        let tier = Tier::new("wasm".into(), Arc::new(backend.clone()), tier, &seed.fork("tiers"));
        let router = router_with(Quota::new(quota), Tiers::new([tier]), recorder(), seed);
        let app = api::app(Arc::clone(&router), &Config::default(), api::AppState::default());
        Self { backend, router, app }
    }

    /// A harness with this limit of a caller, and these tiers. Its scripted backend is not used.
    pub(super) fn with_tiers(quota: &quota::Config, tiers: Vec<(&str, Arc<dyn Backend>)>) -> Self {
        let seed = Seed::fixed(1);
        let tier =
            |(name, backend): (&str, _)| Tier::new(name.into(), backend, tier::Config::default(), &seed.fork("tiers"));
        let tiers = Tiers::new(tiers.into_iter().map(tier));
        let router = router_with(Quota::new(quota), tiers, recorder(), seed);
        let app = api::app(Arc::clone(&router), &Config::default(), api::AppState::default());
        Self { backend: Scripted::default(), router, app }
    }

    /// A harness with this state of the API.
    pub(super) fn with_state(config: &Config, state: api::AppState) -> Self {
        let backend = Scripted::default();
        let router = router(vec![("wasm", Arc::new(backend.clone()))], recorder());
        let app = api::app(Arc::clone(&router), config, state);
        Self { backend, router, app }
    }

    /// A harness whose only tier starts: its backend is given to it later.
    pub(super) fn starting() -> (Self, Arc<LateBackend>) {
        let backend = Scripted::default();
        let late = LateBackend::new("its workers load the guest", false);
        let seed = Seed::fixed(1);
        let tier = Tier::late("wasm".into(), Arc::clone(&late), tier::Config::default(), &seed);
        let router = router_of(Tiers::new([tier]), recorder(), seed);
        let app = api::app(Arc::clone(&router), &Config::default(), api::AppState::default());
        (Self { backend, router, app }, late)
    }

    /// A harness with sessions in these tiers. Its scripted backend is not used.
    pub(super) fn with_sessions(
        config: &Config,
        settings: &session::Config,
        tiers: Vec<(&str, Arc<dyn Backend>)>,
    ) -> Self {
        Self::with_memory(config, settings, MemoryAccount::default(), tiers)
    }

    /// The same with an account of the memory that callers hold.
    pub(super) fn with_memory(
        config: &Config,
        settings: &session::Config,
        memory: MemoryAccount,
        tiers: Vec<(&str, Arc<dyn Backend>)>,
    ) -> Self {
        let router = router(tiers, recorder());
        let request_limits = RequestLimits::default();
        let sessions = Some(Sessions::with_memory(Arc::clone(&router), settings, &request_limits, memory));
        let app = api::app(
            Arc::clone(&router),
            config,
            api::AppState { request_limits, sessions, ..api::AppState::default() },
        );
        Self { backend: Scripted::default(), router, app }
    }

    pub(super) async fn respond(&self, request: Request<Body>) -> Response<Body> {
        self.app.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::read(self.respond(request).await).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(get(path)).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }
}

fn wall() -> WallClock {
    WallClock::starting_at(std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_753_928_091_023))
}

/// Returns a recorder without a sink.
pub(super) fn recorder() -> Recorder {
    Recorder::new(&record::Config::default(), wall()).unwrap()
}

fn router(tiers: Vec<(&str, Arc<dyn Backend>)>, recorder: Recorder) -> Arc<Router> {
    let seed = Seed::fixed(1);
    let tier =
        |(name, backend): (&str, _)| Tier::new(name.into(), backend, tier::Config::default(), &seed.fork("tiers"));
    router_of(Tiers::new(tiers.into_iter().map(tier)), recorder, seed)
}

fn router_of(tiers: Tiers, recorder: Recorder, seed: Seed) -> Arc<Router> {
    router_with(Quota::new(&quota::Config::default()), tiers, recorder, seed)
}

fn router_with(quota: Quota, tiers: Tiers, recorder: Recorder, seed: Seed) -> Arc<Router> {
    Arc::new(Router::new(Parts {
        quota,
        rules: SharedRules::builtin(),
        cache: ResultCache::new(&cache::Config::default()),
        tiers,
        recorder,
        wall: wall(),
        seed,
    }))
}

pub(super) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

/// A response with its whole body.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) text: String,
    /// Null if the body is not JSON.
    pub(super) json: Value,
}

impl Answer {
    pub(super) async fn read(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Self { status: head.status.as_u16(), headers: head.headers, text, json }
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn pretty(&self) -> String {
        serde_json::to_string_pretty(&self.json).unwrap()
    }
}
