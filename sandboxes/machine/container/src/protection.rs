//! What the machine's first process gives up for itself and all its children, whatever runtime has started it.

use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr};
use landlock::{RulesetCreatedAttr, RulesetStatus, Scope};
use switchtower_jail::{Layer, filter_machine_calls};

use crate::layers;
use crate::report::{InStep, LaunchError};

/// Restricts files and system calls of this process, for good. Returns the layers.
///
/// # Errors
/// System calls could not be filtered.
pub fn protect() -> Result<Vec<Layer>, LaunchError> {
    let landlock = restrict_files();
    let seccomp = filter_machine_calls();
    seccomp.clone().during("seccomp")?;
    Ok(vec![layers::layer("landlock", landlock), layers::layer("seccomp", seccomp)])
}

/// Forbids new devices, and abstract sockets and signals across the machine's border, whatever other layers allow.
fn restrict_files() -> Result<(), String> {
    let handled = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::Refer;
    // Without a rule for it, no file could be moved to another folder.
    let allowed = PathBeneath::new(PathFd::new("/").map_err(|error| error.to_string())?, AccessFs::Refer);
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(handled)
        .and_then(|rules| rules.scope(Scope::from_all(ABI::V6)))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rule(allowed))
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|error| error.to_string())?;
    match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err("this kernel has no Landlock".to_owned()),
    }
}
