//! A stand-in for E2B: the same wire, a plan's limits, latency and faults on demand, and a count of everything.
//!
//! Control plane, code interpreter and envd share one plain-HTTP port, told apart by paths and by the headers
//! `E2b-Sandbox-Id` and `E2b-Sandbox-Port`. The official SDKs need only `E2B_API_KEY`, `E2B_API_URL` and
//! `E2B_SANDBOX_URL`. Programs really run, in Python processes of this machine, or follow a script where a test wants
//! no process and a paused clock.
//!
//! **It is no sandbox.** A program has this user's rights. Serve it on loopback, to yourself.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use switchtower_fake_e2b::{Fake, Plan, Settings};
//!
//! let fake = Fake::new(Settings { plan: Plan::Pro, ..Settings::default() });
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let stop = std::future::ready(()); // at once, in this example
//! switchtower_fake_e2b::serve(listener, fake.clone(), stop).await?;
//! assert_eq!(fake.counts().created, 0);
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```

mod chance;
mod context;
mod counts;
mod disk;
mod door;
mod fake;
mod faults;
mod fleet;
mod jail;
mod kernel;
mod latency;
mod line;
mod plan;
mod process;
mod quota;
mod sandbox;
mod settings;
mod wall;

pub use counts::Counts;
pub use fake::{Fake, serve};
pub use faults::{BadFault, Faults};
pub use latency::{Latency, UnknownLatency};
pub use plan::{Plan, UnknownPlan};
pub use settings::{Kernels, Rates, Settings, Template};
