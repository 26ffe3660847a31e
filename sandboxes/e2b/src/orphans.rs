//! Sandboxes that nobody holds any more: those of processes that have ended, and those that this process lost sight of.
//!
//! A process that can be seen to have ended leaves sandboxes that are ended at once. Of one that cannot be seen (it ran in
//! another container, or before the machine started anew) nobody knows whether it lives; but a living one renews what it
//! has. What runs, E2B itself ends when it was not renewed for its lifetime. What is paused, nobody would ever end: a living
//! process wakes it for a moment before [`LEASE`] is half over, so what has been paused for longer is nobody's.

use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, stream};

use crate::account::Account;
use crate::cause::Trouble;
use crate::control::Listed;
use crate::identity::{Identity, Liveness, MANAGED, PROCESS};

/// How long a paused sandbox of a process that cannot be seen is left alone.
pub(crate) const LEASE: Duration = Duration::from_secs(24 * 3600);
/// Sandboxes that are ended at the same time.
const AT_ONCE: usize = 8;

/// Whether the service answers and takes the key.
pub(crate) async fn reach(account: &Account) -> Result<(), Trouble> {
    account.control.list(&[MANAGED]).await.map(drop)
}

/// Ends the sandboxes that nobody holds any more. How many there were.
pub(crate) async fn sweep(account: &Account, identity: &Identity) -> Result<usize, Trouble> {
    let mut listed = account.control.list(&[MANAGED]).await?;
    // After the listing: what has been made or ended meanwhile is known by now.
    account.seen(&listed, &identity.process);
    let now = account.now();
    listed.retain(|sandbox| is_left(sandbox, identity, now, |sandbox| account.has_lost(sandbox)));
    let ended = stream::iter(listed).map(async |sandbox| {
        let ended = account.kill(&sandbox.id).await.is_ok();
        if ended {
            tracing::warn!(
                target: "e2b_metrics", event = "sandbox_orphan_killed", sandboxId = sandbox.id, state = sandbox.state,
                "[E2B_METRICS]"
            );
            account.swept(&sandbox.id);
        }
        ended
    });
    let ended: Vec<bool> = ended.buffer_unordered(AT_ONCE).collect().await;
    Ok(ended.into_iter().filter(|ended| *ended).count())
}

/// Whether nobody holds it. `is_lost`: of one of this process's own.
fn is_left(sandbox: &Listed, identity: &Identity, now: SystemTime, is_lost: impl Fn(&Listed) -> bool) -> bool {
    let Some(process) = sandbox.metadata.get(PROCESS) else { return false };
    if *process == identity.process {
        return is_lost(sandbox);
    }
    match (identity.lives)(process) {
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

    fn listed(process: &str, state: &str, end: &str) -> Listed {
        let metadata = serde_json::json!({ PROCESS: process, MANAGED.0: MANAGED.1 });
        let body = serde_json::json!({ "sandboxID": "i1", "state": state, "endAt": end, "metadata": metadata });
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn what_a_process_that_cannot_be_seen_has_paused_is_left_alone_for_a_day_and_what_it_runs_for_ever() {
        let lives = |process: &str| match process {
            "dead" => Liveness::Dead,
            "alive" => Liveness::Alive,
            _ => Liveness::Unknown,
        };
        let identity = Identity { owner: "o".to_owned(), process: "own".to_owned(), lives: Arc::new(lives) };
        let (end, day) = ("2026-11-20T10:00:00Z", Duration::from_secs(24 * 3600));
        let ended = UNIX_EPOCH + Duration::from_secs(1_795_168_800);
        let left = |process, state, since: Duration| {
            is_left(&listed(process, state, end), &identity, ended + since, |_| process == "own" && state == "paused")
        };
        assert!(left("dead", "running", Duration::ZERO));
        assert!(!left("alive", "paused", day * 9));
        assert!(!left("elsewhere", "paused", day - Duration::from_secs(1)));
        assert!(left("elsewhere", "paused", day));
        assert!(!left("elsewhere", "running", day * 9), "its lifetime ends it");
        assert!(left("own", "paused", Duration::ZERO) && !left("own", "running", day));
        // A service that does not tell when is left alone.
        let mut silent = listed("elsewhere", "paused", "");
        assert!(!is_left(&silent, &identity, ended + day * 9, |_| false));
        silent.metadata.clear();
        assert!(!is_left(&silent, &identity, ended + day * 9, |_| true), "it is none of ours");
    }
}
