//! Programs in a machine: one process for each, after a compiler where the language has one.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use switchtower_contract::{Escalation, Events, Exit, Failure, Fault, Language, Limits, Need, Outcome, Program};
use switchtower_typescript::Imports;
use switchtower_worker::output::StdStream;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::channel::{Channel, CommandEnd, CommandSpec, Frame};
use crate::client::InitClient;
use crate::kernel_process::{KernelProcess, Operation, RunEnd};
use crate::language::{Compiler, HOME, USER, compiler};
use crate::output::{RunOutput, TICK};
use crate::shared::SharedInstance;
use crate::translate::{self, Code};

/// Most bytes of a compiled program that is kept.
const MAX_COMPILED: usize = 16 << 20;
/// Most bytes of all compiled programs that are kept.
const MAX_ALL_COMPILED: usize = 256 << 20;
/// Most bytes of a compiler's messages in an answer.
const MAX_MESSAGES: usize = 64 << 10;
/// How long after the deadline an interrupted program may end.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// The exit codes of a command that a shell does not find, or may not run.
const NOT_FOUND: [i32; 2] = [126, 127];

/// Compiled programs by the hash of what they were compiled from. They come from machines in which nothing else had run.
#[derive(Debug, Default)]
pub(crate) struct CompiledPrograms(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    programs: HashMap<[u8; 32], (Bytes, u64)>,
    bytes: usize,
    /// Counts uses.
    clock: u64,
}

impl CompiledPrograms {
    fn get(&self, key: &[u8; 32]) -> Option<Bytes> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let now = kept.clock;
        let (program, used) = kept.programs.get_mut(key)?;
        *used = now;
        Some(program.clone())
    }

    fn keep(&self, key: [u8; 32], program: Bytes) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let now = kept.clock;
        kept.bytes += program.len();
        if let Some((replaced, _)) = kept.programs.insert(key, (program, now)) {
            kept.bytes -= replaced.len();
        }
        while kept.bytes > MAX_ALL_COMPILED {
            let Some(oldest) = kept.programs.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key) else {
                break;
            };
            if let Some((removed, _)) = kept.programs.remove(&oldest) {
                kept.bytes -= removed.len();
            }
        }
    }
}

/// A program's run in a machine in which nothing has run.
pub(crate) struct ProgramRun<'a> {
    pub(crate) machine: &'a SharedInstance,
    pub(crate) compiled: &'a Arc<CompiledPrograms>,
    pub(crate) program: &'a Program,
    pub(crate) limits: &'a Limits,
    pub(crate) deadline: Instant,
    /// The machine's own limit.
    pub(crate) most_memory: u64,
}

impl ProgramRun<'_> {
    /// Runs the program to its end.
    pub(crate) async fn run(&self, events: &Events) -> Result<Outcome, Fault> {
        self.machine.lower_memory(self.limits.memory.min(self.most_memory))?;
        let before = self.machine.usage()?;
        let mut output = RunOutput::new(events, self.limits.output);
        // What is done before the program starts, and a machine that answers no more, do not outlast the run.
        let ended = timeout_at(self.deadline + END_TIMEOUT, self.end(&mut output)).await;
        let end = self.machine.end_of(ended.unwrap_or(Ok(RunEnd::TimedOut)), &before).await?;
        let truncated = output.finish().await;
        let need = output.unmet_need();
        if let (Some(need), Escalation::OnNeed) = (&need, self.limits.escalation) {
            return Err(Fault::Unsupported(need.clone()));
        }
        Ok(self.machine.outcome(end, &before, truncated, need))
    }

    async fn end(&self, output: &mut RunOutput<'_>) -> Result<RunEnd, Fault> {
        let client = self.machine.client()?;
        self.write_files(&client).await?;
        Ok(match self.program.language {
            Language::Python | Language::JavaScript | Language::TypeScript => self.interpret(&client, output).await?,
            Language::Bash => {
                self.write(&client, &format!("{HOME}/.program.sh"), self.program.source.clone().into()).await?;
                self.command(&client, "bash", &[".program.sh"], output).await?
            }
            Language::C | Language::Cpp => self.compile_and_run(&client, output).await?,
            language @ (Language::R | Language::Java | Language::Added(_)) => {
                return Err(Fault::Unsupported(Need::Language(format!("{language}"))));
            }
        })
    }

    async fn write_files(&self, client: &InitClient) -> Result<(), Fault> {
        for file in &self.program.files {
            self.write(client, &absolute(&file.path), file.content.clone().into()).await?;
        }
        Ok(())
    }

    async fn write(&self, client: &InitClient, path: &str, content: Bytes) -> Result<(), Fault> {
        let written = client.write_file(path, USER, content, &[]).await?;
        let refused = |message: String| Fault::Refused { reason: format!("{path}: {message}"), retry_after: None };
        written.map(drop).map_err(|why| refused(why.message))
    }

    /// Runs the program in a process of its language's kernel.
    async fn interpret(&self, client: &InitClient, output: &mut RunOutput<'_>) -> Result<RunEnd, Fault> {
        let code = match Code::of(self.program.language, &self.program.source, Imports::Used) {
            Ok(code) => code,
            Err(failure) => {
                output.fail(failure).await;
                return Ok(RunEnd::Code(Exit::Raised));
            }
        };
        let modules = match self.program.language {
            Language::TypeScript => translate::modules(&self.program.files, absolute),
            _ => BTreeMap::new(),
        };
        let source = translate::with_module_files(code.text(), HOME, &modules);
        output.set_translated(code.into_translated());
        for (path, code) in &modules {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let code = translate::with_module_files(code, folder, &modules);
            self.write(client, &format!("{path}{}", translate::MODULE_END), code.into()).await?;
        }
        let mut process = KernelProcess::start(client, self.program.language, &BTreeMap::new(), None).await?;
        let operation = Operation::Program {
            source: &source,
            stdin: self.program.stdin.as_deref(),
            env: self.program.env.as_ref(),
            modules: &modules,
        };
        process.execute(&operation, self.deadline, output).await
    }

    /// Runs a command as the program, with its input and its environment.
    async fn command(
        &self,
        client: &InitClient,
        program: &str,
        args: &[&str],
        output: &mut RunOutput<'_>,
    ) -> Result<RunEnd, Fault> {
        let none = BTreeMap::new();
        let env = self.program.env.as_ref().unwrap_or(&none);
        let spec = CommandSpec { program, args, env, cwd: HOME, user: USER, control: false };
        let mut channel = Channel::start(client, &spec).await?;
        // A program may print before it reads, and may end without reading: its output is read meanwhile.
        let (input, text) = (channel.input().clone(), self.program.stdin.clone().unwrap_or_default());
        let mut feeding = pin!(input.stdin(text.into()));
        let mut is_fed = false;
        let mut next_tick = Instant::now() + TICK;
        loop {
            tokio::select! {
                _ = &mut feeding, if !is_fed => is_fed = true,
                frame = channel.next() => match frame? {
                    Frame::Stdout(bytes) => output.write(StdStream::Stdout, &bytes).await,
                    Frame::Stderr(bytes) => output.write(StdStream::Stderr, &bytes).await,
                    Frame::Control(_) => {}
                    Frame::Ended(end) => return Ok(RunEnd::Process(end)),
                },
                () = sleep_until(self.deadline) => return Ok(RunEnd::TimedOut),
                () = sleep_until(next_tick) => {
                    next_tick = Instant::now() + TICK;
                    output.tick().await;
                }
            }
        }
    }

    async fn compile_and_run(&self, client: &InitClient, output: &mut RunOutput<'_>) -> Result<RunEnd, Fault> {
        let Some(compiler) = compiler(self.program.language) else {
            return Err(Fault::Unsupported(Need::Language(self.program.language.to_string())));
        };
        let key = self.key(&compiler);
        let path = format!("{HOME}/program");
        let is_kept = !self.has_time_of_compilation();
        if let Some(compiled) = self.compiled.get(&key).filter(|_| is_kept) {
            self.write(client, &path, compiled).await?;
            self.make_executable(client).await?;
        } else {
            if let Some(failed) = self.compile(client, &compiler, output).await? {
                return Ok(failed);
            }
            if let (true, Ok(compiled)) = (is_kept, client.read_file(&path, MAX_COMPILED).await?) {
                self.compiled.keep(key, compiled);
            }
        }
        self.command(client, "./program", &[], output).await
    }

    /// Returns whether the text of the program or of a file names the macros of the time at which it is compiled.
    fn has_time_of_compilation(&self) -> bool {
        let texts = self.program.files.iter().map(|file| file.content.as_slice());
        let mut texts = texts.chain([self.program.source.as_bytes()]);
        texts.any(|text| {
            [&b"__TIME"[..], b"__DATE__"].iter().any(|name| text.windows(name.len()).any(|part| part == *name))
        })
    }

    /// Returns the hash of everything that the compiled program depends on.
    fn key(&self, compiler: &Compiler) -> [u8; 32] {
        let inputs = json!([self.program.language.name(), compiler.arguments, self.program.source]);
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        add(inputs.to_string().as_bytes());
        for file in &self.program.files {
            add(file.path.as_bytes());
            add(&file.content);
        }
        *hasher.finalize().as_bytes()
    }

    async fn make_executable(&self, client: &InitClient) -> Result<(), Fault> {
        let none = BTreeMap::new();
        let spec = CommandSpec {
            program: "chmod",
            args: &["755", "program"],
            env: &none,
            cwd: HOME,
            user: USER,
            control: false,
        };
        let mut channel = Channel::start(client, &spec).await?;
        while !matches!(channel.next().await?, Frame::Ended(_)) {}
        Ok(())
    }

    /// Compiles the program. Returns how it ended if it could not be compiled: its error has the compiler's messages.
    async fn compile(
        &self,
        client: &InitClient,
        compiler: &Compiler,
        output: &mut RunOutput<'_>,
    ) -> Result<Option<RunEnd>, Fault> {
        let source = format!("{HOME}/{}", compiler.source);
        self.write(client, &source, self.program.source.clone().into()).await?;
        let none = BTreeMap::new();
        for program in compiler.programs {
            let spec =
                CommandSpec { program, args: compiler.arguments, env: &none, cwd: HOME, user: USER, control: false };
            let mut channel = match Channel::start(client, &spec).await {
                Ok(channel) => channel,
                // It is not installed.
                Err(Fault::Refused { .. }) => continue,
                Err(fault) => return Err(fault),
            };
            let mut messages = Vec::new();
            let end = loop {
                tokio::select! {
                    frame = channel.next() => match frame? {
                        Frame::Stdout(bytes) | Frame::Stderr(bytes) => {
                            let left = MAX_MESSAGES.saturating_sub(messages.len());
                            messages.extend_from_slice(&bytes[..bytes.len().min(left)]);
                        }
                        Frame::Control(_) => {}
                        Frame::Ended(end) => break end,
                    },
                    () = sleep_until(self.deadline) => return Ok(Some(RunEnd::TimedOut)),
                }
            };
            match end {
                CommandEnd::Code(0) => {
                    // Warnings.
                    if !messages.is_empty() {
                        output.write(StdStream::Stderr, &messages).await;
                    }
                    return Ok(None);
                }
                CommandEnd::Code(code) if NOT_FOUND.contains(&code) => {}
                _ => {
                    output.fail(compile_error(compiler.source, &String::from_utf8_lossy(&messages))).await;
                    return Ok(Some(RunEnd::Code(Exit::Raised)));
                }
            }
        }
        let package = if self.program.language == Language::C { "gcc" } else { "g++" };
        let missing = format!(
            "a compiler for {}: install the package {package} on this host, or in the root file system of machines where \
             machine.root names one",
            self.program.language
        );
        Err(Fault::Unsupported(Need::Language(missing)))
    }
}

/// Returns the absolute path of a program's file.
fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{HOME}/{path}") }
}

/// Returns the error of a program that does not compile: the line is that of the first message with one.
fn compile_error(source: &str, messages: &str) -> Failure {
    let prefix = format!("{source}:");
    let first = messages.lines().find(|line| line.contains("error"));
    let line = messages.lines().find_map(|line| {
        let rest = line.strip_prefix(&prefix)?;
        line.contains("error").then_some(())?;
        rest.split(':').next()?.parse().ok()
    });
    let value = first.unwrap_or("the program does not compile").trim().to_owned();
    Failure { name: "CompileError".to_owned(), value, traceback: messages.to_owned(), line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_program_that_does_not_compile_has_the_line_of_the_first_error() {
        let messages = "program.cpp: In function 'int main()':\nprogram.cpp:3:5: warning: unused\n\
                        program.cpp:7:9: error: 'x' was not declared in this scope\nprogram.cpp:9:1: error: other\n";
        let error = compile_error("program.cpp", messages);
        assert_eq!(error.line, Some(7));
        assert_eq!(error.value, "program.cpp:7:9: error: 'x' was not declared in this scope");
        assert_eq!(compile_error("program.c", "ld: error: undefined main").line, None);
    }

    #[test]
    fn the_compiled_programs_that_were_used_last_are_kept() {
        let kept = CompiledPrograms::default();
        let large = Bytes::from(vec![0; MAX_ALL_COMPILED / 2]);
        kept.keep([1; 32], large.clone());
        kept.keep([2; 32], large.clone());
        assert!(kept.get(&[1; 32]).is_some());
        kept.keep([3; 32], large);
        assert!(kept.get(&[1; 32]).is_some() && kept.get(&[2; 32]).is_none() && kept.get(&[3; 32]).is_some());
    }
}
