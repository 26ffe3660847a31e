//! Runs one program in two sandboxes and compares the outputs.

use std::sync::Arc;

use switchtower_contract::{Backend, Events, Exit, Fault, Output, Program, Spec};

use super::limits;

/// The output of a run, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunObservation {
    pub(super) exit: Exit,
    pub(super) output: Output,
}

/// The result of comparing two runs of one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Comparison {
    Same,
    /// Neither run ended by itself, so neither result would be cached.
    NotCacheable,
    Differ(Box<(RunObservation, RunObservation)>),
}

/// Two backends that share neither hash seeds nor addresses.
pub(crate) struct Pair {
    pub(crate) one: Arc<dyn Backend>,
    pub(crate) other: Arc<dyn Backend>,
}

impl Pair {
    /// Runs a program in both backends.
    ///
    /// # Errors
    /// A backend failed to run it twice in a row.
    pub(super) async fn run(&self, program: &Program) -> Result<Comparison, String> {
        let (one, other) = tokio::join!(observe(&*self.one, program), observe(&*self.other, program));
        let (one, other) = (one.map_err(|fault| fault.to_string())?, other.map_err(|fault| fault.to_string())?);
        let cacheable = |observation: &RunObservation| matches!(observation.exit, Exit::Finished(_));
        Ok(match one == other {
            _ if !cacheable(&one) && !cacheable(&other) => Comparison::NotCacheable,
            true => Comparison::Same,
            false => Comparison::Differ(Box::new((one, other))),
        })
    }

    /// Returns whether the outputs differ in any of this many tries.
    pub(super) async fn differs(&self, program: &Program, tries: usize) -> bool {
        self.find_difference(program, tries).await.is_some()
    }

    /// Returns the first pair of outputs that differ, within this many tries.
    pub(super) async fn find_difference(
        &self,
        program: &Program,
        tries: usize,
    ) -> Option<(RunObservation, RunObservation)> {
        for _ in 0..tries {
            if let Ok(Comparison::Differ(observation)) = self.run(program).await {
                return Some(*observation);
            }
        }
        None
    }
}

/// Runs a program, and once more if its worker was lost, since another worker has replaced it.
async fn observe(backend: &dyn Backend, program: &Program) -> Result<RunObservation, Fault> {
    match run_once(backend, program).await {
        Err(_) => run_once(backend, program).await,
        observation => observation,
    }
}

async fn run_once(backend: &dyn Backend, program: &Program) -> Result<RunObservation, Fault> {
    let mut sandbox = backend.open(&Spec::new(program.language)).await?;
    let (events, mut from) = Events::channel();
    let mut output = Output::default();
    let limits = limits();
    let outcome = {
        let mut run = std::pin::pin!(sandbox.run(program, &limits, &events));
        loop {
            tokio::select! {
                biased;
                Some(event) = from.recv() => output.push(event),
                ended = &mut run => break ended?,
            }
        }
    };
    while let Ok(event) = from.try_recv() {
        output.push(event);
    }
    Ok(RunObservation { exit: outcome.exit, output })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use async_trait::async_trait;
    use switchtower_contract::{
        Event, InterpreterId, Kernels, Language, Languages, Limits, Machine, Maintenance, Modules, Offer, Outcome,
        Sandbox, Usage,
    };

    use super::*;
    use crate::cli::fuzz_proof::shrink;

    /// Interprets lines without Python: `print(hash)` prints a text that differs between workers, `print(time)` one
    /// that differs between runs, any other `print` its argument, and `raise` ends the run with an exception.
    struct Scripted {
        hash: &'static str,
        runs: AtomicU64,
    }

    struct Run(&'static str, u64);

    #[async_trait]
    impl Backend for Scripted {
        fn offer(&self) -> Offer {
            Offer {
                languages: Languages::only(Language::Python, Modules::Any),
                max_memory: 1 << 30,
                max_wall: std::time::Duration::from_secs(60),
                ..Offer::nothing()
            }
        }

        fn runtime(&self) -> Arc<str> {
            "scripted".into()
        }

        async fn open(&self, _spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
            Ok(Box::new(Run(self.hash, self.runs.fetch_add(1, Ordering::Relaxed))))
        }

        fn kernels(&self) -> Option<&dyn Kernels> {
            None
        }
    }

    #[async_trait]
    impl Sandbox for Run {
        async fn run(&mut self, program: &Program, _limits: &Limits, events: &Events) -> Result<Outcome, Fault> {
            let mut exit = Exit::Finished(0);
            for line in program.source.lines() {
                let text = match line {
                    "print(hash)" => self.0.to_owned(),
                    "print(time)" => self.1.to_string(),
                    "raise" => {
                        exit = Exit::Raised;
                        break;
                    }
                    line => line.strip_prefix("print").unwrap_or_default().to_owned(),
                };
                events.send(Event::Stdout(text)).await;
            }
            Ok(Outcome { exit, observed: None, truncated: false, usage: Usage::default(), unmet_need: None })
        }

        async fn reset(&mut self) -> Result<(), Fault> {
            Ok(())
        }

        async fn maintain(&mut self, _how: Maintenance) -> Result<(), Fault> {
            Ok(())
        }

        fn interpreter(&self) -> Option<InterpreterId> {
            None
        }

        fn machine(&self) -> Option<Arc<dyn Machine>> {
            None
        }
    }

    fn pair() -> Pair {
        let scripted = |hash, first| Arc::new(Scripted { hash, runs: AtomicU64::new(first) }) as Arc<dyn Backend>;
        Pair { one: scripted("1", 0), other: scripted("2", 100) }
    }

    async fn compared(source: &str) -> Comparison {
        pair().run(&Program::python(source)).await.unwrap()
    }

    #[tokio::test]
    async fn outputs_that_differ_between_workers_are_found_if_either_could_be_cached() {
        assert_eq!(compared("print(1)\nx = 1\n").await, Comparison::Same);
        assert!(matches!(compared("print(hash)\n").await, Comparison::Differ(_)));
        assert!(matches!(compared("print(time)\n").await, Comparison::Differ(_)));
        assert_eq!(compared("print(hash)\nraise\n").await, Comparison::NotCacheable);
    }

    /// With a proof that passes every program, an unsound one is found and shrunk.
    #[tokio::test]
    async fn a_program_that_an_unsound_proof_passes_is_found_and_shrunk() {
        let source = "x = 1\nprint(x)\nfor y in x:\n    print(y)\nprint(hash)\nz = 2\n";
        let pair = pair();
        let differs = async |source: &str| pair.differs(&Program::python(source), 3).await;
        assert_eq!(shrink::shrink(shrink::parts(source), differs).await, "print(hash)\n");
    }
}
