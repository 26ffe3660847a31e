//! The self-test of machines: what the first one must refuse, and what it has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::Language;
use tokio::time::timeout;

use crate::backend::Found;
use crate::channel::{Channel, CommandEnd, CommandSpec, Frame};
use crate::client::InitClient;
use crate::host::UnavailableMachines;
use crate::language::HOME;

const TIMEOUT: Duration = Duration::from_secs(60);
const MAX_OUTPUT: usize = 1 << 20;

/// What the machine's root must not be able to do: a name, and a command that fails.
const REFUSED: [(&str, &str); 9] = [
    ("mounting", "mount -t tmpfs none /mnt"),
    ("a namespace of its own", "unshare -U true"),
    ("devices", "mknod /tmp/null c 1 3 && head -c1 /tmp/null"),
    ("the memory of the host", "head -c1 /proc/kcore | grep -q ."),
    ("settings of the kernel", "echo 1 > /proc/sys/kernel/panic"),
    ("the power of the host", "echo b > /proc/sysrq-trigger"),
    ("the internet", "exec 9<>/dev/tcp/192.0.2.1/80"),
    ("the host's processes", "test $(ls /proc | grep -c '^[0-9]') -gt 20"),
    ("the host's users", "test -e /etc/shadow && grep -q . /etc/shadow"),
];

/// Interpreters and compilers: the language, the command that prints the version.
const LANGUAGES: [(Language, &str); 5] = [
    (Language::Python, "python3 -c 'import sys; assert sys.version_info >= (3, 9); print(sys.version)'"),
    (
        Language::JavaScript,
        "node -e 'if (parseInt(process.versions.node) < 18) process.exit(1); console.log(process.version)'",
    ),
    (Language::Bash, "bash -c 'echo $BASH_VERSION'"),
    (Language::C, "{ gcc --version || clang --version || cc --version; } | head -1"),
    (Language::Cpp, "{ g++ --version || clang++ --version || c++ --version; } | head -1"),
];

const MODULES: &str = "python3 -c 'import sys, pkgutil, json; print(json.dumps(sorted({m.name for m in \
     pkgutil.iter_modules()} | set(getattr(sys, \"stdlib_module_names\", ())) | set(sys.builtin_module_names))))'";

/// Prints node's own modules, of `fs/promises` and `node:sqlite` the names that an import is looked up by.
const NODE_MODULES: &str = "node -e 'const names = require(\"module\").builtinModules; \
     console.log(JSON.stringify(names.map(name => name.replace(/^node:/, \"\").split(\"/\")[0])))'";

/// Runs the self-test.
///
/// # Errors
/// The machine allows something that it must refuse, or runs no commands.
pub(crate) async fn run(client: &InitClient) -> Result<Found, UnavailableMachines> {
    let tested = async {
        let (end, _) = shell(client, "true").await?;
        if end != CommandEnd::Code(0) {
            return Err(UnavailableMachines::new(format!("the machine's shell does not run: {end:?}")));
        }
        for (name, command) in REFUSED {
            if shell(client, command).await?.0 == CommandEnd::Code(0) {
                return Err(UnavailableMachines::new(format!("a machine is not isolated: its root reaches {name}")));
            }
        }
        let mut found = Found::default();
        for (language, command) in LANGUAGES {
            let (end, printed) = shell(client, command).await?;
            let printed = printed.trim();
            if end == CommandEnd::Code(0) && !printed.is_empty() {
                found.languages.push(language);
                if language == Language::JavaScript {
                    found.languages.push(Language::TypeScript);
                }
                let version = printed.lines().next().unwrap_or_default().to_owned();
                found.versions.push((language.name().to_owned(), version));
            }
        }
        if found.languages.contains(&Language::Python) {
            found.modules = Some(Arc::new(names_of(&shell(client, MODULES).await?.1)));
        }
        if found.languages.contains(&Language::JavaScript) {
            found.node_modules = Some(Arc::new(names_of(&shell(client, NODE_MODULES).await?.1)));
        }
        Ok(found)
    };
    timeout(TIMEOUT, tested)
        .await
        .unwrap_or_else(|_| Err(UnavailableMachines::new("the self-test of a machine did not end")))
}

/// Returns the names in a printed JSON array; none if it is not one.
fn names_of(printed: &str) -> BTreeSet<String> {
    serde_json::from_str::<Vec<String>>(printed.trim()).unwrap_or_default().into_iter().collect()
}

/// Runs a command of the shell as root. Returns how it ended, and its standard output.
async fn shell(client: &InitClient, command: &str) -> Result<(CommandEnd, String), UnavailableMachines> {
    let none = BTreeMap::new();
    let args = ["-c", command];
    let spec = CommandSpec { program: "/bin/bash", args: &args, env: &none, cwd: HOME, user: "root", control: false };
    let failed =
        |fault: switchtower_contract::Fault| UnavailableMachines::new(format!("a machine runs no commands: {fault}"));
    let mut channel = Channel::start(client, &spec).await.map_err(failed)?;
    let mut printed = Vec::new();
    loop {
        match channel.next().await.map_err(failed)? {
            Frame::Stdout(bytes) => {
                let left = MAX_OUTPUT.saturating_sub(printed.len());
                printed.extend_from_slice(&bytes[..bytes.len().min(left)]);
            }
            Frame::Stderr(_) | Frame::Control(_) => {}
            Frame::Ended(end) => return Ok((end, String::from_utf8_lossy(&printed).into_owned())),
        }
    }
}
