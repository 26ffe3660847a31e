//! The protocol version, and the first frame of a worker: its ready report, which says which protocol it speaks.
//!
//! The executable of a worker can be of another version than the process that starts it: the scientific tier is installed on
//! its own, and an upgrade replaces files under a running server. The beginning of a ready report therefore has a form that
//! never changes: `MAGIC`, then the protocol (postcard, `u32`) and the version (postcard, `String`). What follows belongs
//! to that protocol. WorkerPool from before there were protocol versions began with another byte.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::jail::Layer;
use crate::process::StartError;

/// The protocol that this version speaks. Raise it with every change of what crosses to a worker and back: a frame, a type of
/// the contract in it, the settings in an argument. A test holds it against the frames' bytes.
pub const PROTOCOL: u32 = 1;
/// The version that a worker reports, for messages. The protocol alone decides.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How every ready report begins. No frame from before there were protocol versions begins with this.
const MAGIC: &[u8] = b"switchtower worker\n";

/// What a worker sends first: the layers of its jail once it can take programs, or why it cannot start.
pub(crate) type Started = Result<Vec<Layer>, String>;

/// A worker of another protocol version. It gets no programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolMismatch {
    /// `None`: it is from before there were protocol versions.
    pub protocol: Option<u32>,
    pub version: Option<String>,
}

impl fmt::Display for ProtocolMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.protocol, &self.version) {
            (Some(protocol), Some(version)) => write!(f, "the worker (version {version}) speaks protocol {protocol}")?,
            (Some(protocol), None) => write!(f, "the worker speaks protocol {protocol}")?,
            (None, _) => write!(f, "the worker is older than protocol versions")?,
        }
        write!(f, ", this switchtower (version {VERSION}) speaks protocol {PROTOCOL}")
    }
}

/// Checks that a worker speaks this version's protocol.
///
/// # Errors
/// It speaks another.
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

/// Decides what the first frame of a worker means: the layers of its jail, or why it is not used. `update` says how a worker
/// of this version is installed, as a sentence's end.
///
/// # Errors
/// `Protocol`: it is of another version; whatever else it says cannot be understood. `Failed`: it cannot start, and why.
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
    fn a_worker_of_another_protocol_is_refused_with_the_update_whatever_it_says_besides() {
        for rest in [&b""[..], b"\xff\xff\xff", &encode(&Err("its settings cannot be read".into())).unwrap()] {
            let said = refusal(&report_of(PROTOCOL + 1, "9.9.9", rest));
            let expected = format!("the worker (version 9.9.9) speaks protocol {}, this switchtower", PROTOCOL + 1);
            assert!(said.starts_with(&expected) && said.ends_with(UPDATE), "{said}");
        }
        // A version with the same protocol is as good as this one.
        assert!(accept(&report_of(PROTOCOL, "9.9.9", &[0, 0]), UPDATE).is_ok());
    }

    #[test]
    fn a_worker_from_before_there_were_protocol_versions_is_refused_with_the_update() {
        // Its ready report with one layer, its failure, and what no version has sent.
        for frame in [&b"\x00\x01\x07seccomp\x00"[..], b"\x01\x1bits settings cannot be read", b"", MAGIC] {
            let said = refusal(frame);
            assert!(said.starts_with("the worker is older than protocol versions") && said.ends_with(UPDATE), "{said}");
        }
    }

    #[test]
    fn a_damaged_report_of_this_version_is_an_error_and_no_panic() {
        assert!(refusal(&report_of(PROTOCOL, VERSION, b"\xff")).contains("damaged"));
    }
}
