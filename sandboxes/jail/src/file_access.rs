//! Landlock: which files a process can open, independent of all other layers.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

/// The newest version that is used; older kernels have fewer rights.
const RIGHTS: ABI = ABI::V6;

/// The files and folders that may be read, and those that may be written.
#[derive(Debug, Default)]
pub(crate) struct FileAccess {
    pub(crate) read: Vec<PathBuf>,
    pub(crate) write: Vec<PathBuf>,
}

impl FileAccess {
    /// Restricts this process and its children to these files, for good, and forbids network ports, and signals and abstract
    /// sockets of other processes.
    pub(crate) fn restrict(&self) -> Result<(), String> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let devices = AccessFs::ReadFile | AccessFs::WriteFile;
        let write = AccessFs::from_all(RIGHTS)
            & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock | AccessFs::IoctlDev);
        let status = rules()
            .and_then(|rules| allow(rules, &self.read, read))
            .and_then(|rules| allow(rules, &self.write, write))
            .and_then(|rules| allow(rules, &crate::system_paths::devices().collect::<Vec<_>>(), devices))
            .and_then(RulesetCreated::restrict_self)
            .map_err(|e| e.to_string())?;
        match status.ruleset {
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
            RulesetStatus::NotEnforced => Err("this kernel has no Landlock".into()),
        }
    }
}

fn rules() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RIGHTS))?
        .handle_access(AccessNet::from_all(RIGHTS))?
        .scope(Scope::from_all(RIGHTS))?
        .create()
}

fn allow(
    rules: RulesetCreated,
    paths: &[impl AsRef<Path>],
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    // A path that does not exist needs no rule.
    let paths = paths.iter().filter_map(|path| Some((PathFd::new(path).ok()?, path.as_ref())));
    paths.into_iter().try_fold(rules, |rules, (opened, path)| {
        let of_files = AccessFs::from_file(RIGHTS);
        rules.add_rule(PathBeneath::new(opened, if path.is_dir() { access } else { access & of_files }))
    })
}
