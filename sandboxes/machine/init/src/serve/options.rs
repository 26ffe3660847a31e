//! The options of `serve`.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// The number of the inherited descriptor by which the backend is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BackendDescriptor {
    /// A listening Unix socket.
    Listening(i32),
    /// A connection that carries many streams, and whose end is the machine's.
    Connected(i32),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServeOptions {
    pub(super) backend: BackendDescriptor,
    /// The ids and the home folder of `user`.
    pub(super) user_id: u32,
    pub(super) group_id: u32,
    pub(super) user_home: String,
    /// Where commands of `sudo` are taken; `None`: nowhere.
    pub(super) sudo_socket: Option<String>,
    /// The port of the loopback for connections to the internet; `None`: there are none.
    pub(super) egress_port: Option<u16>,
    /// Variables that every program gets.
    pub(super) env: BTreeMap<String, String>,
    /// Whether this process gives up calls and files itself, because what started it has not done that.
    pub(super) is_protecting: bool,
}

impl ServeOptions {
    pub(super) fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut backend = None;
        let mut options = Self {
            backend: BackendDescriptor::Listening(-1),
            user_id: 1000,
            group_id: 1000,
            user_home: "/home/user".to_owned(),
            sudo_socket: None,
            egress_port: None,
            env: BTreeMap::new(),
            is_protecting: false,
        };
        while let Some(name) = args.next() {
            let name = name.into_string().map_err(|name| format!("unknown option {}", name.display()))?;
            if name == "--protect" {
                options.is_protecting = true;
                continue;
            }
            let value = args.next().and_then(|value| value.into_string().ok());
            let value = value.ok_or_else(|| format!("{name} needs a value"))?;
            let wrong = |error: std::num::ParseIntError| format!("{name} {value}: {error}");
            match name.as_str() {
                "--listen-fd" => {
                    backend = Some(BackendDescriptor::Listening(value.parse::<u16>().map_err(wrong)?.into()));
                }
                "--connection-fd" => {
                    backend = Some(BackendDescriptor::Connected(value.parse::<u16>().map_err(wrong)?.into()));
                }
                "--user-id" => options.user_id = value.parse().map_err(wrong)?,
                "--group-id" => options.group_id = value.parse().map_err(wrong)?,
                "--user-home" if value.starts_with('/') => options.user_home = value,
                "--user-home" => return Err(format!("--user-home {value}: write an absolute path")),
                "--egress-port" => options.egress_port = Some(value.parse().map_err(wrong)?),
                "--sudo-socket" => options.sudo_socket = Some(value),
                "--env" => {
                    let (name, value) =
                        value.split_once('=').ok_or_else(|| format!("--env {value}: write NAME=VALUE"))?;
                    options.env.insert(name.to_owned(), value.to_owned());
                }
                _ => return Err(format!("unknown option {name}")),
            }
        }
        options.backend = backend.ok_or(
            "--listen-fd is missing: write the number of the listening socket, or --connection-fd with that of a connection",
        )?;
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_is_not_understood_is_refused_with_its_name() {
        let parse = |line: &str| ServeOptions::parse(line.split_whitespace().map(OsString::from));
        let options = parse("--listen-fd 3 --user-id 7 --group-id 8 --user-home /u --env A=b=c").unwrap();
        assert_eq!((options.user_id, options.group_id), (7, 8));
        assert_eq!(options.backend, BackendDescriptor::Listening(3));
        assert_eq!(parse("--connection-fd 0").unwrap().backend, BackendDescriptor::Connected(0));
        assert_eq!((options.user_home.as_str(), options.env["A"].as_str()), ("/u", "b=c"));
        for (line, named) in [
            ("", "--listen-fd"),
            ("--listen-fd -1", "--listen-fd"),
            ("--listen-fd", "--listen-fd"),
            ("--user-home u", "--user-home"),
            ("--env A", "--env"),
            ("--port 3", "--port"),
            ("--listen-fd 3 --egress-port 65536", "--egress-port"),
        ] {
            assert!(parse(line).unwrap_err().contains(named), "{line}");
        }
    }
}
