//! The configuration of an image: its processor, and what its programs expect.

use serde::Deserialize;

use crate::error::ImportError;

/// Most bytes of all variables of an image: they are arguments of the first process of machines.
const MAX_ENV: usize = 32 << 10;
/// Variables that a machine sets for the user of each program.
const OWN: [&str; 4] = ["HOME", "USER", "LOGNAME", "HOSTNAME"];

/// The configuration of an image, as far as it is used.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ImageConfig {
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    config: Option<Execution>,
    #[serde(default)]
    pub(crate) rootfs: Layers,
}

#[derive(Debug, Default, Deserialize)]
struct Execution {
    #[serde(default, rename = "Env")]
    env: Option<Vec<String>>,
}

/// The digests of the layers before compression.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Layers {
    #[serde(default)]
    pub(crate) diff_ids: Vec<String>,
}

impl ImageConfig {
    /// Returns the variables of the image, without those of users.
    ///
    /// # Errors
    /// They are malformed or too many.
    pub(crate) fn env(&self) -> Result<Vec<(String, String)>, ImportError> {
        let lines = self.config.as_ref().and_then(|config| config.env.as_deref()).unwrap_or_default();
        let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
        if bytes > MAX_ENV {
            return Err(ImportError::new(format!(
                "the variables of the image have {bytes} bytes: {MAX_ENV} are allowed"
            )));
        }
        let mut env = Vec::new();
        for line in lines {
            let pair = line.split_once('=').filter(|(name, _)| !name.is_empty() && !line.contains('\0'));
            let (name, value) =
                pair.ok_or_else(|| ImportError::new(format!("the variable {line:?} of the image is not NAME=VALUE")))?;
            if !OWN.contains(&name) {
                env.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(env)
    }

    /// Checks that this machine runs the image's programs.
    pub(crate) fn check_platform(&self) -> Result<(), ImportError> {
        let (here, os) = (architecture(), self.os.as_str());
        if (self.architecture.as_str(), os) == (here, "linux") {
            return Ok(());
        }
        let reason = format!("the image is for {os}/{}: this machine runs linux/{here}", self.architecture);
        Err(ImportError::new(reason).with_remedy(format!("get it for this machine: `--platform linux/{here}`")))
    }
}

/// Returns the name that images have for the processor of this machine.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
