//! The promises, one function each.

use std::time::Duration;

use super::{Checked, Report, RunReport, Suite, run_in};
use crate::backend::Maintenance;
use crate::events::Event;
use crate::fault::{Fault, Need};
use crate::limits::{Escalation, Limits};
use crate::outcome::{Effect, Exit, Outcome};
use crate::program::{File, Randomness};

macro_rules! hold {
    ($suite:expr, $report:expr, $($function:ident: $promise:literal,)+) => {
        $($report.add($promise, $function($suite).await);)+
    };
}

pub(super) async fn all(suite: &Suite<'_>, report: &mut Report) {
    hold! { suite, report,
        hello: "a program prints a line",
        order: "lines come in the order in which they were written",
        stderr: "stderr is separate from stdout",
        value: "the value of the last expression is the main result",
        raised: "an uncaught exception has a name, a text, a traceback and a line",
        exit: "an exit code is reported",
        stdin: "what was given as stdin can be read",
        stdin_end: "stdin ends where it ends",
        files: "given files can be read",
        environment: "given environment variables are visible",
        environment_own: "no other environment variables are visible",
        deadline_spin: "a program that never ends is ended at its deadline",
        deadline_sleep: "a program that sleeps too long is ended at its deadline",
        cut: "output is cut at its limit, and the outcome says so",
        memory: "a program cannot use more memory than its limit",
        fresh: "a sandbox shares no state with the next",
        reset: "a sandbox that was reset is fresh",
        maintained_awake: "a sandbox that was kept awake runs again",
        maintained_asleep: "a sandbox that was put to sleep runs again",
        dropped: "dropping a run ends it, and the next opening works",
        apart: "two sandboxes at once do not affect each other",
    }
    if !suite.offer.observes {
        hold! { suite, report,
            interpreter: "a run has the id of its interpreter",
        }
    }
    if suite.offer.observes {
        hold! { suite, report,
            pure: "a program that reads nothing from outside has no effects",
            clock: "reading the clock is observed",
            randomness: "drawing randomness is observed",
            stdin_read: "reading a stdin that was not given is observed, one that was given is not",
            seeded: "a given seed gives the same bytes",
        }
    }
    if suite.programs.missing_module.is_some() {
        hold! { suite, report,
            need_moves_on: "a need ends the run where another tier can take it",
            need_is_named: "a need is named where none can, and the program sees its own exception",
        }
    }
}

fn check(kept: bool, seen: &RunReport) -> Checked {
    if kept { Ok(()) } else { Err(format!("{:?}, with the output {:?}", seen.ended, seen.output)) }
}

fn finished(ran: &RunReport) -> Result<&Outcome, String> {
    let outcome = ran.outcome()?;
    check(outcome.exit == Exit::Finished(0), ran)?;
    Ok(outcome)
}

async fn prints(suite: &Suite<'_>, source: &str, stdout: &str) -> Checked {
    let ran = suite.run(&suite.program(source)).await?;
    finished(&ran)?;
    check(ran.output.stdout == stdout, &ran)
}

async fn interpreter(suite: &Suite<'_>) -> Checked {
    let mut sandbox = suite.open().await?;
    run_in(sandbox.as_mut(), &suite.program(suite.programs.hello), &suite.limits()).await.outcome()?;
    sandbox.interpreter().map(drop).ok_or_else(|| "no interpreter id".to_owned())
}

async fn hello(suite: &Suite<'_>) -> Checked {
    prints(suite, suite.programs.hello, "hello\n").await
}

async fn order(suite: &Suite<'_>) -> Checked {
    prints(suite, suite.programs.count, "one\ntwo\nthree\n").await
}

async fn stderr(suite: &Suite<'_>) -> Checked {
    let ran = suite.run(&suite.program(suite.programs.warn)).await?;
    finished(&ran)?;
    check(ran.output.stdout.is_empty() && ran.output.stderr == "careful\n", &ran)
}

async fn value(suite: &Suite<'_>) -> Checked {
    let ran = suite.run(&suite.program(suite.programs.value)).await?;
    finished(&ran)?;
    let text = |event: &Event| match event {
        Event::Result { data, main: true } => data.get("text/plain").cloned(),
        _ => None,
    };
    let shown: Vec<_> = ran.events.iter().filter_map(text).collect();
    check(shown == ["42"], &ran)
}

async fn raised(suite: &Suite<'_>) -> Checked {
    let ran = suite.run(&suite.program(suite.programs.raise)).await?;
    check(ran.outcome()?.exit == Exit::Raised, &ran)?;
    let failure = ran.output.error.as_ref().ok_or("no error event")?;
    let is_complete = failure.name == "ValueError" && failure.value == "no good" && failure.line == Some(2);
    check(is_complete && failure.traceback.contains("ValueError: no good"), &ran)
}

async fn exit(suite: &Suite<'_>) -> Checked {
    let ran = suite.run(&suite.program(suite.programs.exit)).await?;
    check(ran.outcome()?.exit == Exit::Finished(3) && ran.output.error.is_none(), &ran)
}

async fn stdin(suite: &Suite<'_>) -> Checked {
    let ran = suite.run(&suite.program(suite.programs.read).with_stdin("given\n")).await?;
    finished(&ran)?;
    check(ran.output.stdout == "given\n", &ran)
}

async fn stdin_end(suite: &Suite<'_>) -> Checked {
    let ran = suite.run(&suite.program(suite.programs.read).with_stdin("")).await?;
    check(ran.output.error.as_ref().is_some_and(|failure| failure.name == suite.programs.end_error), &ran)
}

async fn files(suite: &Suite<'_>) -> Checked {
    let mut program = suite.program(suite.programs.file);
    program.files.push(File { path: "given.txt".to_owned(), content: "a line\nänd another".into() });
    let ran = suite.run(&program).await?;
    finished(&ran)?;
    check(ran.output.stdout == "a line\nänd another", &ran)
}

async fn environment(suite: &Suite<'_>) -> Checked {
    let mut program = suite.program(suite.programs.variable);
    program.env = Some([("GIVEN".to_owned(), "seen".to_owned())].into());
    let ran = suite.run(&program).await?;
    finished(&ran)?;
    check(ran.output.stdout == "seen\n", &ran)
}

async fn environment_own(suite: &Suite<'_>) -> Checked {
    let mut program = suite.program(suite.programs.variable);
    program.env = Some([("OTHER".to_owned(), "seen".to_owned())].into());
    let ran = suite.run(&program).await?;
    check(ran.output.error.as_ref().is_some_and(|failure| failure.name == suite.programs.no_variable_error), &ran)
}

async fn ends_in_time(suite: &Suite<'_>, source: &str) -> Checked {
    let limits = Limits { wall: Duration::from_millis(300), ..suite.limits() };
    let ran = suite.run_within(&suite.program(source), &limits).await?;
    check(ran.outcome()?.exit == Exit::TimedOut, &ran)?;
    let late = ran.took.saturating_sub(limits.wall);
    if late <= suite.programs.tolerance { Ok(()) } else { Err(format!("{late:?} after its deadline")) }
}

async fn deadline_spin(suite: &Suite<'_>) -> Checked {
    ends_in_time(suite, suite.programs.spin).await
}

async fn deadline_sleep(suite: &Suite<'_>) -> Checked {
    ends_in_time(suite, suite.programs.sleep).await
}

async fn cut(suite: &Suite<'_>) -> Checked {
    let program = suite.program(suite.programs.flood);
    let whole = suite.run_within(&program, &Limits { output: 5000, ..suite.limits() }).await?;
    check(!finished(&whole)?.truncated && whole.output.stdout.len() == 5000, &whole)?;
    let part = suite.run_within(&program, &Limits { output: 1000, ..suite.limits() }).await?;
    check(finished(&part)?.truncated && part.output.stdout.len() == 1000, &part)
}

async fn memory(suite: &Suite<'_>) -> Checked {
    let limits = Limits { memory: 64 << 20, ..suite.limits() };
    let ran = suite.run_within(&suite.program(suite.programs.hoard), &limits).await?;
    let raised = ran.output.error.as_ref().is_some_and(|failure| failure.name == "MemoryError");
    check(ran.outcome()?.exit == Exit::OutOfMemory || raised, &ran)
}

async fn unset(suite: &Suite<'_>, ran: &RunReport) -> Checked {
    check(ran.output.error.as_ref().is_some_and(|failure| failure.name == suite.programs.unset_error), ran)?;
    hello(suite).await
}

async fn fresh(suite: &Suite<'_>) -> Checked {
    finished(&suite.run(&suite.program(suite.programs.set)).await?)?;
    let ran = suite.run(&suite.program(suite.programs.get)).await?;
    unset(suite, &ran).await
}

async fn reset(suite: &Suite<'_>) -> Checked {
    let mut sandbox = suite.open().await?;
    let limits = suite.limits();
    finished(&run_in(sandbox.as_mut(), &suite.program(suite.programs.set), &limits).await)?;
    sandbox.reset().await.map_err(|fault| format!("the reset failed: {fault}"))?;
    let ran = run_in(sandbox.as_mut(), &suite.program(suite.programs.get), &limits).await;
    unset(suite, &ran).await
}

async fn maintained_awake(suite: &Suite<'_>) -> Checked {
    let mut sandbox = suite.open().await?;
    let limits = suite.limits();
    finished(&run_in(sandbox.as_mut(), &suite.program(suite.programs.hello), &limits).await)?;
    sandbox.maintain(Maintenance::Awake).await.map_err(|fault| format!("maintenance failed: {fault}"))?;
    finished(&run_in(sandbox.as_mut(), &suite.program(suite.programs.hello), &limits).await).map(|_| ())
}

async fn maintained_asleep(suite: &Suite<'_>) -> Checked {
    let mut sandbox = suite.open().await?;
    sandbox.maintain(Maintenance::Asleep).await.map_err(|fault| format!("maintenance failed: {fault}"))?;
    let ran = run_in(sandbox.as_mut(), &suite.program(suite.programs.hello), &suite.limits()).await;
    finished(&ran).map(|_| ())
}

async fn dropped(suite: &Suite<'_>) -> Checked {
    let program = suite.program(suite.programs.spin);
    let run = suite.run(&program);
    if tokio::time::timeout(Duration::from_millis(100), run).await.is_ok() {
        return Err("the endless program ended by itself".to_owned());
    }
    hello(suite).await
}

async fn apart(suite: &Suite<'_>) -> Checked {
    let (one, two) = (suite.program(suite.programs.count), suite.program(suite.programs.raise));
    let (one, two) = tokio::join!(suite.run(&one), suite.run(&two));
    let (one, two) = (one?, two?);
    finished(&one)?;
    check(one.output.stdout == "one\ntwo\nthree\n" && one.output.error.is_none(), &one)?;
    check(two.outcome()?.exit == Exit::Raised && two.output.stdout.is_empty(), &two)
}

async fn observed(suite: &Suite<'_>, source: &str, effect: Option<Effect>) -> Checked {
    let ran = suite.run(&suite.program(source)).await?;
    let seen = ran.outcome()?.observed.ok_or("the offer says that it observes, but nothing was reported")?;
    check(effect.map_or(seen.is_empty(), |effect| seen.has(effect)), &ran)
}

async fn pure(suite: &Suite<'_>) -> Checked {
    observed(suite, suite.programs.hello, None).await?;
    observed(suite, suite.programs.value, None).await?;
    observed(suite, suite.programs.raise, None).await
}

async fn clock(suite: &Suite<'_>) -> Checked {
    observed(suite, suite.programs.clock, Some(Effect::Clock)).await
}

async fn randomness(suite: &Suite<'_>) -> Checked {
    let program = suite.program(suite.programs.random);
    let (one, two) = (suite.run(&program).await?, suite.run(&program).await?);
    check(one.output.stdout != two.output.stdout, &two)?;
    observed(suite, suite.programs.random, Some(Effect::Randomness)).await
}

async fn stdin_read(suite: &Suite<'_>) -> Checked {
    observed(suite, suite.programs.read, Some(Effect::Stdin)).await?;
    let ran = suite.run(&suite.program(suite.programs.read).with_stdin("given\n")).await?;
    check(ran.outcome()?.observed.is_some_and(|seen| !seen.has(Effect::Stdin)), &ran)
}

async fn seeded(suite: &Suite<'_>) -> Checked {
    for source in [suite.programs.random, suite.programs.clock] {
        let mut program = suite.program(source);
        program.randomness = Randomness::Seeded(7);
        let (one, two) = (suite.run(&program).await?, suite.run(&program).await?);
        finished(&one)?;
        check(one.output.stdout == two.output.stdout, &two)?;
    }
    Ok(())
}

async fn need_moves_on(suite: &Suite<'_>) -> Checked {
    let Some((source, module)) = suite.programs.missing_module else { return Ok(()) };
    let limits = Limits { escalation: Escalation::OnNeed, ..suite.limits() };
    let ran = suite.run_within(&suite.program(source), &limits).await?;
    check(ran.ended == Err(Fault::Unsupported(Need::Module(module.to_owned()))), &ran)
}

async fn need_is_named(suite: &Suite<'_>) -> Checked {
    let Some((source, module)) = suite.programs.missing_module else { return Ok(()) };
    let limits = Limits { escalation: Escalation::Never, ..suite.limits() };
    let ran = suite.run_within(&suite.program(source), &limits).await?;
    let outcome = ran.outcome()?;
    let named = outcome.unmet_need == Some(Need::Module(module.to_owned()));
    check(named && outcome.exit == Exit::Raised, &ran)
}
