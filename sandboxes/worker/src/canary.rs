//! Programs whose end is known: a new worker runs them, through the very path of every other, before it gets any.

use switchtower_contract::{Events, Fault, Limits, Outcome, Output, Program};

use crate::process::{Process, StartError};

/// A program whose end is known.
#[derive(Debug, Clone)]
pub struct Canary {
    /// What it tries, in words that follow "it allowed" or "it failed at".
    pub name: &'static str,
    pub program: Program,
    pub limits: Limits,
    /// Whether that is how it must end.
    pub passes: fn(&Result<Outcome, Fault>, &Output) -> bool,
}

/// Longest text of a canary's own that a refusal quotes.
const QUOTED: usize = 300;

impl Process {
    /// Lets them run, one after the other.
    ///
    /// # Errors
    /// One ended as it must not: this worker gets no programs.
    pub(crate) async fn proves(&mut self, canaries: &[Canary]) -> Result<(), StartError> {
        for canary in canaries {
            let (ended, output) = self.tries(canary).await;
            if !(canary.passes)(&ended, &output) {
                let (name, how) = (canary.name, told(&ended, &output));
                return Err(StartError::Failed(format!("its self-test failed at {name:?}: {how}")));
            }
        }
        Ok(())
    }

    async fn tries(&mut self, canary: &Canary) -> (Result<Outcome, Fault>, Output) {
        let (events, mut from) = Events::channel();
        let mut output = Output::default();
        let ended = {
            let run = self.run(canary.program.clone(), canary.limits.clone(), &events, std::future::pending());
            let mut run = std::pin::pin!(run);
            loop {
                tokio::select! {
                    biased;
                    Some(event) = from.recv() => output.take(event),
                    (ended, _) = &mut run => break ended,
                }
            }
        };
        while let Ok(event) = from.try_recv() {
            output.take(event);
        }
        (ended, output)
    }
}

fn told(ended: &Result<Outcome, Fault>, output: &Output) -> String {
    let end = match ended {
        Ok(outcome) => outcome.exit.name().to_owned(),
        Err(fault) => fault.to_string(),
    };
    let error = output.error.as_ref().map(|error| format!("{}: {}", error.name, error.value));
    let said = [Some(output.stdout.clone()), Some(output.stderr.clone()), error];
    let said: Vec<String> = said.into_iter().flatten().filter(|text| !text.trim().is_empty()).collect();
    let said: String = said.join("; ").chars().take(QUOTED).collect();
    if said.is_empty() { end } else { format!("{end} ({})", said.trim().replace('\n', "; ")) }
}
