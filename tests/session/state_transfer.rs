//! The transfer of state from one real kernel to another. The second tier has the same backend as the first, wrapped so that
//! its kernels record no tape and cannot be rebuilt.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{
    Backend, Cell, CellOutcome, Events, Fault, Isolation, Kernel, KernelOptions, Kernels, Language, Limits, Offer,
    Sandbox, Spec,
};
use switchtower_core::seed::Seed;
use switchtower_core::tier::{self, Tier, Tiers};

use super::harness::{Plan, assemble, caller, options, run, transcript};
use crate::backend::harness::harness;

struct Unreplayable(Arc<dyn Backend>);

struct UnreplayableKernel(Box<dyn Kernel>);

#[async_trait]
impl Backend for Unreplayable {
    fn offer(&self) -> Offer {
        Offer { observes: false, replayable: false, isolation: Isolation::Process, ..self.0.offer() }
    }

    fn runtime(&self) -> Arc<str> {
        self.0.runtime()
    }

    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        self.0.open(spec).await
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        Some(self)
    }
}

#[async_trait]
impl Kernels for Unreplayable {
    async fn open_kernel(&self, language: Language, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        let kernels = self.0.kernels().expect("the tier keeps kernels");
        Ok(Box::new(UnreplayableKernel(kernels.open_kernel(language, options).await?)))
    }
}

#[async_trait]
impl Kernel for UnreplayableKernel {
    async fn run(&mut self, cell: &Cell, limits: &Limits, events: &Events) -> Result<CellOutcome, Fault> {
        let mut outcome = self.0.run(cell, limits, events).await?;
        (outcome.tape, outcome.outcome.observed) = (None, None);
        Ok(outcome)
    }

    async fn run_internal(&mut self, code: &str, timeout: Duration) -> Result<String, Fault> {
        self.0.run_internal(code, timeout).await
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        self.0.restart().await
    }
}

/// A cell that the rules route to the second tier first.
const MOVES: &str = "import threading\nthreading.main_thread().name";

#[test]
fn names_of_all_kinds_are_restored_in_the_other_kernel_and_one_that_cannot_be_is_reported() {
    harness().block_on(async {
        let tier = |name: &str, backend: Arc<dyn Backend>| {
            Tier::new(name.into(), backend, tier::Config::default(), &Seed::fixed(1))
        };
        let workers: Arc<dyn Backend> = harness().workers.clone();
        let tiers = Tiers::new([tier("wasm", workers.clone()), tier("native", Arc::new(Unreplayable(workers)))]);
        let (_router, sessions) = assemble(tiers, &Plan::default());
        let open = async || sessions.create(&caller("ada"), options()).await.unwrap();

        let session = open().await;
        let cells = [
            "import random, time\nx = random.random()\nheld = [x]\nbegan = time.time()",
            "class P:\n    def __init__(self, v): self.v = v\np = P(held)\ndef f(n):\n    return n + len(p.v)",
            "open('/tmp/a', 'w').write('kept'); print(f(1))",
            "text = 'x' * 300_000\n6 * 7",
        ];
        for cell in cells {
            assert!(transcript(&session, cell).await.starts_with("wasm: "));
        }
        let values = "x, held[0] == x, p.v is held, f(2), began, len(text), _4, Out[4], open('/tmp/a').read()";
        let before = transcript(&session, values).await.replace("wasm: 5", "");
        let moved = run(&session, MOVES).await;
        assert_eq!(moved.transcript(), "native: 6 | = 'MainThread'");
        assert!(moved.result.unwrap().moved.unwrap().contains("threads"));
        assert_eq!(transcript(&session, values).await.replace("native: 7", ""), before);
        assert_eq!(transcript(&session, "held.append(2)\nraise KeyError('no')").await, "native: 8 | KeyError: 'no'");
        assert_eq!(transcript(&session, "p.v[1], list(session for session in [1])").await, "native: 9 | = (2, [1])");

        let session = open().await;
        transcript(&session, "import random\ndrawn = (random.random() for _ in range(9))\nnext(drawn) < 1").await;
        let stays = run(&session, MOVES).await.error();
        assert!(
            stays.contains("cannot move to native: the state after cell 1 ") && stays.contains("drawn: "),
            "{stays}"
        );
        assert_eq!(transcript(&session, "next(drawn) < 1").await, "wasm: 3 | = True");
    });
}
