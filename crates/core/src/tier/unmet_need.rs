//! Notes about an unmet need: which of the tried tiers do not provide what a program needs, and why the other tiers,
//! which may provide it, did not run the program.

use switchtower_contract::python::HOME;
use switchtower_contract::{Language, Location, Modules, Need};

use super::attempt::Attempt;
use super::{Tier, Tiers};
use crate::analyse::MissingModule;
use crate::request::Request;
use crate::route::{Route, TierName};

impl Tiers {
    /// Returns the note for a program that ran in the tier `ran` and was tried in no other tier.
    pub(crate) fn note(&self, need: &Need, request: &Request, ran: &TierName) -> String {
        let others = self.iter().filter(|tier| tier.name != *ran && may_provide(tier, need, request));
        let others: Vec<String> = others.map(|tier| not_on_route(&tier.name, None)).collect();
        self.format_note(need, request, &[], &others)
    }

    /// Returns the note for a program that was tried along a route; the last of its `attempts` was in the tier `ran`.
    pub(super) fn route_note(
        &self,
        request: &Request,
        route: &Route,
        attempts: &[Attempt],
        need: &Need,
        ran: &TierName,
    ) -> String {
        let missing = need.to_string();
        let lacks = |tier: &TierName| {
            let is_missing = |attempt: &Attempt| attempt.tier == *tier && attempt.detail.as_ref() == Some(&missing);
            tier == ran || attempts.iter().any(is_missing)
        };
        let mut lacking: Vec<&TierName> = route.tiers().filter(|tier| lacks(tier)).collect();
        lacking.dedup();
        let others = self.iter().filter(|tier| !lacks(&tier.name) && may_provide(tier, need, request));
        let others: Vec<String> = others.map(|tier| reason_not_used(tier, request, route, attempts)).collect();
        self.format_note(need, request, &lacking, &others)
    }

    /// Returns how to have a package that no local tier provides, the cheapest way first.
    pub(crate) fn package_remedy(&self, package: &str) -> String {
        let installed = self.iter().any(Tier::is_extensible).then(|| add_package(package));
        let texts: Vec<String> = installed.into_iter().chain(self.remedies(false)).collect();
        if texts.is_empty() { "no configured tier can be given it".to_owned() } else { texts.join(", or ") }
    }

    fn format_note(&self, need: &Need, request: &Request, lacking: &[&TierName], others: &[String]) -> String {
        let tried = match lacking {
            [] | [_] => String::new(),
            many => {
                let names: Vec<&str> = many.iter().map(|name| name.as_str()).collect();
                format!(", which none of the tried tiers provides ({})", names.join(", "))
            }
        };
        let cures = self.cures(need, request);
        if !others.is_empty() {
            let first = cures.iter().filter(|cure| cure.cost < Cost::Tier).map(|cure| format!("{}; ", cure.text));
            return format!("it needs {need}{tried}; {}{}", first.collect::<String>(), others.join("; "));
        }
        let texts: Vec<&str> = cures.iter().map(|cure| cure.text.as_str()).collect();
        match cures.last() {
            None => format!("it needs {need}{tried}; no configured tier provides it"),
            Some(last) if last.cost < Cost::Package && !matches!(need, Need::Memory(_)) => {
                format!("it needs {need}{tried}; {}; no configured tier provides it", texts.join(", or "))
            }
            Some(_) => format!("it needs {need}{tried}; {}", texts.join(", or ")),
        }
    }

    /// Returns what would help, the cheapest first.
    fn cures(&self, need: &Need, request: &Request) -> Vec<Cure> {
        let mut cures = Vec::new();
        let mut add = |cost: Cost, text: Option<String>| cures.extend(text.map(|text| Cure { cost, text }));
        match need {
            Need::Module(_) if request.program.language != Language::Python => add(Cost::Tier, self.remedies(true)),
            Need::Module(module) => {
                let top = module.split('.').next().unwrap_or(module);
                let offers: Vec<_> = self.iter().map(|tier| tier.offer().languages.clone()).collect();
                let present = offers.iter().flat_map(|languages| match languages.modules(Language::Python) {
                    Some(Modules::Named(names)) => names.iter().map(String::as_str).collect(),
                    Some(Modules::Any) | None => Vec::new(),
                });
                let missing = MissingModule::new(top, present);
                add(Cost::Text, missing.meant.map(|meant| format!("if you mean {meant}, import that")));
                let own = missing.own.then(|| format!("if it is your own, add {top}.py or its folder to the files"));
                add(Cost::File, own);
                // For an unknown name alone nobody installs the tier.
                let installable = !missing.own && self.absent().any(|absent| !absent.machine);
                let extensible = self.iter().any(Tier::is_extensible) || installable;
                if missing.meant.is_some() {
                    return cures;
                }
                let package = missing.package.filter(|_| extensible && !missing.scientific);
                add(Cost::Package, package.as_deref().map(add_package));
                add(Cost::Tier, self.remedies_of(|absent| absent.machine || missing.scientific));
            }
            // Another machine has no such file either, unless it is one of the system's.
            Need::Files(path) if !is_of_the_system(path) => {
                let name = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("it");
                add(
                    Cost::File,
                    Some(format!(
                        "add {name} to the files and open it by that name; what it writes belongs in {HOME} or /tmp"
                    )),
                );
            }
            Need::Network(_) => {
                let machine = |tier: &Tier| tier.offer().machine && tier.offer().location == Location::Local;
                let allow = self.iter().any(|tier| machine(tier) && !tier.offer().internet);
                add(Cost::Package, allow.then(|| "allow local machines its host (machine.egress.allow)".to_owned()));
                add(Cost::Tier, self.remedies(true));
            }
            Need::Files(_) | Need::Process(_) | Need::Disk => add(Cost::Tier, self.remedies(true)),
            Need::Memory(_) => {
                // A tier that stops at the request's own limit may allow more.
                let larger = self.iter().map(|tier| tier.memory(Some(u64::MAX))).max();
                let larger = larger.filter(|larger| self.iter().all(|tier| tier.memory(request.memory) < *larger));
                add(Cost::Text, larger.map(|bytes| format!("allow it more memory, up to {} MB", bytes >> 20)));
                add(Cost::Tier, self.remedies(false));
            }
            _ => add(Cost::Tier, self.remedies(false)),
        }
        cures
    }
}

fn add_package(package: &str) -> String {
    format!("add {package} to the scientific tier (python3 sandboxes/native/install.py --with {package})")
}

/// What would help, and what it costs.
struct Cure {
    cost: Cost,
    text: String,
}

/// The kinds of cures, the cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    /// A change of the program's text or of its request.
    Text,
    /// A file of the request, beside the program.
    File,
    /// A package in a tier of this machine.
    Package,
    /// Another tier.
    Tier,
}

/// Folders of the operating system: every machine has them.
const SYSTEM_FOLDERS: [&str; 12] =
    ["bin", "boot", "dev", "etc", "lib", "lib64", "opt", "proc", "run", "sbin", "sys", "usr"];

/// Returns whether a path is one that another machine has: in a folder of the system, or the root.
fn is_of_the_system(path: &str) -> bool {
    let first = path.split('/').find(|part| !part.is_empty());
    path.starts_with('/')
        && first.is_none_or(|first| SYSTEM_FOLDERS.contains(&first) || matches!(first, "root" | "var"))
}

fn may_provide(tier: &Tier, need: &Need, request: &Request) -> bool {
    tier.may_provide(need, request.program.language, request.memory)
}

/// Returns why a tier that may provide the need did not run the program to its end.
fn reason_not_used(tier: &Tier, request: &Request, route: &Route, attempts: &[Attempt]) -> String {
    let name = &tier.name;
    if !route.tiers().any(|of_route| of_route == name) {
        return not_on_route(name, request.tier.as_ref());
    }
    if !tier.offer().languages.has(request.program.language) {
        return format!("tier {name} may provide it, but does not run {}", request.program.language.name());
    }
    if let Some(floor) = request.isolation.filter(|floor| tier.offer().isolation < *floor) {
        let (level, floor) = (tier.offer().isolation.name(), floor.name());
        return format!(
            "tier {name} may provide it, but its isolation level is {level} and the request requires at least {floor}"
        );
    }
    match attempts.iter().rev().find(|attempt| attempt.tier == *name) {
        Some(Attempt { outcome, detail: Some(detail), .. }) => {
            format!("tier {name} may provide it, and was tried: {outcome} ({detail})")
        }
        Some(Attempt { outcome, detail: None, .. }) => {
            format!("tier {name} may provide it, and was tried: {outcome}")
        }
        None => format!(
            "tier {name} may provide it, but was not tried: the program may already have had side effects, and such a \
             program is not run again"
        ),
    }
}

fn not_on_route(tier: &TierName, requested: Option<&TierName>) -> String {
    match requested {
        Some(requested) => format!("tier {tier} may provide it, but the request allows only {requested}"),
        None => format!("tier {tier} may provide it, but was not on the route"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use switchtower_contract::scripted::{Scripted, Settings};
    use switchtower_contract::{Isolation, Languages, Modules, Program};

    use super::*;
    use crate::request::RequestLimits;
    use crate::seed::Seed;
    use crate::tier::{AbsentTier, Config};

    fn request(memory: Option<u64>) -> Request {
        let mut request = Request::new(Program::python(""), &RequestLimits::default()).unwrap();
        request.memory = memory;
        request
    }

    fn tier(name: &str, isolation: Isolation, modules: &[&str]) -> Tier {
        let mut settings = Settings::default();
        settings.offer.isolation = isolation;
        settings.offer.languages = Languages::only(Language::Python, Modules::named(modules.iter().copied()));
        Tier::new(name.into(), Arc::new(Scripted::new(1, settings)), Config::default(), &Seed::fixed(1))
    }

    fn absent(name: &str, remedy: &str, machine: bool) -> AbsentTier {
        AbsentTier { tier: name.into(), reason: "-".to_owned(), remedy: Some(remedy.to_owned()), machine }
    }

    #[test]
    fn the_cheapest_cure_of_a_need_is_named_first_and_one_that_would_not_help_is_not_named() {
        let wasm = || tier("wasm", Isolation::Wasm, &["math", "json", "datetime", "sympy"]);
        let native = || tier("native", Isolation::Process, &["math", "json", "datetime", "numpy", "pandas"]);
        let key = || absent("e2b", "set E2B_API_KEY", true);
        let without = Tiers::new([wasm()]).with_absent(vec![absent("native", "run install.py", false), key()]);
        let with = Tiers::new([wasm(), native()]).with_absent(vec![key()]);
        let module = |name: &str| Need::Module(name.to_owned());
        let file = |path: &str| Need::Files(path.to_owned());
        let own = |name: &str| format!("if it is your own, add {name}.py or its folder to the files");
        let package = |name: &str| {
            format!("add {name} to the scientific tier (python3 sandboxes/native/install.py --with {name})")
        };
        assert_eq!(with.package_remedy("torch"), format!("{}, or set E2B_API_KEY", package("torch")));
        assert_eq!(without.package_remedy("torch"), "run install.py, or set E2B_API_KEY");
        let data = "add a.csv to the files and open it by that name; what it writes belongs in /home/user or /tmp";
        let none = "no configured tier provides it";
        for (tiers, need, cure) in [
            // A slip of the pen: neither a package nor a key.
            (&with, module("maths"), format!("if you mean math, import that, or {}; {none}", own("maths"))),
            (&with, module("panda"), format!("if you mean pandas, import that, or {}; {none}", own("panda"))),
            (
                &with,
                module("scikit_learn"),
                format!("if you mean sklearn, import that, or {}; {none}", own("scikit_learn")),
            ),
            // A module beside the script, or an unknown package.
            (&without, module("helper"), format!("{}, or set E2B_API_KEY", own("helper"))),
            (&with, module("helper"), format!("{}, or {}, or set E2B_API_KEY", own("helper"), package("helper"))),
            // A known package: of the default set, or beyond it.
            (&without, module("pandas"), "run install.py, or set E2B_API_KEY".to_owned()),
            (&without, module("sklearn.svm"), "run install.py, or set E2B_API_KEY".to_owned()),
            (&without, module("torch"), format!("{}, or set E2B_API_KEY", package("torch"))),
            (&with, module("torch"), format!("{}, or set E2B_API_KEY", package("torch"))),
            (&with, module("yaml"), format!("{}, or set E2B_API_KEY", package("pyyaml"))),
            // A part of CPython that WebAssembly lacks, and one that needs a screen.
            (&without, module("ctypes"), "run install.py, or set E2B_API_KEY".to_owned()),
            (&with, module("tkinter"), "set E2B_API_KEY".to_owned()),
            // No machine has this file, but each has that one.
            (&with, file("/data/a.csv"), format!("{data}; {none}")),
            (&with, file("/home/alice/a.csv"), format!("{data}; {none}")),
            (&with, file("/etc/hosts"), "set E2B_API_KEY".to_owned()),
            (&with, Need::Network("example.org".to_owned()), "set E2B_API_KEY".to_owned()),
            (&with, Need::Process("ls".to_owned()), "set E2B_API_KEY".to_owned()),
            (&with, Need::Memory(256 << 20), "allow it more memory, up to 512 MB, or set E2B_API_KEY".to_owned()),
            (&without, Need::Threads, "run install.py, or set E2B_API_KEY".to_owned()),
        ] {
            let ran = "wasm".into();
            let note = match need {
                Need::Memory(bytes) => with.format_note(&need, &request(Some(bytes)), &[], &[]),
                // The native tier may provide what only a run can check.
                Need::Threads => without.format_note(&need, &request(None), &[], &[]),
                _ => tiers.note(&need, &request(None), &ran),
            };
            assert_eq!(note, format!("it needs {need}; {cure}"));
        }
    }
}
