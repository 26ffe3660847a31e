//! Agent frameworks from their registries, unchanged, with a scripted model: each does the task of `frameworks/task.py`, whose tool runs
//! cells, or that of `frameworks/shell_task.py`, whose tools run commands and write files, with a server that has no cloud, and
//! with one that could buy sandboxes and buys none. Some run with all other tests; the command
//! `cargo test --test main drop_in::frameworks -- --ignored` runs the others, which are large.
//!
//! The scientific tier, machines and the registries are needed: if one cannot be had, these tests report that and pass.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::clients::{javascript_with, python_with, run};
use super::registries::{Packages, available, has_machines};
use super::sdk::{self, SMOLAGENTS, set_variables};
use crate::certificate::Certificate;
use crate::native::folder;
use crate::server::{KEY, Server, StandIn};

/// A key of the documented form; the servers accept any.
const OURS: &str = "e2b_0123456789abcdef0123456789abcdef01234567";

/// An agent framework.
struct Framework {
    name: &'static str,
    /// Its own and its SDK.
    packages: Packages,
    agents: &'static [Agent],
    /// Whether its SDK builds the hosts of sandboxes itself: it gets a domain in place of addresses.
    by_domain: bool,
}

/// A script with an agent, by what the tools of its model do.
enum Agent {
    RunsCells(&'static str),
    /// It needs a machine.
    RunsCommands(&'static str),
}

use Agent::{RunsCells, RunsCommands};

const PYTHON_OF_E2B: [&str; 2] = ["e2b==2.63.0", "e2b-code-interpreter==2.11.5"];

/// Those that run with all other tests: 0.4 GB. Of the Vercel AI SDK the newest, and the last one of the version before, with a
/// validator of tools' arguments.
const SMALL: [Framework; 6] = [
    Framework {
        name: "agent",
        packages: Packages::Python(&SMOLAGENTS),
        agents: &[RunsCells("smolagents_agent.py")],
        by_domain: false,
    },
    Framework {
        name: "vercel",
        packages: Packages::JavaScript(&["ai@7.0.173", "@e2b/code-interpreter@2.8.0", "zod@4.6.7"]),
        agents: &[RunsCells("vercel_agent.mjs")],
        by_domain: false,
    },
    Framework {
        name: "vercel",
        packages: Packages::JavaScript(&["ai@6.0.325", "@e2b/code-interpreter@2.8.0", "zod@4.6.7"]),
        agents: &[RunsCells("vercel_agent.mjs")],
        by_domain: false,
    },
    Framework {
        name: "computesdk",
        packages: Packages::JavaScript(&["@computesdk/e2b@1.7.52", "computesdk@4.1.4"]),
        agents: &[RunsCommands("computesdk.mjs")],
        by_domain: false,
    },
    Framework {
        name: "pydantic",
        packages: Packages::Python(&["pydantic-ai-harness==0.62.0", PYTHON_OF_E2B[0]]),
        agents: &[RunsCommands("pydantic_agent.py")],
        by_domain: false,
    },
    Framework {
        name: "openai",
        // Its extra pins the SDK.
        packages: Packages::Python(&["openai-agents[e2b]==0.24.0"]),
        agents: &[RunsCommands("openai_agent.py")],
        by_domain: false,
    },
];

const LARGE: [Framework; 7] = [
    Framework {
        name: "adk",
        packages: Packages::Python(&["e2b-adk==0.1.2", "google-adk==2.13.0", PYTHON_OF_E2B[0], PYTHON_OF_E2B[1]]),
        agents: &[RunsCells("adk_agent.py"), RunsCommands("adk_environment_agent.py")],
        by_domain: false,
    },
    Framework {
        name: "agno",
        packages: Packages::Python(&["agno==3.1.10", PYTHON_OF_E2B[0], PYTHON_OF_E2B[1]]),
        agents: &[RunsCells("agno_agent.py"), RunsCommands("agno_shell_agent.py")],
        by_domain: false,
    },
    Framework {
        name: "crewai",
        // Its extra `e2b` allows only SDKs that ignore `E2B_SANDBOX_URL`.
        packages: Packages::Python(&[
            "crewai==1.15.30",
            "crewai-tools[e2b]==1.15.30",
            "e2b==2.20.3",
            "e2b-code-interpreter==2.6.2",
        ]),
        agents: &[RunsCells("crewai_agent.py"), RunsCommands("crewai_shell_agent.py")],
        by_domain: true,
    },
    Framework {
        name: "mastra",
        packages: Packages::JavaScript(&["@mastra/e2b@0.8.0", "@mastra/core@1.71.0", "zod@4.6.7"]),
        agents: &[RunsCommands("mastra_agent.mjs")],
        by_domain: false,
    },
    Framework {
        name: "deepagents",
        packages: Packages::Python(&["langchain-e2b==0.0.6", "deepagents==0.6.12", PYTHON_OF_E2B[0]]),
        agents: &[RunsCommands("deep_agent.py")],
        by_domain: false,
    },
    Framework {
        name: "haystack",
        packages: Packages::Python(&["e2b-haystack==2.0.0", "haystack-ai==3.4.1", PYTHON_OF_E2B[0]]),
        agents: &[RunsCommands("haystack_agent.py")],
        by_domain: false,
    },
    Framework {
        name: "verifiers",
        // The newest SDK and it want different versions of another package.
        packages: Packages::Python(&["verifiers[e2b]==0.4.0", "e2b==2.56.0"]),
        agents: &[RunsCommands("verifiers_rollout.py")],
        by_domain: false,
    },
];

fn folder_of_scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drop_in/frameworks")
}

/// Two servers with the scientific tier, one without a cloud and one whose cloud is a stand-in for E2B.
struct Servers {
    certificate: Certificate,
    without_cloud: Server,
    with_cloud: Server,
    cloud: StandIn,
    has_machines: bool,
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
            ("SWITCHTOWER_MACHINE_ENABLED", "true"),
            ("SWITCHTOWER_NATIVE_ENABLED", "true"),
            ("SWITCHTOWER_NATIVE_FOLDER", native.to_str().unwrap()),
            ("SWITCHTOWER_NATIVE_WORKERS", "1"),
            ("SWITCHTOWER_NATIVE_KERNEL_WORKERS", "1"),
            // As it is by default.
            ("SWITCHTOWER_CLOUDS_E2B_TIER_POOL_FOLLOW_DEMAND", "true"),
            // As by default, and those that verifiers would build otherwise.
            ("SWITCHTOWER_SESSIONS_TEMPLATES", "base,code-interpreter-v1,mastra-*,vf-*"),
        ];
        let cloud = StandIn::start_with_key(KEY).await;
        let without_cloud = Server::start_with(None, &variables).await;
        let with_cloud = Server::start_with(Some(&cloud), &variables).await;
        let has_machines = has_machines(&without_cloud, "agents that run commands").await;
        Some(Self { certificate, without_cloud, with_cloud, cloud, has_machines })
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

    async fn assert_framework_works(&self, framework: &Framework) {
        let Framework { name, packages, agents, .. } = framework;
        if !available(name, *packages).await {
            return;
        }
        let home = tempfile::tempdir().unwrap();
        for agent in *agents {
            let script = match agent {
                RunsCells(script) => script,
                RunsCommands(script) if self.has_machines => script,
                RunsCommands(_) => continue,
            };
            let script = folder_of_scripts().join(script);
            match packages {
                Packages::Python(names) => {
                    let folder = python_with(name, names).await;
                    self.assert_works(name, |server| self.python(framework, server, &folder, home.path(), &script))
                        .await;
                }
                Packages::JavaScript(names) => {
                    let beside = javascript_with(name, names).await.join("agent.mjs");
                    std::fs::copy(&script, &beside).unwrap();
                    self.assert_works(names[0], |server| {
                        let mut node = Command::new("node");
                        set_variables(&mut node, &server.origin, OURS);
                        node.arg(&beside).arg(folder_of_scripts()).env("HOME", home.path());
                        node
                    })
                    .await;
                }
            }
        }
    }

    fn python(&self, framework: &Framework, server: &Server, packages: &Path, home: &Path, script: &Path) -> Command {
        let mut python = Command::new("python3");
        let mut paths = vec![packages.to_owned()];
        set_variables(&mut python, &server.origin, OURS);
        if framework.by_domain {
            let port = server.origin.rsplit(':').next().unwrap();
            python.env_remove("E2B_API_URL").env_remove("E2B_SANDBOX_URL");
            python.env("E2B_DOMAIN", format!("tower.localhost:{port}"));
            python.env("SSL_CERT_FILE", self.certificate.issuer());
            // For `loopback_names`.
            paths.push(sdk::script(""));
        }
        // Frameworks keep files in the user's folder and count their uses.
        python.env("HOME", home).env("CREWAI_DISABLE_TELEMETRY", "true").env("OTEL_SDK_DISABLED", "true");
        python.env("PYTHONPATH", std::env::join_paths(paths).unwrap()).arg(script);
        python
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
    let packages = SMALL.iter().chain(&LARGE).flat_map(|framework| framework.packages.names());
    for package in packages.filter(|package| !package.starts_with("zod@")) {
        let version = package.rsplit(['=', '@']).next().unwrap();
        assert!(page.contains(version), "{package}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_of_small_frameworks_compute_with_numpy_by_cells_and_by_commands_and_buy_nothing() {
    let Some(servers) = Servers::start().await else { return };
    for framework in &SMALL {
        servers.assert_framework_works(framework).await;
    }
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "installs 2.5 GB of packages"]
async fn agents_of_large_frameworks_compute_with_numpy_by_cells_and_by_commands_and_buy_nothing() {
    let Some(servers) = Servers::start().await else { return };
    for framework in &LARGE {
        servers.assert_framework_works(framework).await;
    }
    servers.stop().await;
}
