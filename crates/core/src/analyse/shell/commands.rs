//! What well-known commands do on the internet.

use switchtower_contract::{Language, Program};

use super::words::Command;
use super::{Findings, read};
use crate::analyse::profile::NetworkUse;
use crate::analyse::{Profile, analyse, module_of_distribution};

/// Words before a command that start it, and shell keywords.
const FRONT: [&str; 21] = [
    "sudo", "env", "nohup", "time", "command", "exec", "builtin", "nice", "ionice", "stdbuf", "timeout", "xargs",
    "then", "do", "else", "elif", "if", "while", "until", "!", "{",
];
/// Commands that always reach a host that they name.
const REMOTE: [&str; 31] = [
    "curl",
    "wget",
    "http",
    "https",
    "aria2c",
    "lynx",
    "w3m",
    "ssh",
    "scp",
    "sftp",
    "ftp",
    "telnet",
    "ping",
    "ping6",
    "traceroute",
    "dig",
    "nslookup",
    "host",
    "whois",
    "rsync",
    "nc",
    "ncat",
    "netcat",
    "mtr",
    "yt-dlp",
    "youtube-dl",
    "gh",
    "aws",
    "gcloud",
    "az",
    "kubectl",
];
/// Package managers and what they do on the internet: the command, and its subcommands (all, where the list is empty).
const MANAGERS: [(&str, &[&str]); 26] = [
    ("apt", &["install", "update", "upgrade", "full-upgrade", "dist-upgrade", "source", "build-dep"]),
    ("apt-get", &["install", "update", "upgrade", "dist-upgrade", "source", "build-dep", "download"]),
    ("aptitude", &["install", "update", "upgrade"]),
    ("apk", &["add", "update", "upgrade", "fetch"]),
    ("yum", &["install", "update", "upgrade"]),
    ("dnf", &["install", "update", "upgrade"]),
    ("pacman", &["-S", "-Sy", "-Syu"]),
    ("brew", &["install", "update", "upgrade"]),
    ("snap", &["install"]),
    ("npm", &["install", "i", "ci", "add", "update", "exec", "view", "publish", "audit"]),
    ("pnpm", &["install", "i", "add", "update", "dlx"]),
    ("yarn", &["", "install", "add", "upgrade", "dlx"]),
    ("bun", &["install", "add", "x"]),
    ("npx", &[]),
    ("bunx", &[]),
    ("uvx", &[]),
    ("conda", &["install", "create", "update", "search"]),
    ("mamba", &["install", "create", "update"]),
    ("poetry", &["install", "add", "update", "lock"]),
    ("pipx", &["install", "run"]),
    ("gem", &["install", "update"]),
    ("bundle", &["install", "update"]),
    ("composer", &["install", "require", "update"]),
    ("docker", &["pull", "run", "login", "push"]),
    ("huggingface-cli", &["download", "login"]),
    ("ollama", &["pull", "run"]),
];
/// Builds, which fetch what is not there yet.
const BUILDS: [(&str, &[&str]); 6] = [
    ("cargo", &["build", "run", "test", "check", "bench"]),
    ("go", &["build", "run", "test", "generate"]),
    ("mvn", &[]),
    ("gradle", &[]),
    ("./gradlew", &[]),
    ("make", &["install-deps", "deps", "setup"]),
];
/// The same, where they only fetch.
const FETCHES: [(&str, &[&str]); 2] =
    [("cargo", &["install", "add", "fetch", "update", "publish"]), ("go", &["get", "install", "mod"])];
/// Options of pip that have a value of their own.
const PIP_VALUES: [&str; 22] = [
    "-i",
    "--index-url",
    "--extra-index-url",
    "-f",
    "--find-links",
    "-t",
    "--target",
    "--prefix",
    "--root",
    "-c",
    "--constraint",
    "--platform",
    "--python-version",
    "--implementation",
    "--abi",
    "--upgrade-strategy",
    "--timeout",
    "--retries",
    "--trusted-host",
    "--proxy",
    "--cache-dir",
    "--log",
];

/// Adds what a command does.
pub(super) fn look_at(command: &Command, depth: usize, findings: &mut Findings) {
    let words: Vec<&str> = without_front(&command.words);
    let Some((name, args)) = words.split_first() else { return };
    let name = name.rsplit('/').next().filter(|_| !name.starts_with("./")).unwrap_or(name);
    let subcommand = args.iter().find(|arg| !arg.starts_with('-')).copied().unwrap_or_default();
    let does = |table: &[(&str, &[&str])]| {
        table.iter().any(|(known, subcommands)| {
            *known == name
                && (subcommands.is_empty()
                    || subcommands.contains(&subcommand)
                    || args.first().is_some_and(|first| subcommands.contains(first)))
        })
    };
    match name {
        "pip" | "pip3" => pip(args, findings),
        "uv" if args.first() == Some(&"pip") => pip(&args[1..], findings),
        "uv" if matches!(subcommand, "add" | "sync" | "run" | "lock" | "tool" | "python") => {
            findings.uses_network(NetworkUse::Certain);
        }
        "git" => git(subcommand, args, findings),
        "bash" | "sh" | "zsh" | "dash" | "ash" => {
            if let Some(script) = value_of(args, "c") {
                read(script, depth + 1, findings);
            } else if let Some(script) = &command.input {
                read(script, depth + 1, findings);
            }
        }
        "eval" => read(&args.join(" "), depth + 1, findings),
        "node" | "nodejs" | "deno" | "bun" if value_of(args, "e").or(value_of(args, "p")).is_some() => {
            let source = value_of(args, "e").or(value_of(args, "p")).unwrap_or_default();
            findings.add_network(&analyse(&Program::new(Language::JavaScript, source)));
        }
        _ if name.starts_with("python") || name == "py" => python_command(args, command, findings),
        _ if REMOTE.contains(&name) && args.iter().any(|arg| names_remote_host(arg)) => {
            findings.uses_network(NetworkUse::Certain);
        }
        _ if does(&MANAGERS) || does(&FETCHES) => findings.uses_network(NetworkUse::Certain),
        _ if does(&BUILDS) => findings.uses_network(NetworkUse::Possible),
        _ => {}
    }
}

impl Findings {
    /// Adds how a program of another language uses the network. Its modules are not Python's.
    fn add_network(&mut self, profile: &Profile) {
        if profile.network != NetworkUse::None {
            self.uses_network(profile.network);
        }
    }
}

/// Returns the words of the command itself, without assignments and what starts it.
fn without_front(words: &[String]) -> Vec<&str> {
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.peek() {
        if is_assignment(word) {
            words.next();
        } else if FRONT.contains(word) {
            let takes_time = *word == "timeout";
            words.next();
            while words.peek().is_some_and(|option| option.starts_with('-')) {
                words.next();
            }
            if takes_time {
                words.next();
            }
        } else {
            break;
        }
    }
    words.collect()
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    })
}

/// Returns the argument after a short option, alone or as the last of several: `-c`, `-lc`.
fn value_of<'a>(args: &[&'a str], option: &str) -> Option<&'a str> {
    let is_it = |arg: &str| {
        arg.strip_prefix('-')
            .is_some_and(|letters| !letters.starts_with('-') && letters.len() <= 4 && letters.ends_with(option))
            || arg == format!("--{}", if option == "e" { "eval" } else { "print" })
    };
    let at = args.iter().position(|arg| is_it(arg))?;
    args.get(at + 1).copied()
}

/// Returns whether an argument names a host that is not this machine.
fn names_remote_host(arg: &str) -> bool {
    if arg.starts_with('-') && !arg.contains("://") {
        return false;
    }
    let address =
        arg.split_once("://").map_or(arg, |(scheme, rest)| if scheme.ends_with("file") { "localhost" } else { rest });
    let host = address.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or(host);
    let local = ["localhost", "127.", "0.0.0.0", "[::1]", "::1", "sandbox"];
    !host.is_empty()
        && !local.iter().any(|known| host.starts_with(known))
        && !host.starts_with(['.', '~', '$', '{'])
        && !host.chars().all(|c| c.is_ascii_digit())
}

fn git(subcommand: &str, args: &[&str], findings: &mut Findings) {
    let has_address = args.iter().any(|arg| {
        let is_local = arg.starts_with("file://");
        !is_local && (arg.contains("://") || (arg.contains('@') && arg.contains(':')))
    });
    match subcommand {
        "clone" | "ls-remote" | "fetch" | "pull" | "push" if has_address => findings.uses_network(NetworkUse::Certain),
        "fetch" | "pull" | "push" | "submodule" | "lfs" | "ls-remote" => findings.uses_network(NetworkUse::Possible),
        _ => {}
    }
}

fn python_command(args: &[&str], command: &Command, findings: &mut Findings) {
    if let Some(at) = args.iter().position(|arg| *arg == "-m") {
        if args.get(at + 1) == Some(&"pip") {
            pip(&args[at + 2..], findings);
        }
        return;
    }
    let source = value_of(args, "c").or_else(|| {
        let reads_input = args.iter().all(|arg| arg.starts_with('-'));
        command.input.as_deref().filter(|_| reads_input)
    });
    if let Some(source) = source {
        findings.add_program(&analyse(&Program::python(source)));
    }
}

fn pip(args: &[&str], findings: &mut Findings) {
    let Some((&"install" | &"download" | &"wheel", args)) =
        args.iter().position(|arg| !arg.starts_with('-')).map(|at| (&args[at], &args[at + 1..]))
    else {
        if args.first().is_some_and(|first| matches!(*first, "search" | "index")) {
            findings.uses_network(NetworkUse::Certain);
        }
        return;
    };
    if args.contains(&"--no-index") {
        return;
    }
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match *arg {
            "-U" | "--upgrade" | "--force-reinstall" | "-I" | "--ignore-installed" | "-r" | "--requirement" | "-e"
            | "--editable" => {
                findings.uses_network(NetworkUse::Certain);
            }
            option if PIP_VALUES.contains(&option) => drop(args.next()),
            option if option.starts_with('-') => {}
            package if package.contains("://") || package.contains('$') => findings.uses_network(NetworkUse::Certain),
            path if path.starts_with(['.', '/', '~']) || path.ends_with(".whl") => {
                findings.uses_network(NetworkUse::Possible);
            }
            requirement => {
                let name = requirement.split(['<', '>', '=', '!', '~', ';', '[', ' ', '@']).next().unwrap_or_default();
                if name.is_empty() {
                    continue;
                }
                match module_of_distribution(name) {
                    Some(module) => findings.needs_module(module),
                    None => findings.needs_module(&name.replace('-', "_").to_lowercase()),
                }
            }
        }
    }
}
