//! The command line of `sudo`, as far as it means something where no password is needed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::request::{Shell, SudoRequest};

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Invocation {
    /// To do with passwords, of which there are none.
    Nothing,
    Print(&'static str),
    Run(SudoOptions),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct SudoOptions {
    user: String,
    shell: Shell,
    /// Whether all variables of the caller are kept.
    keeps_env: bool,
    /// Further variables that are kept.
    kept: Vec<String>,
    /// Whether the home folder is the user's, even where all variables are kept.
    sets_home: bool,
    /// Variables that the command line sets.
    set: Vec<(String, String)>,
    command: Vec<String>,
}

/// Variables of the caller that are kept anyway.
const KEPT: [&str; 6] = ["TERM", "COLORTERM", "LANG", "LANGUAGE", "TZ", "DISPLAY"];
/// Variables that belong to the user, or decide which programs run.
const OF_USER: [&str; 5] = ["USER", "LOGNAME", "SHELL", "PATH", "MAIL"];
const RULES: &str = "User user may run the following commands on sandbox:\n    (ALL : ALL) NOPASSWD: ALL";
const USAGE: &str = "usage: sudo [-EHnikKlSsvV] [-u USER] [--] [NAME=VALUE ...] [COMMAND [ARGUMENT ...]]";

impl Invocation {
    pub(super) fn parse(args: Vec<String>) -> Result<Self, String> {
        let mut options = SudoOptions {
            user: "root".to_owned(),
            shell: Shell::None,
            keeps_env: false,
            kept: Vec::new(),
            sets_home: false,
            set: Vec::new(),
            command: Vec::new(),
        };
        let mut other = None;
        let mut args = args.into_iter().peekable();
        while let Some(arg) = args.next_if(|arg| arg.starts_with('-') && arg.len() > 1) {
            if arg == "--" {
                break;
            }
            let mut next = |name: &str| args.next().ok_or_else(|| format!("{name} needs a value; {USAGE}"));
            if let Some(long) = arg.strip_prefix("--") {
                let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
                match (name, value) {
                    ("user", Some(value)) => options.user = value.to_owned(),
                    ("user", None) => options.user = next("--user")?,
                    ("preserve-env", None) => options.keeps_env = true,
                    ("preserve-env", Some(names)) => options.kept.extend(names.split(',').map(str::to_owned)),
                    ("set-home", None) => options.sets_home = true,
                    ("login", None) => options.shell = Shell::Login,
                    ("shell", None) => options.shell = Shell::Here,
                    ("non-interactive" | "stdin", None) => {}
                    ("prompt", Some(_)) => {}
                    ("prompt", None) => drop(next("--prompt")?),
                    ("validate" | "reset-timestamp" | "remove-timestamp", None) => other = Some(Self::Nothing),
                    ("list", None) => other = Some(Self::Print(RULES)),
                    ("version", None) => other = Some(Self::Print("sudo of Switchtower's machines")),
                    ("help", None) => other = Some(Self::Print(USAGE)),
                    _ => return Err(format!("unknown option {arg}; {USAGE}")),
                }
                continue;
            }
            let mut letters = arg.chars().skip(1);
            while let Some(letter) = letters.next() {
                match letter {
                    'E' => options.keeps_env = true,
                    'H' => options.sets_home = true,
                    'i' => options.shell = Shell::Login,
                    's' => options.shell = Shell::Here,
                    'n' | 'S' => {}
                    'u' | 'p' => {
                        let rest: String = letters.by_ref().collect();
                        let value = if rest.is_empty() { next(&format!("-{letter}"))? } else { rest };
                        if letter == 'u' {
                            options.user = value;
                        }
                    }
                    'v' | 'k' | 'K' => other = Some(Self::Nothing),
                    'l' => other = Some(Self::Print(RULES)),
                    'V' => other = Some(Self::Print("sudo of Switchtower's machines")),
                    'h' => other = Some(Self::Print(USAGE)),
                    _ => return Err(format!("unknown option -{letter}; {USAGE}")),
                }
            }
        }
        let is_variable = |arg: &String| arg.split_once('=').is_some_and(|(name, _)| is_name(name));
        while let Some(arg) = args.next_if(is_variable) {
            options.set.extend(arg.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        options.command = args.collect();
        match other {
            // `sudo -k COMMAND` runs the command.
            Some(other) if options.command.is_empty() || other != Self::Nothing => Ok(other),
            _ if options.command.is_empty() && options.shell == Shell::None => Err(USAGE.to_owned()),
            _ => Ok(Self::Run(options)),
        }
    }
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl SudoOptions {
    /// Returns the request of a caller with these variables and this folder.
    pub(super) fn request(self, vars: impl Iterator<Item = (String, String)>, cwd: Option<PathBuf>) -> SudoRequest {
        let is_kept = |name: &str| {
            let keeps_home = self.keeps_env && !self.sets_home && self.shell != Shell::Login;
            match name {
                "HOME" => keeps_home,
                _ if OF_USER.contains(&name) => false,
                _ => {
                    self.keeps_env
                        || KEPT.contains(&name)
                        || name.starts_with("LC_")
                        || self.kept.iter().any(|kept| kept == name)
                }
            }
        };
        let mut env: BTreeMap<String, String> = vars.filter(|(name, _)| is_kept(name)).collect();
        env.extend(self.set);
        let cwd = cwd.and_then(|cwd| cwd.into_os_string().into_string().ok());
        SudoRequest { user: self.user, command: self.command, shell: self.shell, env, cwd }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> SudoRequest {
        let vars = [("FOO", "1"), ("HOME", "/home/user"), ("PATH", "/mine"), ("TERM", "xterm"), ("USER", "user")];
        let vars = vars.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        match Invocation::parse(line.split(' ').map(str::to_owned).collect()).unwrap() {
            Invocation::Run(options) => options.request(vars, Some("/here".into())),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn names(request: &SudoRequest) -> String {
        request.env.keys().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_end_where_the_command_begins_and_decide_about_its_variables() {
        for (line, user, command, kept) in [
            ("ls -la", "root", "ls -la", "TERM"),
            ("-n -u bob ls -u x", "bob", "ls -u x", "TERM"),
            ("-nEubob -- -x", "bob", "-x", "FOO HOME TERM"),
            ("-EH A=b env", "root", "env", "A FOO TERM"),
            ("--user=#5 --preserve-env=FOO,PATH id", "#5", "id", "FOO TERM"),
            ("-k true", "root", "true", "TERM"),
        ] {
            let made = request(line);
            assert_eq!((made.user.as_str(), made.command.join(" ").as_str()), (user, command), "{line}");
            assert_eq!((names(&made).as_str(), made.shell), (kept, Shell::None), "{line}");
        }
        assert_eq!(request("-i").shell, Shell::Login);
    }

    #[test]
    fn what_concerns_passwords_succeeds_and_what_is_unknown_is_refused() {
        let parse = |line: &str| Invocation::parse(line.split_whitespace().map(str::to_owned).collect());
        for line in ["-v", "-k", "-K", "-nv", "--validate"] {
            assert_eq!(parse(line), Ok(Invocation::Nothing), "{line}");
        }
        assert_eq!(parse("-l"), Ok(Invocation::Print(RULES)));
        for line in ["", "-b sleep", "--chroot=/x ls", "-u", "A=b"] {
            assert!(parse(line).unwrap_err().contains("usage: sudo"), "{line}");
        }
    }
}
