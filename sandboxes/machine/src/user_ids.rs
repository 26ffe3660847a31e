//! User ids of the host for the users of machines.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use switchtower_container::Ids;

/// The first of the ids of machines started by root: above those of jailed workers, in a range that is assigned neither by
/// systems nor to containers or dynamic users.
const FIRST: u32 = 1_937_047_552 + (1 << 20);
/// Ids of one machine.
const COUNT: u32 = 1 << 16;
/// Ranges in use at once.
const RANGES: u32 = 2000;

/// The ranges of ids that machines may have.
#[derive(Debug)]
pub(crate) struct UserIds {
    source: Source,
    used: Mutex<BTreeSet<u32>>,
}

#[derive(Debug)]
enum Source {
    /// A range for each machine.
    Ranges { first: u32, ranges: u32 },
    /// One range, which the host gives to the user: machines share it.
    Shared(Ids),
}

/// The ids of one machine. Dropping it frees them.
#[derive(Debug)]
pub(crate) struct IdRange {
    pub(crate) ids: Ids,
    number: Option<u32>,
    of: Arc<UserIds>,
}

impl UserIds {
    /// Returns those of this process, however many backends it has.
    pub(crate) fn of_process() -> Arc<Self> {
        static IDS: LazyLock<Arc<UserIds>> = LazyLock::new(|| Arc::new(UserIds::find()));
        Arc::clone(&IDS)
    }

    /// Finds the ids that this process may give to machines.
    fn find() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let is_root = rustix::process::geteuid().is_root();
        let user = rustix::process::getuid().as_raw();
        Self { source: source(is_root, user, &read), used: Mutex::default() }
    }

    /// Takes ids for a machine.
    pub(crate) fn take(self: &Arc<Self>) -> IdRange {
        match &self.source {
            Source::Shared(ids) => IdRange { ids: *ids, number: None, of: Arc::clone(self) },
            Source::Ranges { first, ranges } => {
                let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
                // Machines beyond the number of ranges share the last one.
                let number = (0..*ranges).find(|number| !used.contains(number)).unwrap_or(ranges - 1);
                used.insert(number);
                let ids = Ids::Range { first: first + number * COUNT, count: COUNT };
                IdRange { ids, number: Some(number), of: Arc::clone(self) }
            }
        }
    }
}

impl Drop for IdRange {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.of.used.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        }
    }
}

fn source(is_root: bool, user: u32, read: &dyn Fn(&str) -> String) -> Source {
    if is_root {
        // In a container with a user namespace, root has few ids.
        let mapped = ids_in(&read("/proc/self/uid_map"));
        let both = mapped.zip(ids_in(&read("/proc/self/gid_map")));
        return match both {
            Some(((_, users), (_, groups))) if users.min(groups) > FIRST + COUNT => {
                Source::Ranges { first: FIRST, ranges: RANGES.min((u32::MAX - FIRST) / COUNT - 1) }
            }
            Some(((_, users), (_, groups))) if users.min(groups) >= 2 * 4096 => {
                let half = users.min(groups) / 2;
                Source::Shared(Ids::Range { first: half, count: half })
            }
            _ => Source::Shared(Ids::Single),
        };
    }
    let name = name_of(user, &read("/etc/passwd"));
    let given = |path| given_range(&read(path), user, name.as_deref());
    match (given("/etc/subuid"), given("/etc/subgid")) {
        (Some((first, count)), Some(groups)) if (first, count) == groups && has_helpers() => {
            Source::Shared(Ids::Range { first, count })
        }
        _ => Source::Shared(Ids::Single),
    }
}

fn has_helpers() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    has("newuidmap") && has("newgidmap")
}

/// Returns the first line of a map of ids: its first id inside, and how many there are.
fn ids_in(map: &str) -> Option<(u32, u32)> {
    let mut fields = map.lines().next()?.split_whitespace();
    let (first, _, count) = (fields.next()?, fields.next()?, fields.next()?);
    Some((first.parse().ok()?, count.parse().ok()?))
}

fn name_of(user: u32, passwd: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(user)).then(|| name.to_owned())
    })
}

/// Returns the range that a file such as `/etc/subuid` gives to a user.
fn given_range(table: &str, user: u32, name: Option<&str>) -> Option<(u32, u32)> {
    table.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        let is_own = owner.parse() == Ok(user) || Some(owner) == name;
        let (first, count) = (first.parse().ok()?, count.parse::<u32>().ok()?);
        (is_own && count >= 4096).then_some((first, count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_of_root_has_ids_of_its_own_until_it_ends() {
        let ids = Arc::new(UserIds { source: Source::Ranges { first: 10, ranges: 3 }, used: Mutex::default() });
        let (one, two) = (ids.take(), ids.take());
        assert_eq!(one.ids, Ids::Range { first: 10, count: COUNT });
        assert_eq!(two.ids, Ids::Range { first: 10 + COUNT, count: COUNT });
        drop(one);
        assert_eq!(ids.take().ids, Ids::Range { first: 10, count: COUNT });
    }

    #[test]
    fn another_user_than_root_has_the_range_that_the_host_gives_it() {
        let table = "alice:100000:65536\nbob:165536:65536\n1002:231072:65536\nsmall:1:10\n";
        assert_eq!(given_range(table, 1001, Some("bob")), Some((165_536, 65_536)));
        assert_eq!(given_range(table, 1002, None), Some((231_072, 65_536)));
        assert_eq!(given_range(table, 1003, Some("small")), None);
        assert_eq!(name_of(7, "root:x:0:0::/:/bin/sh\nlp:x:7:7::/:/bin/false\n").as_deref(), Some("lp"));
    }

    #[test]
    fn root_in_a_container_with_few_ids_uses_half_of_them() {
        let few = |path: &str| if path.ends_with("id_map") { "0 100000 65536\n".to_owned() } else { String::new() };
        assert!(matches!(source(true, 0, &few), Source::Shared(Ids::Range { first: 32_768, count: 32_768 })));
        let one = |path: &str| if path.ends_with("id_map") { "0 1000 1\n".to_owned() } else { String::new() };
        assert!(matches!(source(true, 0, &one), Source::Shared(Ids::Single)));
    }
}
