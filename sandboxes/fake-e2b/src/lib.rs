//! A stand-in for E2B: the same wire, the limits of a plan, latency and faults on demand, and counts of every call.
//!
//! Control plane, code interpreter and envd share one plain-HTTP port; the path says which one is called, the headers
//! `E2b-Sandbox-Id` and `E2b-Sandbox-Port` say which sandbox. The official SDKs need only `E2B_API_KEY`, `E2B_API_URL` and
//! `E2B_SANDBOX_URL`. Programs run in Python processes on this machine; where a test needs a paused clock, scripted kernels
//! run no process at all.
//!
//! **It does not isolate.** A program has the rights of this user: serve it on loopback, for yourself.
//!
//! Refused: languages other than Python and Bash, templates that are built. Scripted sandboxes have no processes, no watches and no
//! compressed uploads either.
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

mod clock;
mod context;
mod counts;
mod disk;
mod fake;
mod faults;
mod handlers;
mod kernel;
mod latency;
mod namespace;
mod plan;
mod random;
mod rate;
mod row_stream;
mod sandbox;
mod sandboxes;
mod settings;

pub use counts::Counts;
pub use fake::{Fake, serve};
pub use faults::{Faults, InvalidFault};
pub use latency::{Latency, UnknownLatency};
pub use plan::{Plan, UnknownPlan};
pub use settings::{KernelMode, Rates, Settings, Template};
