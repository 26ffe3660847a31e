//! The promises, one function each.

use std::time::Duration;

use super::{Bench, Broken, Kept, Ran, Report, run_in};
use crate::backend::Upkeep;
use crate::events::Event;
use crate::fault::{Fault, Need};
use crate::limits::{Escalation, Limits};
use crate::outcome::{Effect, Exit, Outcome};
use crate::program::{Chance, File};

macro_rules! hold {
    ($bench:expr, $report:expr, $($function:ident: $promise:literal,)+) => {
        $(match $function($bench).await {
            Ok(()) => $report.kept.push($promise),
            Err(seen) => $report.broken.push(Broken { promise: $promise, seen }),
        })+
    };
}

pub(super) async fn all(bench: &Bench<'_>, report: &mut Report) {
    hold! { bench, report,
        hello: "a program says hello",
        order: "lines come in the order in which they were written",
        stderr: "stderr is kept apart from stdout",
        value: "the value of the last expression is the main result",
        raised: "an exception that went through has a name, a text, a traceback and a line",
        exit: "an exit code is kept",
        stdin: "what was given as stdin can be read",
        stdin_end: "stdin ends where it ends",
        files: "given files can be read",
        environment: "a given environment is seen",
        environment_own: "nothing else of the environment is seen",
        deadline_spin: "a program that never ends is ended at its deadline",
        deadline_sleep: "a program that sleeps too long is ended at its deadline",
        cut: "output is cut at its limit, and the outcome says so",
        memory: "a program that wants more memory than it may have does not get it",
        fresh: "nothing of one sandbox is seen in the next",
        reset: "a sandbox that was reset is fresh",
        kept_awake: "a sandbox that was kept awake runs again",
        kept_asleep: "a sandbox that was put to sleep runs again",
        dropped: "dropping a run ends it, and the next opening works",
        apart: "two sandboxes at once do not disturb each other",
    }
    if !bench.offer.observes {
        hold! { bench, report,
            interpreter: "a run says which interpreter it took place in",
        }
    }
    if bench.offer.observes {
        hold! { bench, report,
            pure: "a program that asks the world for nothing looks pure",
            clock: "asking for the clock is observed",
            chance: "asking for randomness is observed",
            stdin_asked: "reading a stdin that was not given is observed, one that was given is not",
            seeded: "a given seed gives the same bytes",
        }
    }
    if bench.dialect.lacking.is_some() {
        hold! { bench, report,
            need_moves_on: "a need ends the run where another tier stands ready",
            need_is_named: "a need is named where none does, and the program sees its own exception",
        }
    }
}

fn check(kept: bool, seen: &Ran) -> Kept {
    if kept { Ok(()) } else { Err(format!("{:?}, saying {:?}", seen.ended, seen.output)) }
}

fn finished(ran: &Ran) -> Result<&Outcome, String> {
    let outcome = ran.outcome()?;
    check(outcome.exit == Exit::Finished(0), ran)?;
    Ok(outcome)
}

async fn says(bench: &Bench<'_>, source: &str, stdout: &str) -> Kept {
    let ran = bench.run(&bench.program(source)).await?;
    finished(&ran)?;
    check(ran.output.stdout == stdout, &ran)
}

async fn interpreter(bench: &Bench<'_>) -> Kept {
    let mut sandbox = bench.open().await?;
    run_in(sandbox.as_mut(), &bench.program(bench.dialect.hello), &bench.limits()).await.outcome()?;
    sandbox.interpreter().map(drop).ok_or_else(|| "it does not say which".to_owned())
}

async fn hello(bench: &Bench<'_>) -> Kept {
    says(bench, bench.dialect.hello, "hello\n").await
}

async fn order(bench: &Bench<'_>) -> Kept {
    says(bench, bench.dialect.count, "one\ntwo\nthree\n").await
}

async fn stderr(bench: &Bench<'_>) -> Kept {
    let ran = bench.run(&bench.program(bench.dialect.warn)).await?;
    finished(&ran)?;
    check(ran.output.stdout.is_empty() && ran.output.stderr == "careful\n", &ran)
}

async fn value(bench: &Bench<'_>) -> Kept {
    let ran = bench.run(&bench.program(bench.dialect.value)).await?;
    finished(&ran)?;
    let text = |event: &Event| match event {
        Event::Result { data, main: true } => data.get("text/plain").cloned(),
        _ => None,
    };
    let shown: Vec<_> = ran.events.iter().filter_map(text).collect();
    check(shown == ["42"], &ran)
}

async fn raised(bench: &Bench<'_>) -> Kept {
    let ran = bench.run(&bench.program(bench.dialect.raise)).await?;
    check(ran.outcome()?.exit == Exit::Raised, &ran)?;
    let failure = ran.output.error.as_ref().ok_or("no error event")?;
    let told = failure.name == "ValueError" && failure.value == "no good" && failure.line == Some(2);
    check(told && failure.traceback.contains("ValueError: no good"), &ran)
}

async fn exit(bench: &Bench<'_>) -> Kept {
    let ran = bench.run(&bench.program(bench.dialect.exit)).await?;
    check(ran.outcome()?.exit == Exit::Finished(3) && ran.output.error.is_none(), &ran)
}

async fn stdin(bench: &Bench<'_>) -> Kept {
    let ran = bench.run(&bench.program(bench.dialect.read).with_stdin("given\n")).await?;
    finished(&ran)?;
    check(ran.output.stdout == "given\n", &ran)
}

async fn stdin_end(bench: &Bench<'_>) -> Kept {
    let ran = bench.run(&bench.program(bench.dialect.read).with_stdin("")).await?;
    check(ran.output.error.as_ref().is_some_and(|failure| failure.name == "EOFError"), &ran)
}

async fn files(bench: &Bench<'_>) -> Kept {
    let mut program = bench.program(bench.dialect.file);
    program.files.push(File { path: "given.txt".to_owned(), content: "a line\nänd another".into() });
    let ran = bench.run(&program).await?;
    finished(&ran)?;
    check(ran.output.stdout == "a line\nänd another", &ran)
}

async fn environment(bench: &Bench<'_>) -> Kept {
    let mut program = bench.program(bench.dialect.variable);
    program.env = Some([("GIVEN".to_owned(), "seen".to_owned())].into());
    let ran = bench.run(&program).await?;
    finished(&ran)?;
    check(ran.output.stdout == "seen\n", &ran)
}

async fn environment_own(bench: &Bench<'_>) -> Kept {
    let mut program = bench.program(bench.dialect.variable);
    program.env = Some([("OTHER".to_owned(), "seen".to_owned())].into());
    let ran = bench.run(&program).await?;
    check(ran.output.error.as_ref().is_some_and(|failure| failure.name == "KeyError"), &ran)
}

async fn ends_in_time(bench: &Bench<'_>, source: &str) -> Kept {
    let limits = Limits { wall: Duration::from_millis(300), ..bench.limits() };
    let ran = bench.run_within(&bench.program(source), &limits).await?;
    check(ran.outcome()?.exit == Exit::TimedOut, &ran)?;
    let late = ran.took.saturating_sub(limits.wall);
    if late <= bench.dialect.tolerance { Ok(()) } else { Err(format!("{late:?} after its deadline")) }
}

async fn deadline_spin(bench: &Bench<'_>) -> Kept {
    ends_in_time(bench, bench.dialect.spin).await
}

async fn deadline_sleep(bench: &Bench<'_>) -> Kept {
    ends_in_time(bench, bench.dialect.sleep).await
}

async fn cut(bench: &Bench<'_>) -> Kept {
    let program = bench.program(bench.dialect.flood);
    let whole = bench.run_within(&program, &Limits { output: 5000, ..bench.limits() }).await?;
    check(!finished(&whole)?.truncated && whole.output.stdout.len() == 5000, &whole)?;
    let part = bench.run_within(&program, &Limits { output: 1000, ..bench.limits() }).await?;
    check(finished(&part)?.truncated && part.output.stdout.len() == 1000, &part)
}

async fn memory(bench: &Bench<'_>) -> Kept {
    let limits = Limits { memory: 64 << 20, ..bench.limits() };
    let ran = bench.run_within(&bench.program(bench.dialect.hoard), &limits).await?;
    let raised = ran.output.error.as_ref().is_some_and(|failure| failure.name == "MemoryError");
    check(ran.outcome()?.exit == Exit::OutOfMemory || raised, &ran)
}

async fn unset(bench: &Bench<'_>, ran: &Ran) -> Kept {
    check(ran.output.error.as_ref().is_some_and(|failure| failure.name == "NameError"), ran)?;
    hello(bench).await
}

async fn fresh(bench: &Bench<'_>) -> Kept {
    finished(&bench.run(&bench.program(bench.dialect.set)).await?)?;
    let ran = bench.run(&bench.program(bench.dialect.get)).await?;
    unset(bench, &ran).await
}

async fn reset(bench: &Bench<'_>) -> Kept {
    let mut sandbox = bench.open().await?;
    let limits = bench.limits();
    finished(&run_in(sandbox.as_mut(), &bench.program(bench.dialect.set), &limits).await)?;
    sandbox.reset().await.map_err(|fault| format!("the reset failed: {fault}"))?;
    let ran = run_in(sandbox.as_mut(), &bench.program(bench.dialect.get), &limits).await;
    unset(bench, &ran).await
}

async fn kept_awake(bench: &Bench<'_>) -> Kept {
    let mut sandbox = bench.open().await?;
    let limits = bench.limits();
    finished(&run_in(sandbox.as_mut(), &bench.program(bench.dialect.hello), &limits).await)?;
    sandbox.keep(Upkeep::Awake).await.map_err(|fault| format!("it was lost: {fault}"))?;
    finished(&run_in(sandbox.as_mut(), &bench.program(bench.dialect.hello), &limits).await).map(|_| ())
}

async fn kept_asleep(bench: &Bench<'_>) -> Kept {
    let mut sandbox = bench.open().await?;
    sandbox.keep(Upkeep::Asleep).await.map_err(|fault| format!("it was lost: {fault}"))?;
    let ran = run_in(sandbox.as_mut(), &bench.program(bench.dialect.hello), &bench.limits()).await;
    finished(&ran).map(|_| ())
}

async fn dropped(bench: &Bench<'_>) -> Kept {
    let program = bench.program(bench.dialect.spin);
    let run = bench.run(&program);
    if tokio::time::timeout(Duration::from_millis(100), run).await.is_ok() {
        return Err("the endless program ended by itself".to_owned());
    }
    hello(bench).await
}

async fn apart(bench: &Bench<'_>) -> Kept {
    let (one, two) = (bench.program(bench.dialect.count), bench.program(bench.dialect.raise));
    let (one, two) = tokio::join!(bench.run(&one), bench.run(&two));
    let (one, two) = (one?, two?);
    finished(&one)?;
    check(one.output.stdout == "one\ntwo\nthree\n" && one.output.error.is_none(), &one)?;
    check(two.outcome()?.exit == Exit::Raised && two.output.stdout.is_empty(), &two)
}

async fn observed(bench: &Bench<'_>, source: &str, effect: Option<Effect>) -> Kept {
    let ran = bench.run(&bench.program(source)).await?;
    let seen = ran.outcome()?.observed.ok_or("it offers to observe and reports nothing")?;
    check(effect.map_or(seen.is_empty(), |effect| seen.has(effect)), &ran)
}

async fn pure(bench: &Bench<'_>) -> Kept {
    observed(bench, bench.dialect.hello, None).await?;
    observed(bench, bench.dialect.value, None).await?;
    observed(bench, bench.dialect.raise, None).await
}

async fn clock(bench: &Bench<'_>) -> Kept {
    observed(bench, bench.dialect.clock, Some(Effect::Clock)).await
}

async fn chance(bench: &Bench<'_>) -> Kept {
    let program = bench.program(bench.dialect.chance);
    let (one, two) = (bench.run(&program).await?, bench.run(&program).await?);
    check(one.output.stdout != two.output.stdout, &two)?;
    observed(bench, bench.dialect.chance, Some(Effect::Chance)).await
}

async fn stdin_asked(bench: &Bench<'_>) -> Kept {
    observed(bench, bench.dialect.read, Some(Effect::Stdin)).await?;
    let ran = bench.run(&bench.program(bench.dialect.read).with_stdin("given\n")).await?;
    check(ran.outcome()?.observed.is_some_and(|seen| !seen.has(Effect::Stdin)), &ran)
}

async fn seeded(bench: &Bench<'_>) -> Kept {
    for source in [bench.dialect.chance, bench.dialect.clock] {
        let mut program = bench.program(source);
        program.chance = Chance::Seeded(7);
        let (one, two) = (bench.run(&program).await?, bench.run(&program).await?);
        finished(&one)?;
        check(one.output.stdout == two.output.stdout, &two)?;
    }
    Ok(())
}

async fn need_moves_on(bench: &Bench<'_>) -> Kept {
    let Some((source, module)) = bench.dialect.lacking else { return Ok(()) };
    let limits = Limits { escalation: Escalation::OnNeed, ..bench.limits() };
    let ran = bench.run_within(&bench.program(source), &limits).await?;
    check(ran.ended == Err(Fault::Unsupported(Need::Module(module.to_owned()))), &ran)
}

async fn need_is_named(bench: &Bench<'_>) -> Kept {
    let Some((source, module)) = bench.dialect.lacking else { return Ok(()) };
    let limits = Limits { escalation: Escalation::Never, ..bench.limits() };
    let ran = bench.run_within(&bench.program(source), &limits).await?;
    let outcome = ran.outcome()?;
    let named = outcome.lacked == Some(Need::Module(module.to_owned()));
    check(named && outcome.exit == Exit::Raised, &ran)
}
