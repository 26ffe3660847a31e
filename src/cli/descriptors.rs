//! The limit on open files of this process, each of whose connections needs one.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Files that a server needs besides those of client connections: for workers, cloud connections and logs.
const OTHERS: u64 = 256;

/// Raises the soft limit on open files to the hard one.
pub(super) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
}

/// Returns the number of connections that the limit allows and a message, if that is fewer than `wanted`. `others`: those of
/// other listeners, which come first.
pub(super) fn shortage(wanted: usize, others: usize) -> Option<(usize, String)> {
    let limit = getrlimit(Resource::Nofile).current?;
    short(wanted, limit.saturating_sub(others as u64))
}

fn short(wanted: usize, limit: u64) -> Option<(usize, String)> {
    let most = limit.saturating_sub(OTHERS).max(limit / 2).max(1);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let needed = u64::try_from(wanted).unwrap_or(u64::MAX).saturating_add(OTHERS);
    (wanted > most).then(|| {
        let sentence = format!(
            "http.max_connections is {wanted}, but this process may open {limit} files: it serves {most} connections at once; \
             `ulimit -Hn {needed}` (LimitNOFILE= for systemd) allows all of them"
        );
        (most, sentence)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_is_reported_with_what_it_allows() {
        assert_eq!(short(1024, 20_000), None);
        assert_eq!(short(0, 0), None);
        assert_eq!(short(100, 100).unwrap().0, 50);
        let (most, sentence) = short(20_000, 20_000).unwrap();
        assert_eq!(most, 19_744);
        insta::assert_snapshot!(sentence, @"http.max_connections is 20000, but this process may open 20000 files: it serves 19744 connections at once; `ulimit -Hn 20256` (LimitNOFILE= for systemd) allows all of them");
    }
}
