//! The Python sources of state transfer as text, because kernels in other sandboxes do not have these files.

use serde_json::json;

/// Names and texts of modules, in the order in which they are loaded.
type Sources = [(&'static str, &'static str)];

macro_rules! source {
    ($path:literal) => {
        include_str!(concat!("../../../../../sandboxes/python/transfer/_switchtower/state_transfer", $path))
    };
}

/// The module that creates the other modules from their texts.
const LOADER: &str = source!("/restore/modules.py");

/// The modules that run the cells again and overwrite values that differ.
const RESTORE: &Sources = &[
    ("modules", source!("/restore/modules.py")),
    ("errors", source!("/restore/errors.py")),
    ("source", source!("/restore/source.py")),
    ("files", source!("/restore/files.py")),
    ("suppress", source!("/restore/suppress.py")),
    ("replay", source!("/restore/replay.py")),
    ("settings", source!("/restore/settings.py")),
    ("taint", source!("/restore/taint.py")),
    ("prediction", source!("/restore/prediction.py")),
    ("holders", source!("/restore/holders.py")),
    ("reconcile", source!("/restore/reconcile.py")),
    ("restore", source!("/restore/restore.py")),
];

/// The modules that compute digests. An exported state contains the text that computed its digests, which equals this one if
/// both come from one build.
const DIGEST: &Sources = &[
    ("view", source!("/digest/view.py")),
    ("encoder", source!("/digest/encoder.py")),
    ("definitions", source!("/digest/definitions.py")),
    ("objects", source!("/digest/objects.py")),
    ("values", source!("/digest/values.py")),
    ("forms", source!("/digest/forms.py")),
    ("streams", source!("/digest/streams.py")),
    ("threads", source!("/digest/threads.py")),
    ("databases", source!("/digest/databases.py")),
    ("registries", source!("/digest/registries.py")),
    ("suspended", source!("/digest/suspended.py")),
    ("arrays", source!("/digest/arrays.py")),
    ("table", source!("/digest/table.py")),
    ("groups", source!("/digest/groups.py")),
];

/// The name of the restoring package in `sys.modules`, and of the variable for it while it runs.
const NAME: &str = "_switchtower_restore";

/// Returns code that prepares a machine's kernel for a restore. Parsing the sources ahead saves tens of milliseconds in each
/// move.
pub fn restore_prelude() -> String {
    let (loader, restore, digest) = (json!(LOADER), json!(RESTORE), json!(DIGEST));
    format!(
        "(lambda names, sys: (exec({loader}, names), sys.modules.__setitem__('{NAME}', names['load']('{NAME}', \
         {restore})), sys.modules['{NAME}'].restore.prepare({digest})))({{}}, __import__('sys'))[0]\n"
    )
}

/// Returns code that prints a verdict on the restore of a state, to be run in the kernel that exported it. `request` is a Python
/// expression: the JSON text.
pub(super) fn predict(request: &str) -> String {
    const NEEDED: [&str; 4] = ["modules", "source", "taint", "prediction"];
    let needed: Vec<_> = RESTORE.iter().filter(|(name, _)| NEEDED.contains(name)).collect();
    let (loader, needed) = (json!(LOADER), json!(needed));
    format!(
        "from _switchtower import own_modules\n\
         names = {{}}\nexec({loader}, names)\n\
         package = names['load']('_switchtower_prediction', {needed})\n\
         for part in [part for part in vars(package).values() if type(part) is type(own_modules)]:\n    \
             own_modules.keep_in(vars(part))\n\
         print(package.prediction.predict({request}))\n"
    )
}

/// Returns code that restores a state and prints the verdict. `request` is a Python expression: the JSON text, or the path of a
/// file with it.
pub(super) fn restore(request: &str) -> String {
    let (loader, restore) = (json!(LOADER), json!(RESTORE));
    format!(
        "{NAME} = __import__('sys').modules.pop('{NAME}', None)\n\
         if {NAME} is None:\n    \
             {NAME} = {{}}\n    \
             exec({loader}, {NAME})\n    \
             {NAME} = {NAME}['load']('{NAME}', {restore})\n\
         print({NAME}.restore.restore({request}))\n"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    const FOLDER: &str = "sandboxes/python/transfer/_switchtower/state_transfer";

    #[test]
    fn every_module_of_the_transfer_is_sent() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(FOLDER);
        for (part, sources) in [("digest", DIGEST), ("restore", RESTORE)] {
            let files = std::fs::read_dir(root.join(part)).unwrap().map(|entry| entry.unwrap().path());
            let names: BTreeSet<_> = files
                .filter(|path| path.extension().is_some_and(|kind| kind == "py"))
                .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            assert_eq!(names, sources.iter().map(|(name, _)| (*name).to_owned()).collect(), "{part}");
        }
    }
}
