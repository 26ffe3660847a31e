//! Canaries: programs whose outcome is known. A new worker runs them, on the same path as every other program, before
//! it is given any.

use switchtower_contract::{Events, Fault, Limits, Outcome, Output, Program};

use crate::process::{Process, StartError};

/// A program whose outcome is known.
#[derive(Debug, Clone)]
pub struct Canary {
    /// What it tries, for the message of a failed self-test.
    pub name: &'static str,
    pub program: Program,
    pub limits: Limits,
    /// Returns whether the program ended as it must.
    pub passes: fn(&Result<Outcome, Fault>, &Output) -> bool,
}

/// Most characters of a canary's own output that a refusal quotes.
const MAX_QUOTED: usize = 300;

impl Process {
    /// Runs the canaries, one after the other.
    ///
    /// # Errors
    /// One did not end as it must: this worker gets no programs.
    pub(crate) async fn run_canaries(&mut self, canaries: &[Canary]) -> Result<(), StartError> {
        for canary in canaries {
            let (ended, output) = self.run_canary(canary).await;
            if !(canary.passes)(&ended, &output) {
                let (name, how) = (canary.name, describe(&ended, &output));
                return Err(StartError::Failed(format!("its self-test failed at {name:?}: {how}")));
            }
        }
        Ok(())
    }

    async fn run_canary(&mut self, canary: &Canary) -> (Result<Outcome, Fault>, Output) {
        let (events, mut from) = Events::channel();
        let mut output = Output::default();
        let ended = {
            let run = self.run(canary.program.clone(), canary.limits.clone(), &events, std::future::pending());
            let mut run = std::pin::pin!(run);
            loop {
                tokio::select! {
                    biased;
                    Some(event) = from.recv() => output.push(event),
                    (ended, _) = &mut run => break ended,
                }
            }
        };
        while let Ok(event) = from.try_recv() {
            output.push(event);
        }
        (ended, output)
    }
}

/// Returns how a canary ended and the beginning of what it printed, on one line.
fn describe(ended: &Result<Outcome, Fault>, output: &Output) -> String {
    let end = match ended {
        Ok(outcome) => outcome.exit.name().to_owned(),
        Err(fault) => fault.to_string(),
    };
    let error = output.error.as_ref().map(|error| format!("{}: {}", error.name, error.value));
    let printed = [Some(output.stdout.clone()), Some(output.stderr.clone()), error];
    let printed: Vec<String> = printed.into_iter().flatten().filter(|text| !text.trim().is_empty()).collect();
    let quoted: String = printed.join("; ").chars().take(MAX_QUOTED).collect();
    if quoted.is_empty() { end } else { format!("{end} ({})", quoted.trim().replace('\n', "; ")) }
}
