//! The assembled product in this process: real local kernels, and the stand-in with a real Python on a port.

use crate::server::StandIn;
use switchtower::assemble::{Assembly, against_stand_in};
use switchtower::config::Config;
use switchtower_core::session::Sessions;

pub(super) struct TestHarness {
    pub(super) sessions: Sessions,
    assembled: Assembly,
    stand_in: StandIn,
}

impl TestHarness {
    pub(super) async fn open() -> Self {
        Self::with(Config::default(), StandIn::start().await)
    }

    /// Opens a product whose sessions stay local.
    pub(super) async fn open_without_cloud() -> Self {
        let mut config = Config::default();
        config.clouds.0.clear();
        Self::with(config, StandIn::start().await)
    }

    fn with(mut config: Config, stand_in: StandIn) -> Self {
        for cloud in config.clouds.0.values_mut() {
            cloud.account.limits.creations_per_second = Some(50);
            cloud.account.api_url = Some(stand_in.origin.clone());
            cloud.account.sandbox_url = Some(stand_in.origin.clone());
        }
        let assembled = against_stand_in(&config, &|_| {}).unwrap();
        for tier in assembled.router.tiers().iter() {
            tier.start();
        }
        Self { sessions: assembled.sessions.clone(), assembled, stand_in }
    }

    pub(super) async fn close(self) {
        self.assembled.close().await;
        self.stand_in.wait_until("nothing is left", |fake| fake.running().is_empty()).await;
        self.stand_in.fake.close().await;
    }
}
