//! `switchtower fake-e2b`: a stand-in for E2B, to develop and test against without an account.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use switchtower_fake_e2b::{Fake, Faults, KernelMode, Latency, Plan, Rates, Settings, Template};
use tokio::net::TcpListener;

use super::exit::CliError;
use super::terminal;

/// Arguments of `fake-e2b`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  switchtower fake-e2b
  switchtower fake-e2b --plan hobby --latency e2b-2026 --faults 'create.500=20%,vanish=3%'
  curl -s http://127.0.0.1:3002/fake/counts

It runs programs as plain Python processes with your rights: it is no sandbox, and listens on loopback only. SIGINT and
SIGTERM end it; what it counted is its last line, as JSON.")]
pub(super) struct FakeE2b {
    /// The address to listen on, which must be loopback; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 3002)))]
    listen: SocketAddr,
    /// The plan whose limits are enforced: hobby, pro, enterprise or unlimited.
    #[arg(long, value_name = "PLAN", default_value = "hobby")]
    plan: Plan,
    /// The latencies of calls: none, or e2b-2026 for the published latencies of the cloud.
    #[arg(long, value_name = "PROFILE", default_value = "none")]
    latency: Latency,
    /// Faults and their rates, as `create.500=20%,execute.cut=3%:…`; the README lists all faults.
    #[arg(long, value_name = "FAULTS", default_value = "")]
    faults: Faults,
    /// Refuse executions beyond this many a minute, as the cloud sometimes does.
    #[arg(long, value_name = "N")]
    executions_per_minute: Option<u32>,
    /// A template that exists, with its build tag; may be given more than once. Without this option every template
    /// exists.
    #[arg(long, value_name = "NAME=TAG", value_parser = template)]
    template: Vec<(String, String)>,
    /// The only key that is accepted; without this option every key is accepted.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The Python that runs programs.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
    /// The seed: the same number gives the same latencies and faults.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

fn template(text: &str) -> Result<(String, String), String> {
    let (name, tag) = text.split_once('=').ok_or("must have the form name=tag")?;
    Ok((name.to_owned(), tag.to_owned()))
}

impl FakeE2b {
    pub(super) fn serve(self) -> Result<ExitCode, CliError> {
        if !self.listen.ip().is_loopback() {
            let address = self.listen.ip();
            return Err(CliError::usage(format!(
                "{address} is not loopback: anyone who can connect to it can run any program on this machine"
            )));
        }
        super::runtime(0)?.block_on(async {
            let listener = TcpListener::bind(self.listen)
                .await
                .map_err(|error| CliError::failed(format!("cannot listen on {}: {error}", self.listen)))?;
            let address = listener.local_addr().unwrap_or(self.listen);
            let mut signals = super::serve::Signals::new()?;
            let fake = Fake::new(self.settings());
            terminal::note(&format!(
                "a stand-in for E2B listens on http://{address}; set these variables for its clients:"
            ));
            let origin = format!("http://{address}");
            terminal::err(&format!(
                "export E2B_API_KEY=anything\nexport E2B_API_URL={origin}\nexport E2B_SANDBOX_URL={origin}\n"
            ));
            let served = switchtower_fake_e2b::serve(listener, fake.clone(), async move { signals.next().await }).await;
            fake.close().await;
            let counts = serde_json::to_string(&fake.counts()).map_err(|e| CliError::failed(e.to_string()))?;
            terminal::out(&format!("{counts}\n"));
            served.map_err(|error| CliError::failed(error.to_string()))?;
            Ok(ExitCode::SUCCESS)
        })
    }

    fn settings(self) -> Settings {
        let rates = Rates { executions_per_minute: self.executions_per_minute, ..Rates::default() };
        let templates = self.template.into_iter().map(|(name, tag)| (name, Template { tag, modules: None })).collect();
        Settings {
            plan: self.plan,
            latency: self.latency,
            faults: self.faults,
            rates,
            seed: self.seed,
            key: self.key,
            kernels: KernelMode::Python { program: self.python },
            templates,
        }
    }
}
