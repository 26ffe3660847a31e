//! The self-test of machines: what the first one must refuse, and what it has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Fault, Isolation, Language};
use tokio::time::timeout;

use crate::assets;
use crate::backend::Found;
use crate::channel::{Channel, CommandEnd};
use crate::client::InitClient;
use crate::host::UnavailableMachines;

const TIMEOUT: Duration = Duration::from_secs(60);
const MAX_OUTPUT: usize = 1 << 20;
/// The file with the kernel's version.
const KERNEL: &str = "/proc/version";

/// Interpreters and compilers: the language, and the commands that print its version, of which one is enough. No shell is needed, which
/// a root file system of the user's may not have.
const LANGUAGES: [(Language, &[&[&str]]); 5] = [
    (Language::Python, &[&["python3", "-c", "import sys; assert sys.version_info >= (3, 9); print(sys.version)"]]),
    (
        Language::JavaScript,
        &[&["node", "-e", "if (parseInt(process.versions.node) < 18) process.exit(1); console.log(process.version)"]],
    ),
    (Language::Bash, &[&["bash", "-c", "echo $BASH_VERSION"]]),
    (Language::C, &[&["gcc", "--version"], &["clang", "--version"], &["cc", "--version"]]),
    (Language::Cpp, &[&["g++", "--version"], &["clang++", "--version"], &["c++", "--version"]]),
];

const MODULES: &[&str] = &[
    "python3",
    "-c",
    "import sys, pkgutil, json; print(json.dumps(sorted({m.name for m in pkgutil.iter_modules()} | \
     set(getattr(sys, \"stdlib_module_names\", ())) | set(sys.builtin_module_names))))",
];

/// Prints node's own modules, of `fs/promises` and `node:sqlite` the names that an import is looked up by.
const NODE_MODULES: &[&str] = &[
    "node",
    "-e",
    "const names = require(\"module\").builtinModules; \
     console.log(JSON.stringify(names.map(name => name.replace(/^node:/, \"\").split(\"/\")[0])))",
];

/// Runs the self-test. `has_own_root`: the machine's root file system is the user's, and so are the users that it lists;
/// `isolation`: the level that its runtime has by its name.
///
/// # Errors
/// The machine allows something that it must refuse, or runs no commands.
pub(crate) async fn run(
    client: &InitClient,
    has_own_root: bool,
    isolation: Isolation,
) -> Result<Found, UnavailableMachines> {
    let tested = async {
        if isolation == Isolation::Gvisor {
            check_kernel(client).await?;
        }
        check_isolation(client, has_own_root).await?;
        let mut found = Found::default();
        if isolation == Isolation::Gvisor {
            found.missing_call = missing_call(client).await?;
        }
        for (language, commands) in LANGUAGES {
            let Some(version) = version(client, commands).await? else { continue };
            found.languages.push(language);
            if language == Language::JavaScript {
                found.languages.push(Language::TypeScript);
            }
            found.versions.push((language.name().to_owned(), version));
        }
        if found.languages.contains(&Language::Python) {
            found.modules = Some(Arc::new(names_of(&output(client, MODULES).await?.unwrap_or_default())));
        }
        if found.languages.contains(&Language::JavaScript) {
            found.node_modules = Some(Arc::new(names_of(&output(client, NODE_MODULES).await?.unwrap_or_default())));
        }
        Ok(found)
    };
    timeout(TIMEOUT, tested)
        .await
        .unwrap_or_else(|_| Err(UnavailableMachines::new("the self-test of a machine did not end")))
}

/// Checks that the machine does not run on the host's kernel.
async fn check_kernel(client: &InitClient) -> Result<(), UnavailableMachines> {
    let unknown = |why: String| UnavailableMachines::new(format!("the kernel of a machine is unknown: {why}"));
    let own = std::fs::read(KERNEL).map_err(|error| unknown(error.to_string()))?;
    let read = client.read_file(KERNEL, MAX_OUTPUT).await.map_err(|fault| unknown(fault.to_string()))?;
    match read {
        Ok(kernel) if !kernel.is_empty() && kernel != own => Ok(()),
        Ok(_) => Err(UnavailableMachines::new("a machine runs on this host's kernel: its runtime is not gVisor")),
        Err(refused) => Err(unknown(refused.message)),
    }
}

/// Returns why a program of every system fails; `None`: it does not, or the machine has none. Old versions of gVisor do not know a flag of
/// statx(2).
async fn missing_call(client: &InitClient) -> Result<Option<String>, UnavailableMachines> {
    let run = run_command(client, &["ls", "-d", "/"]).await?;
    let fails = run.is_some_and(|(end, _)| end != CommandEnd::Code(0) && end != CommandEnd::Code(127));
    Ok(fails.then(|| "ls and stat fail: newer releases of gVisor have what they call".to_owned()))
}

/// Checks what the machine's root must not be able to do.
async fn check_isolation(client: &InitClient, has_own_root: bool) -> Result<(), UnavailableMachines> {
    let reaches =
        |what: &str| Err(UnavailableMachines::new(format!("a machine is not isolated: its root reaches {what}")));
    let program = format!("{}/init", assets::FOLDER);
    match run_command(client, &[&program, "self-test"]).await? {
        Some((CommandEnd::Code(0), reached)) => {
            if let Some(first) = reached.lines().next() {
                return reaches(first);
            }
        }
        other => return Err(UnavailableMachines::new(format!("the self-test of a machine does not run: {other:?}"))),
    }
    let failed = |fault: Fault| UnavailableMachines::new(format!("a machine reads no files: {fault}"));
    let passwords =
        if has_own_root { None } else { client.read_file("/etc/shadow", MAX_OUTPUT).await.map_err(failed)?.ok() };
    if passwords.is_some_and(|text| !text.is_empty()) { reaches("the host's users") } else { Ok(()) }
}

/// Returns the first line that one of the commands prints; `None`: none of them is there, or it refuses.
async fn version(client: &InitClient, commands: &[&[&str]]) -> Result<Option<String>, UnavailableMachines> {
    for command in commands {
        let printed = output(client, command).await?.unwrap_or_default();
        let first = printed.trim().lines().next().unwrap_or_default();
        if !first.is_empty() {
            return Ok(Some(first.to_owned()));
        }
    }
    Ok(None)
}

/// Returns the names in a printed JSON array; none if it is not one.
fn names_of(printed: &str) -> BTreeSet<String> {
    serde_json::from_str::<Vec<String>>(printed.trim()).unwrap_or_default().into_iter().collect()
}

/// Returns what a command prints; `None`: it is not there or fails.
async fn output(client: &InitClient, command: &[&str]) -> Result<Option<String>, UnavailableMachines> {
    let run = run_command(client, command).await?;
    Ok(run.and_then(|(end, printed)| (end == CommandEnd::Code(0)).then_some(printed)))
}

/// Runs a command as root. Returns how it ended, and its standard output; `None`: it is not there.
async fn run_command(
    client: &InitClient,
    command: &[&str],
) -> Result<Option<(CommandEnd, String)>, UnavailableMachines> {
    let Some((program, args)) = command.split_first() else { return Ok(None) };
    match Channel::run_as_root(client, program, args).await {
        Ok(ran) => Ok(Some(ran)),
        // Without a shell nothing says so for it.
        Err(Fault::Refused { .. }) => Ok(None),
        Err(fault) => Err(UnavailableMachines::new(format!("a machine runs no commands: {fault}"))),
    }
}
