//! One sandbox, and the results of its cells.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use switchtower_fake_e2b::{KernelMode, Plan, Settings};

use crate::client::{Client, SandboxHandle};

pub(crate) struct TestHarness {
    pub(crate) client: Client,
    pub(crate) sandbox: SandboxHandle,
}

/// The rows of one cell, by type.
#[derive(Debug, Default)]
pub(crate) struct CellResult {
    pub(crate) count: u64,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) results: Vec<Value>,
    pub(crate) error: Option<Value>,
}

impl TestHarness {
    pub(crate) async fn new() -> Self {
        Self::with(Settings { plan: Plan::Unlimited, kernels: KernelMode::python(), ..Settings::default() }).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        // Tests run side by side, and look for their own processes by the id: each has a seed of its own.
        static SEED: AtomicU64 = AtomicU64::new(0);
        let seed = SEED.fetch_add(1, Ordering::Relaxed) + (u64::from(std::process::id()) << 32);
        let settings = Settings { seed, ..settings };
        let client = Client::new(settings);
        let sandbox = client.create_with(json!({"templateID": "mine:v1", "envVars": {"GIVEN": "yes"}})).await.sandbox();
        Self { client, sandbox }
    }

    pub(crate) async fn run(&self, code: &str) -> CellResult {
        self.run_with(json!({ "code": code })).await
    }

    pub(crate) async fn run_with(&self, order: Value) -> CellResult {
        let answer = self.client.call_sandbox(&self.sandbox, "POST", "/execute", &order).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let mut ran = CellResult::default();
        for line in answer.rows() {
            let text = || line["text"].as_str().unwrap();
            match line["type"].as_str().unwrap() {
                "number_of_executions" => ran.count = line["execution_count"].as_u64().unwrap(),
                "stdout" => ran.stdout.push_str(text()),
                "stderr" => ran.stderr.push_str(text()),
                "result" => ran.results.push(line),
                "error" => ran.error = Some(line),
                _ => {}
            }
        }
        assert!(answer.text.ends_with("{\"type\":\"end_of_execution\"}\n"), "{}", answer.text);
        ran
    }

    /// Returns the text of the last expression.
    pub(crate) async fn value(&self, code: &str) -> String {
        let ran = self.run(code).await;
        let main = ran.results.iter().find(|result| result["is_main_result"] == true);
        let main = main.unwrap_or_else(|| panic!("{code}: {ran:?}"));
        main["text"].as_str().unwrap().to_owned()
    }

    /// Returns the name and the value of the error.
    pub(crate) async fn error(&self, code: &str) -> (String, String) {
        let ran = self.run(code).await;
        let error = ran.error.as_ref().unwrap_or_else(|| panic!("{code}: {ran:?}"));
        let text = |name: &str| error[name].as_str().unwrap().to_owned();
        (text("name"), text("value"))
    }
}
