//! Orphans: sandboxes of processes that have ended, and sandboxes that this process has lost.
//!
//! Sandboxes of a process that is known to have ended are ended at once. Whether a process in another container, or
//! from before a reboot, still runs is not known here, but a running process renews its sandboxes. E2B itself ends a
//! running sandbox that was not renewed for its lifetime. It never ends a paused one: a running process resumes each of
//! its paused sandboxes for a moment before half of [`LEASE`] has passed, so one that was paused for longer is an
//! orphan.

use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, stream};

use crate::account::Account;
use crate::control::ListedSandbox;
use crate::error::CallError;
use crate::identity::{Identity, Liveness, MANAGED, PROCESS};

/// The time after which a paused sandbox whose process may still run counts as an orphan.
pub(crate) const LEASE: Duration = Duration::from_secs(24 * 3600);
/// Sandboxes that are ended in parallel.
const PARALLEL_KILLS: usize = 8;

/// Checks that the service responds and accepts the key.
pub(crate) async fn check_access(account: &Account) -> Result<(), CallError> {
    account.control.list(&[MANAGED]).await.map(drop)
}

/// Ends all orphans. Returns how many were ended.
pub(crate) async fn sweep(account: &Account, identity: &Identity) -> Result<usize, CallError> {
    let mut listed = account.control.list(&[MANAGED]).await?;
    // After the list: creations and ends that happened meanwhile are recorded by now.
    account.reconcile(&listed, &identity.process);
    let now = account.now();
    listed.retain(|sandbox| is_orphan(sandbox, identity, now, |sandbox| account.is_lost(sandbox)));
    let ended = stream::iter(listed).map(async |sandbox| {
        let ended = account.kill(&sandbox.id).await.is_ok();
        if ended {
            tracing::warn!(
                target: "e2b_metrics", event = "sandbox_orphan_killed", sandboxId = sandbox.id, state = sandbox.state,
                "[E2B_METRICS]"
            );
            account.record_swept(&sandbox.id);
        }
        ended
    });
    let ended: Vec<bool> = ended.buffer_unordered(PARALLEL_KILLS).collect().await;
    Ok(ended.into_iter().filter(|ended| *ended).count())
}

/// Whether a sandbox is an orphan. `is_lost` decides for sandboxes of this process.
fn is_orphan(
    sandbox: &ListedSandbox,
    identity: &Identity,
    now: SystemTime,
    is_lost: impl Fn(&ListedSandbox) -> bool,
) -> bool {
    let Some(process) = sandbox.metadata.get(PROCESS) else { return false };
    if *process == identity.process {
        return is_lost(sandbox);
    }
    match (identity.liveness)(process) {
        Liveness::Alive => false,
        Liveness::Dead => true,
        Liveness::Unknown => {
            let ended = sandbox.ends().filter(|_| sandbox.state == "paused");
            ended.is_some_and(|ended| now.duration_since(ended).is_ok_and(|since| since >= LEASE))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::UNIX_EPOCH;

    use super::*;

    fn listed(process: &str, state: &str, end: &str) -> ListedSandbox {
        let metadata = serde_json::json!({ PROCESS: process, MANAGED.0: MANAGED.1 });
        let body = serde_json::json!({ "sandboxID": "i1", "state": state, "endAt": end, "metadata": metadata });
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn a_paused_sandbox_of_an_unknown_process_is_an_orphan_after_a_day_and_a_running_one_never() {
        let liveness = |process: &str| match process {
            "dead" => Liveness::Dead,
            "alive" => Liveness::Alive,
            _ => Liveness::Unknown,
        };
        let identity = Identity { owner: "o".to_owned(), process: "own".to_owned(), liveness: Arc::new(liveness) };
        let (end, day) = ("2026-11-20T10:00:00Z", Duration::from_secs(24 * 3600));
        let ended = UNIX_EPOCH + Duration::from_secs(1_795_168_800);
        let orphan = |process, state, since: Duration| {
            is_orphan(&listed(process, state, end), &identity, ended + since, |_| process == "own" && state == "paused")
        };
        assert!(orphan("dead", "running", Duration::ZERO));
        assert!(!orphan("alive", "paused", day * 9));
        assert!(!orphan("elsewhere", "paused", day - Duration::from_secs(1)));
        assert!(orphan("elsewhere", "paused", day));
        assert!(!orphan("elsewhere", "running", day * 9), "its lifetime ends it");
        assert!(orphan("own", "paused", Duration::ZERO) && !orphan("own", "running", day));
        // Without a time from the service, it is left alone.
        let mut silent = listed("elsewhere", "paused", "");
        assert!(!is_orphan(&silent, &identity, ended + day * 9, |_| false));
        silent.metadata.clear();
        assert!(!is_orphan(&silent, &identity, ended + day * 9, |_| true), "it belongs to no process of ours");
    }
}
