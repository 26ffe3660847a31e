//! A toy language, reverse Polish notation: `3 4 +` prints 7. All that it takes is in this file, and in the test that counts its
//! lines.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::language::Definition;
use switchtower_contract::{
    Backend, Effects, Event, Events, Exit, Fault, Language, Languages, Limits, Maintenance, Modules, Offer, Outcome,
    Program, Sandbox, Spec, Usage,
};
use switchtower_core::analyse::{Class, Profile};

// Step 1: its names.
pub(crate) static RPN: Definition = Definition { name: "rpn", aliases: &["dc"], endings: &["rpn"] };

// Step 2: what can be said of a program without running it.
pub(crate) fn analyse(program: &Program) -> Profile {
    Profile::pure(Class::SimpleMath, program.source.lines().count() as u32)
}

// Step 3: what runs it.
pub(crate) struct Calculator(pub(crate) Language);

#[async_trait]
impl Backend for Calculator {
    fn offer(&self) -> Offer {
        let (languages, max_wall) = (Languages::only(self.0, Modules::Any), Duration::from_secs(1));
        Offer { languages, observes: true, max_memory: 1 << 20, max_wall, ..Offer::nothing() }
    }

    fn runtime(&self) -> Arc<str> {
        "calculator 1".into()
    }

    async fn open(&self, _spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        Ok(Box::new(Self(self.0)))
    }
}

#[async_trait]
impl Sandbox for Calculator {
    async fn run(&mut self, program: &Program, _limits: &Limits, events: &Events) -> Result<Outcome, Fault> {
        let (event, exit) = match evaluate(&program.source) {
            Some(number) => (Event::Stdout(format!("{number}\n")), Exit::Finished(0)),
            None => (Event::Stderr("a number or an operator is missing\n".to_owned()), Exit::Finished(1)),
        };
        events.send(event).await;
        let observed = Some(Effects::NONE);
        Ok(Outcome { exit, observed, truncated: false, usage: Usage::default(), unmet_need: None })
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    async fn maintain(&mut self, _how: Maintenance) -> Result<(), Fault> {
        Ok(())
    }
}

fn evaluate(source: &str) -> Option<f64> {
    let mut stack = Vec::new();
    for word in source.split_whitespace() {
        let number = match word {
            "+" => stack.pop()? + stack.pop()?,
            "*" => stack.pop()? * stack.pop()?,
            number => number.parse().ok()?,
        };
        stack.push(number);
    }
    stack.pop().filter(|_| stack.is_empty())
}
