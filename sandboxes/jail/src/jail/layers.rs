//! The report of the layers of the jail.

use switchtower_worker::jail::Layer;

use super::Jail;
use crate::config::JailProfile;

impl Jail {
    /// Returns the report of all layers.
    pub(super) fn report_layers(&self, landlock: Result<(), String>, group: Result<(), String>) -> Vec<Layer> {
        let layer = |name: &str, status| Layer { name: name.to_owned(), status };
        let full = match self.profile {
            JailProfile::Full => Ok(()),
            JailProfile::Reduced => Err(self.reduced_reason.clone()),
        };
        let threads = match (self.profile, self.own_user) {
            (JailProfile::Full, _) => Ok(()),
            (JailProfile::Reduced, true) => Err("all children share the kernel's limit; each is watched".to_owned()),
            (JailProfile::Reduced, false) => Err("the user has other processes; each child is watched".to_owned()),
        };
        let user = if self.own_user || full.is_ok() { Ok(()) } else { Err(self.no_own_user.clone()) };
        let capabilities = self.capabilities.clone().map(drop);
        let mut layers: Vec<Layer> =
            ["user namespace", "mount namespace", "network namespace", "pid namespace", "ipc namespace", "file tree"]
                .map(|name| layer(name, full.clone()))
                .into();
        layers.extend([
            layer("limit of private files", full.clone().map_err(|_| "each child is watched".to_owned())),
            layer("limit of threads", threads),
            layer("own user", user),
            layer("no capabilities", capabilities),
            layer("resource limits", Ok(())),
            layer("no new privileges", Ok(())),
            layer("dies with its parent", Ok(())),
            layer("not traceable", Ok(())),
            layer("landlock", landlock),
            layer("seccomp", Ok(())),
            layer("cgroup", group),
        ]);
        layers
    }
}
