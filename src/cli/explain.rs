//! `switchtower explain`: prints a program's score, signal by signal with lines, and the decision that follows.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use switchtower_core::analyse::{Profile, Reason};
use switchtower_core::request::{Request, SideEffects};
use switchtower_core::router::Explanation;

use super::exit::CliError;
use super::input::{Inputs, Source};
use super::terminal;
use crate::assemble::BuildError;
use crate::config::SettingsSource;

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    inputs: Inputs,
    /// Print as JSON, in the form of POST /v1/explain.
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn explain(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        let config = crate::config::load(source)?;
        let request = Request::new(self.inputs.program(&self.source, &config.limits)?, &config.limits)?;
        let explanation = super::runtime(1)?.block_on(async {
            let assembly = crate::assemble::in_process(&config, &terminal::note)?;
            Ok::<_, BuildError>(assembly.router.explain(&request))
        })?;
        if self.json {
            let json = serde_json::to_string_pretty(&switchtower_server::api::explanation_view(&explanation))
                .map_err(|error| CliError::failed(error.to_string()))?;
            terminal::out(&format!("{json}\n"));
        } else {
            terminal::out(&text(&self.source.name(), &explanation));
        }
        Ok(explanation
            .decision
            .as_ref()
            .err()
            .map_or(ExitCode::SUCCESS, |error| ExitCode::from(error.class().exit_code)))
    }
}

/// Returns an explanation as text.
pub(super) fn text(name: &str, explanation: &Explanation) -> String {
    let profile = &explanation.profile;
    let mut text = format!("{name}: {}, score {:.3}\n", profile.class.name(), profile.score);
    write_signals(profile, &mut text);
    let imports: Vec<String> = profile.imports.iter().filter(|i| i.used).map(|i| i.module.clone()).collect();
    let effects: Vec<&str> = profile.effects.iter().map(|effect| effect.name()).collect();
    write_row(&mut text, "imports", &listed(&imports));
    write_row(&mut text, "effects", &listed(&effects));
    write_row(&mut text, "side effects", describe(profile.side_effects));
    if let Some(training) = &profile.training {
        let (bound, magnitude) = (if training.exact { "about" } else { "at least" }, training.magnitude());
        write_row(&mut text, "training", &format!("{bound} 10^{magnitude} operations, from line {}", training.line));
    }
    if profile.verdict.deterministic {
        write_row(&mut text, "deterministic", "yes");
    } else {
        write_row(&mut text, "deterministic", "not proven");
        for reason in &profile.verdict.reasons {
            write_row(&mut text, "", &located(reason));
        }
    }
    match &explanation.decision {
        Ok(decision) => {
            write_row(&mut text, "route", &decision.route.to_string());
            write_row(&mut text, "rule", &decision.rule);
            write_row(&mut text, "reason", &decision.reason);
            for error in &decision.skipped {
                write_row(&mut text, "skipped", error);
            }
        }
        Err(error) => write_row(&mut text, "route", &format!("none: {error}")),
    }
    text
}

fn describe(side_effects: SideEffects) -> &'static str {
    match side_effects {
        SideEffects::None => "none",
        SideEffects::Sandbox => "in its sandbox",
        SideEffects::World => "possibly outside its sandbox",
    }
}

fn write_signals(profile: &Profile, text: &mut String) {
    if profile.signals.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n  {:<20}{:>8}{:>12}{:>10}{:>7}", "signal", "weight", "value", "adds", "line");
    for signal in &profile.signals {
        let line = signal.line.map_or(String::new(), |line| line.to_string());
        let adds = signal.weight * signal.value;
        let row = format!("  {:<20}{:>8.3}{:>12.2}{adds:>10.3}{line:>7}", signal.name, signal.weight, signal.value);
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text.push('\n');
}

fn write_row(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  {name:<15}{value}");
}

fn listed<T: AsRef<str>>(items: &[T]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    items.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

fn located(reason: &Reason) -> String {
    match reason.line {
        Some(line) => format!("line {line}: {}", reason.text),
        None => reason.text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use switchtower_contract::{Isolation, Language, Languages, Location, Modules, Program};

    use super::*;
    use switchtower_core::analyse::analyse;
    use switchtower_core::decide::Rules;
    use switchtower_core::error::Error;
    use switchtower_core::request::RequestLimits;
    use switchtower_core::route::TierStatus;

    fn explanation_view(source: &str, isolation: Option<Isolation>) -> String {
        explained_by(&Rules::builtin(), source, isolation)
    }

    fn explained_by(rules: &Rules, source: &str, isolation: Option<Isolation>) -> String {
        let wasm = TierStatus {
            tier: "wasm".into(),
            languages: Languages::only(Language::Python, Modules::named(["math", "random"])),
            isolation: Isolation::Wasm,
            location: Location::Local,
            machine: false,
            internet: false,
            price_per_second: None,
            memory: 512 << 20,
            wall: Duration::from_secs(300),
            up: true,
            starting: false,
            running: 0,
            queued: 0,
            slots: 6,
        };
        let mut request = Request::new(Program::python(source), &RequestLimits::default()).unwrap();
        request.isolation = isolation;
        let profile = analyse(&request.program);
        let decision = rules.decide(&request, &profile, &[wasm]).map_err(Error::from);
        text("program.py", &Explanation { profile: Arc::new(profile), decision: decision.map(Arc::new) })
    }

    #[test]
    fn an_explanation_prints_every_signal_with_its_line() {
        let source =
            "import random\n\nfor i in range(100):\n    for j in range(100):\n        print(i * j, random.random())\n";
        insta::assert_snapshot!(explanation_view(source, None), @r"
program.py: algorithm, score 1.180

  signal                weight       value      adds   line
  statements             0.010        4.00     0.040
  calls                  0.010        4.00     0.040
  loops                  0.200        2.00     0.400      3
  loop_nesting           0.500        1.00     0.500      4
  randomness             0.200        1.00     0.200      5

  imports        random
  effects        randomness
  side effects   none
  deterministic  not proven
                 line 5: it draws random numbers without a literal seed
  route          wasm
  rule           default.local
  reason         imports only random; uses randomness: runs in wasm
");
    }

    #[test]
    fn a_rule_file_that_was_passed_over_is_shown_with_its_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("broken.rhai"), "fn decide(facts) {\n  throw \"no\"\n}").unwrap();
        let text = explained_by(&Rules::load(folder.path()).unwrap(), "1 + 1", None);
        let skipped = text.lines().find(|line| line.starts_with("  skipped        broken.rhai, line 2: "));
        assert!(skipped.is_some() && text.contains("  rule           default.local\n"), "{text}");
    }

    #[test]
    fn a_program_that_no_tier_may_run_is_explained_with_the_reason() {
        insta::assert_snapshot!(explanation_view("1 + 1", Some(Isolation::MicroVm)), @r"
program.py: simple_math, score 0.010

  signal                weight       value      adds   line
  statements             0.010        1.00     0.010

  imports        none
  effects        none
  side effects   none
  deterministic  yes
  route          none: no tier can run this: none has isolation micro_vm or stronger
");
    }
}
