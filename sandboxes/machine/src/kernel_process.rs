//! A process that runs code of one language, piece by piece: messages on its descriptor 3, output on 1 and 2.
//!
//! Each message is a line of JSON. To the process: `{"op": "cell" | "program" | "internal", …}`. From it: `{"ready": true}`
//! once, `{"show": {MIME: text}, "main": bool}`, and `{"ended": {"exit": "finished" | "raised", …}}` for each message to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use switchtower_contract::{Exit, Failure, Fault, KernelOptions, Language, MimeBundle, Need};
use switchtower_worker::output::StdStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::channel::{Channel, CommandEnd, CommandSpec, Frame};
use crate::client::{InitClient, lost};
use crate::language::{HOME, USER, kernel_command};
use crate::output::{RunOutput, TICK};

/// How long a kernel may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an interrupted cell may take to end before its process is killed.
const INTERRUPT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often an interrupt is sent until the cell ends.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(250);
/// Most bytes of one message: a shown value and its escapes.
const MAX_LINE: usize = 40 << 20;
const SIGINT: u8 = 2;

/// A message to the process.
#[derive(Debug, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(crate) enum Operation<'a> {
    Cell {
        source: &'a str,
        number: u32,
        env: &'a BTreeMap<String, String>,
        stdin: Option<&'a str>,
        /// With the first cell.
        options: Option<&'a KernelOptions>,
    },
    Program {
        source: &'a str,
        stdin: Option<&'a str>,
        env: Option<&'a BTreeMap<String, String>>,
    },
    Internal {
        code: &'a str,
    },
}

/// A message from the process.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Message {
    Ready {
        #[serde(rename = "ready")]
        _ready: bool,
    },
    Show {
        show: MimeBundle,
        main: bool,
    },
    Ended {
        ended: CodeEnd,
    },
}

#[derive(Debug, Deserialize)]
#[serde(tag = "exit", rename_all = "lowercase")]
enum CodeEnd {
    Finished { code: i32 },
    Raised { name: String, value: String, traceback: String, line: Option<u32> },
}

/// How a piece of code ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunEnd {
    /// By itself: the process runs on.
    Code(Exit),
    /// Its time was over: it was interrupted, and the process runs on.
    Interrupted,
    /// Its time was over, and the process had to be killed.
    TimedOut,
    /// The process ended.
    Process(CommandEnd),
}

/// A process that runs code. Dropping it kills it.
pub(crate) struct KernelProcess {
    channel: Channel,
    lines: BytesMut,
    /// A piece of code was left before its end.
    is_interrupted: bool,
}

impl KernelProcess {
    /// Starts the process of a language and waits until it is ready.
    pub(crate) async fn start(
        client: &InitClient,
        language: Language,
        env: &BTreeMap<String, String>,
        folder: Option<&str>,
    ) -> Result<Self, Fault> {
        let unsupported = || Fault::Unsupported(Need::Language(format!("a kernel for {language}")));
        let (program, args) = kernel_command(language).and_then(<[&str]>::split_first).ok_or_else(unsupported)?;
        let spec = CommandSpec { program, args, env, cwd: folder.unwrap_or(HOME), user: USER, control: true };
        let channel = Channel::start(client, &spec).await?;
        let mut process = Self { channel, lines: BytesMut::new(), is_interrupted: false };
        let ready = async {
            let mut said = Vec::new();
            loop {
                match process.channel.next().await? {
                    Frame::Control(bytes) => {
                        process.lines.extend_from_slice(&bytes);
                        if let Some(Message::Ready { .. }) = process.message()? {
                            return Ok(());
                        }
                    }
                    Frame::Stdout(bytes) | Frame::Stderr(bytes) if said.len() < 4096 => said.extend_from_slice(&bytes),
                    Frame::Stdout(_) | Frame::Stderr(_) => {}
                    Frame::Ended(_) => {
                        let reason =
                            format!("the kernel for {language} ended: {}", String::from_utf8_lossy(&said).trim());
                        return Err(Fault::Refused { reason, retry_after: None });
                    }
                }
            }
        };
        let in_time = timeout(START_TIMEOUT, ready).await;
        in_time.unwrap_or_else(|_| {
            Err(Fault::Unavailable { reason: format!("the kernel for {language} did not start") })
        })?;
        Ok(process)
    }

    /// Returns the next whole message.
    fn message(&mut self) -> Result<Option<Message>, Fault> {
        let Some(end) = self.lines.iter().position(|byte| *byte == b'\n') else {
            if self.lines.len() > MAX_LINE {
                return Err(lost("a kernel sent a message that is too long"));
            }
            return Ok(None);
        };
        let line: Bytes = self.lines.split_to(end).freeze();
        self.lines.advance(1);
        // A program may write to the descriptor: only its own kernel is misled by that.
        serde_json::from_slice(&line)
            .map(Some)
            .map_err(|error| lost(format!("a kernel sent an invalid message: {error}")))
    }

    /// Runs a piece of code until its end or the deadline.
    pub(crate) async fn execute(
        &mut self,
        operation: &Operation<'_>,
        deadline: Instant,
        output: &mut RunOutput<'_>,
    ) -> Result<RunEnd, Fault> {
        if self.is_interrupted && !self.recover().await? {
            return Err(lost("an interrupted cell does not end"));
        }
        let mut line = serde_json::to_vec(operation).map_err(lost)?;
        line.push(b'\n');
        self.is_interrupted = true;
        self.channel.control(&line).await?;
        let end = self.follow(deadline, output).await?;
        self.is_interrupted = false;
        Ok(end)
    }

    async fn follow(&mut self, deadline: Instant, output: &mut RunOutput<'_>) -> Result<RunEnd, Fault> {
        let mut given_up: Option<Instant> = None;
        let (mut next_tick, mut next_signal) = (Instant::now() + TICK, Instant::now());
        loop {
            while let Some(message) = self.message()? {
                match message {
                    Message::Ready { .. } => {}
                    Message::Show { show, main } => output.show(show, main).await,
                    Message::Ended { ended } => {
                        // An interrupted cell ends with an exception that its code did not cause.
                        return Ok(if given_up.is_some() { RunEnd::Interrupted } else { finish(ended, output).await });
                    }
                }
            }
            let limit = given_up.unwrap_or(deadline);
            tokio::select! {
                frame = self.channel.next() => match frame? {
                    Frame::Control(bytes) => self.lines.extend_from_slice(&bytes),
                    Frame::Stdout(bytes) => output.write(StdStream::Stdout, &bytes).await,
                    Frame::Stderr(bytes) => output.write(StdStream::Stderr, &bytes).await,
                    Frame::Ended(_) if given_up.is_some() => return Ok(RunEnd::TimedOut),
                    Frame::Ended(end) => return Ok(RunEnd::Process(end)),
                },
                () = sleep_until(limit) => {
                    if given_up.is_some() {
                        return Ok(RunEnd::TimedOut);
                    }
                    given_up = Some(Instant::now() + INTERRUPT_TIMEOUT);
                }
                () = sleep_until(next_signal), if given_up.is_some() => {
                    // A command that is just being started can miss one.
                    next_signal = Instant::now() + SIGNAL_INTERVAL;
                    self.channel.signal(SIGINT).await?;
                }
                () = sleep_until(next_tick) => {
                    next_tick = Instant::now() + TICK;
                    output.tick().await;
                }
            }
        }
    }

    /// Waits for the end of a cell that was left. Returns false if it does not end.
    async fn recover(&mut self) -> Result<bool, Fault> {
        self.channel.signal(SIGINT).await?;
        let ended = async {
            loop {
                while let Some(message) = self.message()? {
                    if matches!(message, Message::Ended { .. }) {
                        return Ok(true);
                    }
                }
                match self.channel.next().await? {
                    Frame::Control(bytes) => self.lines.extend_from_slice(&bytes),
                    Frame::Stdout(_) | Frame::Stderr(_) => {}
                    Frame::Ended(_) => return Ok(false),
                }
            }
        };
        timeout(INTERRUPT_TIMEOUT, ended).await.unwrap_or(Ok(false))
    }

    /// Returns what interrupts the process without its owner: the first process of its machine sends the signal.
    pub(crate) fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync> {
        self.channel.interrupter()
    }
}

async fn finish(ended: CodeEnd, output: &mut RunOutput<'_>) -> RunEnd {
    RunEnd::Code(match ended {
        CodeEnd::Finished { code } => Exit::Finished(code),
        CodeEnd::Raised { name, value, traceback, line } => {
            output.fail(Failure { name, value, traceback, line }).await;
            Exit::Raised
        }
    })
}
