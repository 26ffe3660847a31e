//! Agent frameworks from their registries, unchanged, with a scripted model: each does the task of `frameworks/task.py` with a
//! server that has no cloud, and with one that could buy sandboxes and buys none. Some run with all other tests; the command
//! `cargo test --test main drop_in::frameworks -- --ignored` runs the others, which are large.
//!
//! The scientific tier and the registries are needed: if one cannot be had, these tests report that and pass.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::clients::{is_installed, javascript_with, python_with, run};
use super::sdk::{self, SMOLAGENTS, set_variables};
use crate::certificate::Certificate;
use crate::native::{folder, print_line};
use crate::server::{KEY, Server, StandIn};

/// A key of the documented form; the servers accept any.
const OURS: &str = "e2b_0123456789abcdef0123456789abcdef01234567";

/// An agent framework in Python.
struct Framework {
    name: &'static str,
    packages: &'static [&'static str],
    script: &'static str,
    /// Whether its SDK builds the hosts of sandboxes itself: it gets a domain in place of addresses.
    by_domain: bool,
}

const PYTHON_OF_E2B: [&str; 2] = ["e2b==2.63.0", "e2b-code-interpreter==2.11.5"];

const SMOLAGENTS_AGENT: Framework =
    Framework { name: "agent", packages: &SMOLAGENTS, script: "smolagents_agent.py", by_domain: false };

const LARGE: [Framework; 3] = [
    Framework {
        name: "adk",
        packages: &["e2b-adk==0.1.2", "google-adk==2.13.0", PYTHON_OF_E2B[0], PYTHON_OF_E2B[1]],
        script: "adk_agent.py",
        by_domain: false,
    },
    Framework {
        name: "agno",
        packages: &["agno==3.1.10", PYTHON_OF_E2B[0], PYTHON_OF_E2B[1]],
        script: "agno_agent.py",
        by_domain: false,
    },
    Framework {
        name: "crewai",
        // Its extra `e2b` allows only SDKs that ignore `E2B_SANDBOX_URL`.
        packages: &["crewai==1.15.30", "crewai-tools[e2b]==1.15.30", "e2b==2.20.3", "e2b-code-interpreter==2.6.2"],
        script: "crewai_agent.py",
        by_domain: true,
    },
];

/// The Vercel AI SDK: the newest, and the last one of the version before, with E2B's package and a validator of tools' arguments.
const VERCEL: [[&str; 3]; 2] = [
    ["ai@7.0.173", "@e2b/code-interpreter@2.8.0", "zod@4.6.7"],
    ["ai@6.0.325", "@e2b/code-interpreter@2.8.0", "zod@4.6.7"],
];

fn folder_of_scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drop_in/frameworks")
}

/// Returns whether packages are installed or can be; reports it where they cannot. The question is about a small package, so
/// that a package of a framework that cannot be had is a failure.
async fn available(name: &str, packages: &[&str], ask: &[&str]) -> bool {
    if is_installed(name, packages) {
        return true;
    }
    let nowhere = tempfile::tempdir().unwrap();
    let mut ask_registry = Command::new(ask[0]);
    ask_registry.args(&ask[1..]).current_dir(nowhere.path()).stdin(Stdio::null());
    let output = ask_registry.output().await.unwrap_or_else(|error| panic!("{}: {error}", ask[0]));
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        let why = why.lines().next().unwrap_or_default();
        print_line(&format!("skipped: {packages:?} cannot be installed, no registry answers: {why}"));
    }
    output.status.success()
}

/// Two servers with the scientific tier, one without a cloud and one whose cloud is a stand-in for E2B.
struct Servers {
    certificate: Certificate,
    without_cloud: Server,
    with_cloud: Server,
    cloud: StandIn,
}

impl Servers {
    /// `None`: the scientific tier cannot be installed here.
    async fn start() -> Option<Self> {
        let native = folder()?;
        let certificate = Certificate::new();
        let [own, key] = [certificate.certificate(), certificate.key()].map(|path| path.to_str().unwrap().to_owned());
        let variables = [
            ("SWITCHTOWER_HTTP_TLS_CERTIFICATE", own.as_str()),
            ("SWITCHTOWER_HTTP_TLS_KEY", key.as_str()),
            ("SWITCHTOWER_NATIVE_ENABLED", "true"),
            ("SWITCHTOWER_NATIVE_FOLDER", native.to_str().unwrap()),
            ("SWITCHTOWER_NATIVE_WORKERS", "1"),
            ("SWITCHTOWER_NATIVE_KERNEL_WORKERS", "1"),
            // As it is by default.
            ("SWITCHTOWER_CLOUDS_E2B_TIER_POOL_FOLLOW_DEMAND", "true"),
        ];
        let cloud = StandIn::start_with_key(KEY).await;
        let without_cloud = Server::start_with(None, &variables).await;
        let with_cloud = Server::start_with(Some(&cloud), &variables).await;
        Some(Self { certificate, without_cloud, with_cloud, cloud })
    }

    /// Runs an agent with each server. Its script asserts what its model was given and its answer.
    async fn assert_works(&self, what: &str, command: impl Fn(&Server) -> Command) {
        for server in [&self.without_cloud, &self.with_cloud] {
            let mut command = command(server);
            let output = run(what, command.kill_on_drop(true)).await;
            assert_eq!(output.lines().next_back(), Some("all right"), "{what}: {output}");
        }
        let counts = self.cloud.fake.counts();
        assert_eq!((counts.created, counts.create_refused), (0, 0), "{what} needed a sandbox: {counts:?}");
    }

    async fn assert_python_works(&self, framework: &Framework) {
        let Framework { name, packages, script, by_domain } = framework;
        let ask = ["python3", "-m", "pip", "download", "--quiet", "--no-deps", "e2b-code-interpreter==2.11.5"];
        if !available(name, packages, &ask).await {
            return;
        }
        let packages = python_with(name, packages).await;
        let home = tempfile::tempdir().unwrap();
        self.assert_works(name, |server| {
            let mut python = Command::new("python3");
            let mut paths = vec![packages.clone()];
            set_variables(&mut python, &server.origin, OURS);
            if *by_domain {
                let port = server.origin.rsplit(':').next().unwrap();
                python.env_remove("E2B_API_URL").env_remove("E2B_SANDBOX_URL");
                python.env("E2B_DOMAIN", format!("tower.localhost:{port}"));
                python.env("SSL_CERT_FILE", self.certificate.issuer());
                // For `loopback_names`.
                paths.push(sdk::script(""));
            }
            // Frameworks keep files in the user's folder and count their uses.
            python.env("HOME", home.path()).env("CREWAI_DISABLE_TELEMETRY", "true").env("OTEL_SDK_DISABLED", "true");
            python.env("PYTHONPATH", std::env::join_paths(paths).unwrap()).arg(folder_of_scripts().join(script));
            python
        })
        .await;
    }

    async fn assert_vercel_works(&self, packages: &[&str]) {
        let name = "vercel";
        if !available(name, packages, &["npm", "view", "zod@4.6.7", "version"]).await {
            return;
        }
        let beside = javascript_with(name, packages).await.join("agent.mjs");
        std::fs::copy(folder_of_scripts().join("vercel_agent.mjs"), &beside).unwrap();
        self.assert_works(packages[0], |server| {
            let mut node = Command::new("node");
            set_variables(&mut node, &server.origin, OURS);
            node.arg(&beside).arg(folder_of_scripts());
            node
        })
        .await;
    }

    async fn stop(self) {
        for server in [self.without_cloud, self.with_cloud] {
            server.signal("-TERM");
            server.wait_for_log();
        }
        self.cloud.fake.close().await;
    }
}

#[test]
fn the_documented_versions_of_frameworks_are_those_that_are_tested() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/e2b-drop-in.md")).unwrap();
    let python = [&SMOLAGENTS_AGENT].into_iter().chain(&LARGE).flat_map(|framework| framework.packages);
    for package in python.chain(VERCEL.iter().flatten()).filter(|package| !package.starts_with("zod@")) {
        let version = package.rsplit(['=', '@']).next().unwrap();
        assert!(page.contains(version), "{package}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_of_smolagents_and_of_the_vercel_ai_sdk_compute_with_numpy_and_buy_nothing() {
    let Some(servers) = Servers::start().await else { return };
    servers.assert_python_works(&SMOLAGENTS_AGENT).await;
    for packages in VERCEL {
        servers.assert_vercel_works(&packages).await;
    }
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "installs 1.4 GB of packages"]
async fn agents_of_adk_agno_and_crewai_compute_with_numpy_and_buy_nothing() {
    let Some(servers) = Servers::start().await else { return };
    for framework in &LARGE {
        servers.assert_python_works(framework).await;
    }
    servers.stop().await;
}
