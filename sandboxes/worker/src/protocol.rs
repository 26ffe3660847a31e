//! The protocol version, and the first frame of a worker: its ready report, which contains the worker's protocol.
//!
//! The executable of a worker can be of another version than the process that starts it: the scientific tier is
//! installed separately, and an upgrade replaces files under a running server. The beginning of a ready report
//! therefore has a format that never changes: `MAGIC`, then the protocol (postcard, `u32`) and the version (postcard,
//! `String`). The rest belongs to that protocol. Workers from before protocol versions began with another byte.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::jail::Layer;
use crate::process::StartError;

/// The protocol of this version. Raise it with every change of the data between parent and worker: a frame, a type of
/// the contract in it, the settings in an argument, what code of ours that a worker runs expects of its Python. A test compares it
/// with the frames' bytes.
pub const PROTOCOL: u32 = 4;
/// The version that a worker reports, for messages. Only the protocol decides whether it is used.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The first bytes of every ready report. No frame from before protocol versions begins with these.
const MAGIC: &[u8] = b"switchtower worker\n";

/// The content of the first frame: the layers of the jail once the worker can run programs, or why it cannot start.
pub(crate) type Started = Result<Vec<Layer>, String>;

/// A worker of another protocol version. It gets no programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolMismatch {
    /// `None`: the worker is from before protocol versions.
    pub protocol: Option<u32>,
    pub version: Option<String>,
}

impl fmt::Display for ProtocolMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.protocol, &self.version) {
            (Some(protocol), Some(version)) => write!(f, "the worker (version {version}) uses protocol {protocol}")?,
            (Some(protocol), None) => write!(f, "the worker uses protocol {protocol}")?,
            (None, _) => write!(f, "the worker is older than protocol versions")?,
        }
        write!(f, ", this switchtower (version {VERSION}) uses protocol {PROTOCOL}")
    }
}

/// Checks that a worker uses this version's protocol.
///
/// # Errors
/// It uses another one.
pub fn check(protocol: Option<u32>, version: Option<&str>) -> Result<(), ProtocolMismatch> {
    if protocol == Some(PROTOCOL) {
        Ok(())
    } else {
        Err(ProtocolMismatch { protocol, version: version.map(str::to_owned) })
    }
}

/// Returns the bytes of a ready report, without the frame's prefix.
pub(crate) fn encode(started: &Started) -> io::Result<Vec<u8>> {
    let bytes = postcard::to_extend(&(PROTOCOL, VERSION), MAGIC.to_vec());
    bytes.and_then(|bytes| postcard::to_extend(started, bytes)).map_err(io::Error::other)
}

/// Reads the first frame of a worker: the layers of its jail, or why the worker is not used. `update` is the end of a
/// sentence: how to install a worker of this version.
///
/// # Errors
/// `Protocol`: it is of another version, so the rest of the frame is not read. `Failed`: it cannot start, with the
/// reason.
pub(crate) fn accept(frame: &[u8], update: &str) -> Result<Vec<Layer>, StartError> {
    let refuse = |mismatch| StartError::Protocol { mismatch, update: update.to_owned() };
    let greeting = frame.strip_prefix(MAGIC).and_then(|rest| postcard::take_from_bytes::<Greeting>(rest).ok());
    let Some((Greeting { protocol, version }, rest)) = greeting else {
        return Err(refuse(ProtocolMismatch { protocol: None, version: None }));
    };
    check(Some(protocol), Some(&version)).map_err(refuse)?;
    let started: Started = postcard::from_bytes(rest)
        .map_err(|error| StartError::Failed(format!("its ready report is damaged: {error}")))?;
    started.map_err(StartError::Failed)
}

/// What follows `MAGIC` in the ready report of every version.
#[derive(Serialize, Deserialize)]
struct Greeting {
    protocol: u32,
    version: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPDATE: &str = "`install` installs this version's";

    fn refusal(frame: &[u8]) -> String {
        accept(frame, UPDATE).unwrap_err().to_string()
    }

    fn report_of(protocol: u32, version: &str, rest: &[u8]) -> Vec<u8> {
        [MAGIC.to_vec(), postcard::to_stdvec(&(protocol, version)).unwrap(), rest.to_vec()].concat()
    }

    #[test]
    fn a_worker_of_this_version_is_accepted_with_its_layers_or_its_reason() {
        let layers = vec![Layer { name: "seccomp".into(), status: Err("no".into()) }];
        assert_eq!(accept(&encode(&Ok(layers.clone())).unwrap(), UPDATE).unwrap(), layers);
        let failed = encode(&Err("a package is missing".into())).unwrap();
        assert_eq!(refusal(&failed), "the worker cannot start: a package is missing");
    }

    #[test]
    fn a_worker_of_another_protocol_is_refused_with_the_update_regardless_of_the_rest() {
        for rest in [&b""[..], b"\xff\xff\xff", &encode(&Err("its settings cannot be read".into())).unwrap()] {
            let message = refusal(&report_of(PROTOCOL + 1, "9.9.9", rest));
            let expected = format!("the worker (version 9.9.9) uses protocol {}, this switchtower", PROTOCOL + 1);
            assert!(message.starts_with(&expected) && message.ends_with(UPDATE), "{message}");
        }
        // Another version with the same protocol is accepted.
        assert!(accept(&report_of(PROTOCOL, "9.9.9", &[0, 0]), UPDATE).is_ok());
    }

    #[test]
    fn a_worker_from_before_protocol_versions_is_refused_with_the_update() {
        // A ready report with one layer, a failure, and frames that no version has sent.
        for frame in [&b"\x00\x01\x07seccomp\x00"[..], b"\x01\x1bits settings cannot be read", b"", MAGIC] {
            let message = refusal(frame);
            assert!(
                message.starts_with("the worker is older than protocol versions") && message.ends_with(UPDATE),
                "{message}"
            );
        }
    }

    #[test]
    fn a_damaged_report_of_this_version_is_an_error_and_no_panic() {
        assert!(refusal(&report_of(PROTOCOL, VERSION, b"\xff")).contains("damaged"));
    }
}
