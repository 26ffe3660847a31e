//! Requirements: a distribution's name and the versions that will do.

use pep440_rs::{Version, VersionSpecifiers};

/// A requirement as it was written, and its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Requirement {
    pub(super) text: String,
    /// Normalized.
    pub(super) name: String,
    versions: VersionSpecifiers,
}

/// Returns a distribution's name as indexes compare it.
pub(super) fn normalized(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

impl Requirement {
    /// `None`: it is a path, an address, depends on the surroundings, or is malformed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !name.ends_with(|c: char| c.is_ascii_alphanumeric())
        {
            return None;
        }
        let rest = match rest.strip_prefix('[') {
            Some(extras) => extras.split_once(']')?.1,
            None => rest,
        };
        let versions = rest.parse().ok()?;
        Some(Self { text: text.to_owned(), name: normalized(name), versions })
    }

    /// Returns whether this version will do. Previews do where the condition names their numbers, as for pip when they are
    /// installed.
    pub(super) fn allows(&self, version: &str) -> bool {
        version.parse().is_ok_and(|version: Version| self.versions.contains(&version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_pip_does() {
        let allows = |requirement: &str, version: &str| Requirement::parse(requirement).unwrap().allows(version);
        for (requirement, version) in [
            ("a", "1"),
            ("a==1.0", "1"),
            ("a==2.*", "2.3.5"),
            ("a>=1.9", "1.10"),
            ("a~=1.4", "1.9.2"),
            ("a~=1.4.5", "1.4.9"),
            ("a!=1.5,<2", "1.6"),
            ("a[x,y]>1", "1.0.1"),
            ("a === 1.2", "1.2"),
            ("a==2.1.0.post1", "2.1.post1"),
            ("a>=2.0rc1", "2.0rc2"),
            ("a==4.11", "4.11+local"),
        ] {
            assert!(allows(requirement, version), "{requirement} {version}");
        }
        for (requirement, version) in [
            ("a==1.1", "1.10"),
            ("a>=1.10", "1.9"),
            ("a~=1.4.5", "1.5"),
            ("a!=1.*", "1.6"),
            ("a<2", "2.0"),
            ("a==2.*", "20"),
            ("a==2.1.0.post1", "2.1"),
            ("a==2.1", "2.1.post1"),
            ("a>=2.0", "2.0rc2"),
            ("a>=1", "no version"),
        ] {
            assert!(!allows(requirement, version), "{requirement} {version}");
        }
        for malformed in ["", "./a", "git+https://a", "a; python_version<'3'", "a=1", "a>=", "-a", "a @ file:///a"] {
            assert_eq!(Requirement::parse(malformed), None, "{malformed}");
        }
        assert_eq!(normalized("Scikit_Learn.x"), "scikit-learn-x");
    }
}
