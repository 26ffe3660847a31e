//! Requirements: a distribution's name and the versions that will do.

/// A requirement as it was written, and its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Requirement {
    pub(super) text: String,
    /// Normalized.
    pub(super) name: String,
    conditions: Vec<(Comparison, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Different,
    AtLeast,
    AtMost,
    Above,
    Below,
    Compatible,
}

const COMPARISONS: [(&str, Comparison); 8] = [
    ("===", Comparison::Equal),
    ("==", Comparison::Equal),
    ("!=", Comparison::Different),
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    ("~=", Comparison::Compatible),
    (">", Comparison::Above),
    ("<", Comparison::Below),
];

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
        let rest = rest.trim();
        let conditions = if rest.is_empty() {
            Vec::new()
        } else {
            rest.split(',').map(|condition| parse_condition(condition.trim())).collect::<Option<_>>()?
        };
        Some(Self { text: text.to_owned(), name: normalized(name), conditions })
    }

    pub(super) fn allows(&self, version: &str) -> bool {
        self.conditions.iter().all(|(comparison, wanted)| is_met(*comparison, version, wanted))
    }
}

fn parse_condition(text: &str) -> Option<(Comparison, String)> {
    let (sign, comparison) = COMPARISONS.iter().find(|(sign, _)| text.starts_with(sign))?;
    let version = text[sign.len()..].trim();
    let is_version = version.starts_with(|c: char| c.is_ascii_digit())
        && version.chars().all(|c| c.is_ascii_alphanumeric() || ".+*!-_".contains(c));
    is_version.then(|| (*comparison, version.to_owned()))
}

/// Returns the numbers of a version, without what marks it as a preview or a local build.
fn release(version: &str) -> Vec<u64> {
    let mut numbers = Vec::new();
    for part in version.split(['.', '+', '-']) {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        let Ok(number) = digits.parse() else { break };
        numbers.push(number);
        if digits.len() < part.len() {
            break;
        }
    }
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    numbers
}

fn is_met(comparison: Comparison, version: &str, wanted: &str) -> bool {
    let prefix = |prefix: &str| {
        let wanted: Vec<&str> = prefix.split('.').collect();
        let here = version.split('.').chain(std::iter::repeat("0"));
        here.zip(&wanted).all(|(here, wanted)| here == *wanted)
    };
    let (here, there) = (release(version), release(wanted));
    match (comparison, wanted.strip_suffix(".*")) {
        (Comparison::Equal, Some(start)) => prefix(start),
        (Comparison::Different, Some(start)) => !prefix(start),
        (Comparison::Equal, None) => here == there,
        (Comparison::Different, None) => here != there,
        (Comparison::AtLeast, _) => here >= there,
        (Comparison::AtMost, _) => here <= there,
        (Comparison::Above, _) => here > there,
        (Comparison::Below, _) => here < there,
        (Comparison::Compatible, _) => here >= there && wanted.rsplit_once('.').is_some_and(|(start, _)| prefix(start)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_compared_by_numbers() {
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
            ("a==2.1.0.post1", "2.1"),
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
        ] {
            assert!(!allows(requirement, version), "{requirement} {version}");
        }
        for malformed in ["", "./a", "git+https://a", "a; python_version<'3'", "a=1", "a>=", "-a", "a @ file:///a"] {
            assert_eq!(Requirement::parse(malformed), None, "{malformed}");
        }
        assert_eq!(normalized("Scikit_Learn.x"), "scikit-learn-x");
    }
}
