//! A process that runs code of one language, piece by piece: messages on its descriptor 3, output on 1 and 2.
//!
//! Each message is a line of JSON. To the process: `{"op": "cell" | "program" | "internal", …}`. From it: `{"ready": true}`
//! once, `{"show": {MIME: text}, "main": bool}`, and `{"ended": {"exit": "finished" | "raised", …}}` for each message to it.

use std::collections::BTreeMap;
use std::pin::pin;
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
/// Most representations of one shown value.
const MAX_REPRESENTATIONS: usize = 64;
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
        /// What its modules in TypeScript are in JavaScript, by their paths.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        modules: &'a BTreeMap<String, String>,
    },
    Internal {
        code: &'a str,
        /// As with the first cell, if it comes before that: what it sets stays.
        options: Option<&'a KernelOptions>,
    },
}

/// A message from the process. What else is in its line takes no memory.
#[derive(Debug)]
enum Message {
    Ready,
    Show { show: MimeBundle, main: bool },
    Ended { ended: CodeEnd },
}

/// The line of a message.
#[derive(Debug, Deserialize)]
struct Line {
    ready: Option<bool>,
    show: Option<Shown>,
    #[serde(default)]
    main: bool,
    ended: Option<CodeEnd>,
}

impl TryFrom<Line> for Message {
    type Error = &'static str;

    fn try_from(line: Line) -> Result<Self, Self::Error> {
        match line {
            Line { ended: Some(ended), .. } => Ok(Self::Ended { ended }),
            Line { show: Some(Shown(show)), main, .. } => Ok(Self::Show { show, main }),
            Line { ready: Some(_), .. } => Ok(Self::Ready),
            _ => Err("it says nothing"),
        }
    }
}

/// A shown value. A kernel has a few representations of one; many small ones would take far more memory than their text.
#[derive(Debug)]
struct Shown(MimeBundle);

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> serde::de::Visitor<'de> for Entries {
            type Value = MimeBundle;

            fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(to, "at most {MAX_REPRESENTATIONS} texts by type")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<MimeBundle, A::Error> {
                let mut entries = MimeBundle::new();
                for _ in 0..=MAX_REPRESENTATIONS {
                    let Some((name, text)) = map.next_entry()? else { return Ok(entries) };
                    entries.insert(name, text);
                }
                Err(serde::de::Error::invalid_length(MAX_REPRESENTATIONS + 1, &self))
            }
        }
        from.deserialize_map(Entries).map(Shown)
    }
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
    /// Bytes of an unfinished line that have no end of it.
    searched: usize,
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
        let mut process = Self { channel, lines: BytesMut::new(), searched: 0, is_interrupted: false };
        let ready = async {
            let mut said = Vec::new();
            loop {
                match process.channel.next().await? {
                    Frame::Control(bytes) => {
                        process.lines.extend_from_slice(&bytes);
                        if let Some(Message::Ready) = process.message()? {
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
        let Some(end) = self.lines[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.lines.len();
            if self.lines.len() > MAX_LINE {
                return Err(lost("a kernel sent a message that is too long"));
            }
            return Ok(None);
        };
        let line: Bytes = self.lines.split_to(self.searched + end).freeze();
        self.lines.advance(1);
        self.searched = 0;
        // A program may write to the descriptor: only its own kernel is misled by that.
        let invalid = |why: &dyn std::fmt::Display| lost(format!("a kernel sent an invalid message: {why}"));
        let line: Line = serde_json::from_slice(&line).map_err(|why| invalid(&why))?;
        Message::try_from(line).map(Some).map_err(|why| invalid(&why))
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
        let end = self.follow(line.into(), deadline, output).await?;
        self.is_interrupted = false;
        Ok(end)
    }

    /// Sends a message and follows what it does until its end. A kernel that does not read, because a program has taken its
    /// descriptor or stopped it, is given up as one that does not end.
    async fn follow(&mut self, line: Bytes, deadline: Instant, output: &mut RunOutput<'_>) -> Result<RunEnd, Fault> {
        let input = self.channel.input().clone();
        let mut sending = pin!(input.control(line));
        let mut is_sent = false;
        let mut given_up: Option<Instant> = None;
        let (mut next_tick, mut next_signal) = (Instant::now() + TICK, Instant::now());
        loop {
            while let Some(message) = self.message()? {
                match message {
                    Message::Ready => {}
                    Message::Show { show, main } => output.show(show, main).await,
                    Message::Ended { .. } if !is_sent => return Err(lost("a kernel ended code that it was not given")),
                    Message::Ended { ended } => {
                        // An interrupted cell ends with an exception that its code did not cause.
                        return Ok(if given_up.is_some() { RunEnd::Interrupted } else { finish(ended, output).await });
                    }
                }
            }
            let limit = given_up.unwrap_or(deadline);
            tokio::select! {
                sent = &mut sending, if !is_sent => {
                    sent?;
                    is_sent = true;
                }
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
                    input.signal(SIGINT);
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
        self.channel.input().signal(SIGINT);
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
    pub(crate) fn interrupter(&self) -> impl Fn() + Send + Sync + use<> {
        let input = self.channel.input().clone();
        move || input.signal(SIGINT)
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
