//! Why no tier runs a program's language, and what would help.

use switchtower_contract::{Isolation, Language, Location};

use super::reaches_floor;
use crate::route::{TierName, TierStatus};

/// Returns the reason why none of these tiers may run a program in this language, and the cheapest remedy.
pub(super) fn reason(language: Language, floor: Option<Isolation>, statuses: &[TierStatus]) -> String {
    let below: Vec<String> = statuses
        .iter()
        .filter(|status| status.languages.has(language))
        .map(|status| format!("{} has {}", status.tier, status.isolation))
        .collect();
    if let Some(floor) = floor.filter(|_| !below.is_empty()) {
        return format!("none with isolation {floor} or stronger runs {language}: {}", below.join(", "));
    }
    let is_machine = |status: &&TierStatus| status.machine && status.location == Location::Local;
    let machine = statuses.iter().filter(|status| reaches_floor(status, floor)).find(is_machine);
    let remedy = match (packages(language), machine) {
        (Some(packages), Some(machine)) => install(&machine.tier, packages),
        (Some(_), None) => {
            "local machines run it, and `switchtower doctor` says why there are none; or a cloud does, with \
                            its key in E2B_API_KEY"
                .to_owned()
        }
        (None, _) => "a cloud may, with its key in E2B_API_KEY".to_owned(),
    };
    format!("none runs {language}: {remedy}")
}

/// Returns how machines of this tier come to have a language; `None`: they cannot.
pub(crate) fn remedy(language: Language, machine: &TierName) -> Option<String> {
    packages(language).map(|packages| install(machine, packages))
}

fn install(machine: &TierName, packages: &str) -> String {
    format!(
        "install it where {machine} finds it (Debian, Ubuntu: {packages}; in machine.root if that is set) and start the server anew"
    )
}

/// Returns the packages that bring a language to local machines; `None`: none do.
fn packages(language: Language) -> Option<&'static str> {
    match language {
        Language::Python => Some("python3"),
        Language::JavaScript | Language::TypeScript => Some("nodejs"),
        Language::C => Some("gcc libc6-dev"),
        Language::Cpp => Some("g++"),
        Language::Bash => Some("bash"),
        Language::R | Language::Java | Language::Added(_) => None,
    }
}
