//! Compiles a seccomp filter that maps each system call number to an action.
//!
//! The filter searches by bisection. The kernel runs a new filter once for every call number, so that a linear search would
//! cost each child a millisecond.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, sock_filter};

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Allow,
    /// The call fails with this error.
    Fail(i32),
    /// The process is killed with SIGSYS.
    Kill,
}

impl Action {
    /// Returns the value of linux/seccomp.h.
    fn code(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Fail(error) => libc::SECCOMP_RET_ERRNO | error as u32,
            Self::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }
}

/// `AUDIT_ARCH_*` of linux/audit.h.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Offsets of the call number and the architecture in `struct seccomp_data`.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;

/// Returns a filter with these actions, and `otherwise` for all other calls. Calls of other architectures kill the process.
pub(crate) fn filter(actions: &BTreeMap<i64, Action>, otherwise: Action) -> Result<BpfProgram, String> {
    let mut program =
        vec![load(ARCHITECTURE_AT), jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0), end(Action::Kill), load(NUMBER_AT)];
    bisect(&spans(actions, otherwise), &mut program)?;
    Ok(program)
}

/// Returns ranges of call numbers as their first number and their action; a range ends where the next begins.
fn spans(actions: &BTreeMap<i64, Action>, otherwise: Action) -> Vec<(u32, Action)> {
    let mut spans = vec![(0, otherwise)];
    for (call, action) in actions {
        // Numbers of calls are small.
        let call = *call as u32;
        if spans.last().is_some_and(|(from, _)| *from == call) {
            spans.pop();
        }
        spans.extend([(call, *action), (call + 1, otherwise)]);
    }
    spans.dedup_by_key(|(_, action)| *action);
    spans
}

fn bisect(spans: &[(u32, Action)], program: &mut BpfProgram) -> Result<(), String> {
    if let [(_, action)] = spans {
        program.push(end(*action));
        return Ok(());
    }
    let (low, high) = spans.split_at(spans.len() / 2);
    let mut low_half = Vec::new();
    bisect(low, &mut low_half)?;
    let over = low_half.len().try_into().map_err(|_| "the list of system calls has too many gaps".to_owned())?;
    program.push(jump(libc::BPF_JGE, high[0].0, over, 0));
    program.append(&mut low_half);
    bisect(high, program)
}

fn load(at: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: at }
}

fn jump(comparison: u32, value: u32, if_so: u8, if_not: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | comparison | libc::BPF_K) as u16, jt: if_so, jf: if_not, k: value }
}

fn end(action: Action) -> sock_filter {
    sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: action.code() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what the kernel would do: interprets the filter.
    fn run(program: &[sock_filter], architecture: u32, call: u32) -> u32 {
        let (mut at, mut held) = (0, 0);
        loop {
            let step = &program[at];
            let so = match u32::from(step.code) & 0xf7 {
                code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    held = if step.k == NUMBER_AT { call } else { architecture };
                    true
                }
                code if code == libc::BPF_JMP | libc::BPF_JEQ => held == step.k,
                code if code == libc::BPF_JMP | libc::BPF_JGE => held >= step.k,
                _ => return step.k,
            };
            at += 1 + usize::from(if so { step.jt } else { step.jf });
        }
    }

    #[test]
    fn every_call_gets_its_listed_action_or_the_default() {
        let actions: BTreeMap<i64, Action> =
            [(0, Action::Allow), (1, Action::Allow), (7, Action::Kill), (8, Action::Fail(38)), (300, Action::Allow)]
                .into();
        let otherwise = Action::Fail(1);
        let program = filter(&actions, otherwise).unwrap();
        for call in (0..500).chain([0x4000_0000, 0x4000_0007, u32::MAX]) {
            let expected = actions.get(&i64::from(call)).copied().unwrap_or(otherwise);
            assert_eq!(run(&program, ARCHITECTURE, call), expected.code(), "{call}");
            assert_eq!(run(&program, ARCHITECTURE ^ 1, call), Action::Kill.code(), "{call}");
        }
    }
}
