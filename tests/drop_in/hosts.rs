//! Clients that build the hosts of sandboxes themselves, over the server's own TLS.

use tokio::process::Command;

use super::clients::{self, run};
use super::sdk::script;
use crate::certificate::Certificate;
use crate::server::Server;

/// Versions that ignore `E2B_SANDBOX_URL` for cells: those that agent frameworks pin.
const OLD_VERSIONS: [(&str, &[&str]); 2] = [
    ("sdk-1", &["e2b==1.11.1", "e2b-code-interpreter==1.5.2"]),
    ("sdk-2", &["e2b==2.20.3", "e2b-code-interpreter==2.6.2"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_build_host_names_work_unchanged_with_a_domain() {
    let certificate = Certificate::new();
    let [own, key] = [certificate.certificate(), certificate.key()].map(|path| path.to_str().unwrap().to_owned());
    let variables = [("SWITCHTOWER_HTTP_TLS_CERTIFICATE", own.as_str()), ("SWITCHTOWER_HTTP_TLS_KEY", key.as_str())];
    let server = Server::start_with(None, &variables).await;
    let port = server.origin.rsplit(':').next().unwrap();
    for (name, packages) in OLD_VERSIONS {
        let packages = clients::python_with(name, packages).await;
        let mut python = Command::new("python3");
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("E2B_")) {
            python.env_remove(name);
        }
        python.env("E2B_DOMAIN", format!("tower.localhost:{port}")).env("SSL_CERT_FILE", certificate.issuer());
        python.env("E2B_API_KEY", "e2b_0123456789abcdef0123456789abcdef01234567").env("PYTHONPATH", &packages);
        let output = run(name, python.arg(script("hosts.py")).kill_on_drop(true)).await;
        assert_eq!(output, "all right\n", "{name}");
    }
}
