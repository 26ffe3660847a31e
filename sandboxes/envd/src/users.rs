//! The users of a machine, as `/etc/passwd` and `/etc/group` list them. Both files are read at each use, because programs change them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid};

/// Most bytes that are read of a list of users or groups.
const MAX_LIST_BYTES: usize = 1 << 20;

/// A user of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// An absolute path of the machine.
    pub home: String,
    /// Ids of further groups.
    pub groups: Vec<u32>,
}

/// The users of a machine.
#[derive(Debug, Clone)]
pub enum Users {
    /// Those of the lists in a folder like `/etc`, and these, which take precedence and need no list.
    Listed { folder: PathBuf, own: Vec<User> },
    /// One, by whatever name a caller uses.
    Single(User),
}

impl Users {
    /// Returns the user with a name.
    pub fn named(&self, name: &str) -> Option<User> {
        let (folder, own) = match self {
            Self::Single(user) => return Some(user.clone()),
            Self::Listed { folder, own } => (folder, own),
        };
        let mut user = match own.iter().find(|user| user.name == name) {
            Some(user) => user.clone(),
            None => lines(&folder.join("passwd")).find_map(|fields| {
                let [listed, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
                let home = if home.starts_with('/') { home.clone() } else { "/".to_owned() };
                (listed == name).then(|| {
                    Some(User {
                        name: name.to_owned(),
                        uid: uid.parse().ok()?,
                        gid: gid.parse().ok()?,
                        home,
                        groups: Vec::new(),
                    })
                })?
            })?,
        };
        let is_member =
            |fields: &Vec<String>| fields.get(3).is_some_and(|members| members.split(',').any(|member| member == name));
        let groups = lines(&folder.join("group")).filter(is_member);
        user.groups.extend(groups.filter_map(|fields| fields.get(2)?.parse::<u32>().ok()));
        Some(user)
    }

    /// Returns the names of owners and groups of files.
    pub(crate) fn names(&self) -> OwnerNames {
        let (folder, own) = match self {
            Self::Single(user) => return OwnerNames::Single(user.name.clone()),
            Self::Listed { folder, own } => (folder, own),
        };
        let listed = |list: &str| {
            // The first line of an id counts.
            let mut names = HashMap::new();
            for fields in lines(&folder.join(list)) {
                if let [name, _, id, ..] = fields.as_slice()
                    && let Ok(id) = id.parse()
                {
                    names.entry(id).or_insert_with(|| name.clone());
                }
            }
            names
        };
        let (mut users, mut groups) = (listed("passwd"), listed("group"));
        // As for the names of users: those of the machine take precedence. The first of them with an id counts.
        for user in own.iter().rev() {
            users.insert(user.uid, user.name.clone());
            groups.insert(user.gid, user.name.clone());
        }
        OwnerNames::Listed { users, groups }
    }
}

/// Returns the lines of a list, split into their fields. A list that does not exist has none.
fn lines(path: &Path) -> impl Iterator<Item = Vec<String>> + use<> {
    use std::io::Read as _;
    let mut text = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        // What was read before an error counts.
        let _ = file.take(MAX_LIST_BYTES as u64).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<Vec<String>> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split(':').map(str::to_owned).collect())
        .collect();
    lines.into_iter()
}

/// Names of the owners and groups of files.
pub(crate) enum OwnerNames {
    Single(String),
    Listed { users: HashMap<u32, String>, groups: HashMap<u32, String> },
}

impl OwnerNames {
    /// Returns the name of an owner; its number where it has none.
    pub(crate) fn owner(&self, uid: u32) -> String {
        match self {
            Self::Single(name) => name.clone(),
            Self::Listed { users, .. } => users.get(&uid).cloned().unwrap_or_else(|| uid.to_string()),
        }
    }

    /// Returns the name of a group; its number where it has none.
    pub(crate) fn group(&self, gid: u32) -> String {
        match self {
            Self::Single(name) => name.clone(),
            Self::Listed { groups, .. } => groups.get(&gid).cloned().unwrap_or_else(|| gid.to_string()),
        }
    }
}

impl User {
    pub(crate) fn owner(&self) -> (Option<Uid>, Option<Gid>) {
        (Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_those_of_the_lists_and_the_machines_own_without_any() {
        let folder = tempfile::tempdir().unwrap();
        let own =
            User { name: "user".to_owned(), uid: 1000, gid: 1000, home: "/home/user".to_owned(), groups: Vec::new() };
        let users = Users::Listed { folder: folder.path().to_owned(), own: vec![own.clone()] };
        assert_eq!((users.named("user"), users.named("ada")), (Some(own.clone()), None));
        assert_eq!((users.names().owner(1000), users.names().group(7)), ("user".to_owned(), "7".to_owned()));
        std::fs::write(
            folder.path().join("passwd"),
            "# list\nbroken\nuser:x:5:5::/other:/bin/sh\nada:x:7:8:Ada:/home/ada:/bin/sh\n",
        )
        .unwrap();
        std::fs::write(
            folder.path().join("group"),
            "math:x:8:\nwheel:x:10:root,ada\nstaff:x:11:user,ada\nodd:x:many:ada\n",
        )
        .unwrap();
        let ada = User { name: "ada".to_owned(), uid: 7, gid: 8, home: "/home/ada".to_owned(), groups: vec![10, 11] };
        assert_eq!((users.named("ada"), users.named("broken"), users.named("")), (Some(ada), None, None));
        assert_eq!(users.named("user"), Some(User { groups: vec![11], ..own }));
        assert_eq!(
            (users.names().owner(7), users.names().group(8), users.names().owner(9)),
            ("ada".into(), "math".into(), "9".into())
        );
    }
}
