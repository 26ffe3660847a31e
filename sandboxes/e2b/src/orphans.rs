//! Sandboxes that processes left which are no more: a later one of the same owner ends them.

use crate::account::Account;
use crate::cause::Trouble;
use crate::control::Listed;
use crate::identity::{Identity, OWNER, PROCESS};

/// The sandboxes of this owner whose process is no more.
pub(crate) async fn left(account: &Account, identity: &Identity) -> Result<Vec<Listed>, Trouble> {
    let mut listed = account.control.list(&[(OWNER, &identity.owner)]).await?;
    let is_left = |process: &String| *process != identity.process && !(identity.lives)(process);
    listed.retain(|sandbox| sandbox.metadata.get(PROCESS).is_some_and(is_left));
    Ok(listed)
}

/// Ends the sandboxes that processes of this owner left which are no more. How many there were.
pub(crate) async fn sweep(account: &Account, identity: &Identity) -> Result<usize, Trouble> {
    let mut swept = 0;
    for sandbox in left(account, identity).await? {
        if account.kill(&sandbox.id).await.is_ok() {
            tracing::warn!(
                target: "e2b_metrics", event = "sandbox_orphan_killed", sandboxId = sandbox.id, state = sandbox.state,
                "[E2B_METRICS]"
            );
            account.swept();
            swept += 1;
        }
    }
    Ok(swept)
}
