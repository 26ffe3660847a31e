//! Shell scripts and command lines: whether they reach the internet, and which Python packages they install or import.
//!
//! Nothing is expanded and no condition is evaluated: what is read is what is written. A command that may use the internet, such
//! as the build of a project, counts as possible use.

mod commands;
mod words;

use std::collections::BTreeSet;

use switchtower_contract::Program;

use super::profile::{Class, FileScope, Import, NetworkUse, Profile, Reason, StaticEffect, Verdict};
use crate::request::SideEffects;

/// Scripts within scripts that are read, at most.
const MAX_DEPTH: usize = 4;
/// The longest script that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// Most modules that are noted.
const MAX_MODULES: usize = 64;

/// What the commands of a script do.
#[derive(Debug, Default)]
struct Findings {
    network: Option<NetworkUse>,
    modules: BTreeSet<String>,
}

impl Findings {
    fn uses_network(&mut self, how: NetworkUse) {
        if how == NetworkUse::Certain || self.network.is_none() {
            self.network = Some(how);
        }
    }

    fn needs_module(&mut self, module: &str) {
        if self.modules.len() < MAX_MODULES {
            self.modules.insert(module.to_owned());
        }
    }

    /// Adds what another script or program does.
    fn add_program(&mut self, profile: &Profile) {
        if profile.network != NetworkUse::None {
            self.uses_network(profile.network);
        }
        for module in profile.needed_modules() {
            self.needs_module(module);
        }
    }
}

/// Analyses a script.
pub(super) fn analyse(program: &Program) -> Profile {
    let lines = u32::try_from(program.source.lines().count()).unwrap_or(u32::MAX);
    if program.source.len() > MAX_BYTES {
        return Profile::unknown("it is too long", lines);
    }
    let mut findings = Findings::default();
    read(&program.source, 0, &mut findings);
    let network = findings.network.unwrap_or(NetworkUse::None);
    let import = |module: String| Import { module, used: true, optional: false, line: 1 };
    let mut effects = BTreeSet::from([StaticEffect::Shell]);
    if network != NetworkUse::None {
        effects.insert(StaticEffect::Network);
    }
    let reason = Reason { text: "a shell script runs other programs".to_owned(), line: None };
    Profile {
        class: Class::Shell,
        score: 0.0,
        signals: Vec::new(),
        imports: findings.modules.into_iter().map(import).collect(),
        effects,
        files: FileScope::None,
        side_effects: SideEffects::World,
        network,
        memory: 0,
        training: None,
        verdict: Verdict { deterministic: false, reasons: vec![reason.clone()], doubt: Some(reason) },
        parses: true,
        analysis_error: None,
        lines,
    }
}

/// Reads the commands of a script.
fn read(script: &str, depth: usize, findings: &mut Findings) {
    if depth > MAX_DEPTH {
        return;
    }
    for command in words::commands(script) {
        for inner in &command.substitutions {
            read(inner, depth + 1, findings);
        }
        commands::look_at(&command, depth, findings);
    }
}

#[cfg(test)]
mod tests {
    use switchtower_contract::Language;

    use super::*;

    fn profile(script: &str) -> Profile {
        analyse(&Program::new(Language::Bash, script))
    }

    #[test]
    fn commands_that_reach_the_internet_are_distinguished_from_others() {
        use NetworkUse::{Certain, None, Possible};
        for (script, network) in [
            ("ls -la && cat a | grep b", None),
            ("curl -s https://example.com", Certain),
            ("FOO=1 sudo -E timeout 5 curl example.com", Certain),
            ("curl http://localhost:8000/x", None),
            ("curl -s 127.0.0.1:80 || wget --version", None),
            ("echo curl https://example.com", None),
            ("# curl https://example.com\ntrue", None),
            ("echo \"$(curl https://example.com)\"", Certain),
            ("x=`wget -q example.com`", Certain),
            ("bash -c 'curl https://example.com'", Certain),
            ("git clone https://example.com/a.git", Certain),
            ("git clone /srv/a.git b && git status", None),
            ("git push origin main", Possible),
            ("apt-get install -y jq", Certain),
            ("npm install", Certain),
            ("npm run build", None),
            ("if true; then npx cowsay; fi", Certain),
            ("python3 -c 'import requests; requests.get(\"https://a.b\")'", Certain),
            ("python3 - <<'EOF'\nimport urllib.request as u\nu.urlopen('https://a.b')\nEOF\n", Certain),
            ("cat > a.sh <<EOF\ncurl https://example.com\nEOF", None),
            ("node -e \"fetch('https://a.b')\"", Certain),
            ("pip install -r requirements.txt", Certain),
            ("pip install ./local --no-index", None),
            ("pip list && pip --version", None),
            ("cargo build", Possible),
            ("ssh host uptime", Certain),
            ("ping -c1 localhost", None),
            ("for i in 1 2; do curl example.com/$i; done", Certain),
            ("python3 -m http.server 8000 &", None),
        ] {
            assert_eq!(profile(script).network, network, "{script}");
        }
    }

    #[test]
    fn packages_that_pip_installs_are_modules_that_a_tier_has_or_lacks() {
        let modules = |script: &str| profile(script).needed_modules().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(modules("pip install -q 'numpy>=2' scikit-learn"), ["numpy", "sklearn"]);
        assert_eq!(modules("python3 -m pip install --upgrade-strategy eager pandas[all]==2"), ["pandas"]);
        assert_eq!(modules("python3 -c 'import yaml, json; print(yaml, json)'"), ["json", "yaml"]);
        assert_eq!(profile("pip install numpy").network, NetworkUse::None);
        assert_eq!(profile("pip install -U numpy").network, NetworkUse::Certain);
        assert_eq!(profile("pip install git+https://a/b").network, NetworkUse::Certain);
    }

    #[test]
    fn hostile_scripts_are_read_in_linear_time() {
        for text in ["$(", "`", "\"", "<<a\n", "(", "'x", "sudo ", "bash -c '", "\\", "a=", "\n;|&", "pip install x "] {
            let script = text.repeat((1 << 18) / text.len());
            let _: Profile = profile(&script);
        }
    }
}
