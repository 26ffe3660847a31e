//! The frames between the parent and a worker: commands to the worker, reports to the parent.
//!
//! A frame is a length (32 bits, little endian) and that many bytes of postcard.

use std::io::{self, Read, Write};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use switchtower_contract::{Cell, CellOutcome, Event, Fault, KernelOptions, Language, Limits, Outcome, Program};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Most bytes of a frame: more than the largest program with its files, and than all shown values of a run.
const MAX_FRAME: usize = 64 << 20;

/// From the parent to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum WorkerCommand {
    RunProgram {
        program: Program,
        limits: Limits,
    },
    /// Run a cell in a kernel of the worker.
    RunCell {
        kernel: KernelNumber,
        /// The kernel's.
        language: Language,
        /// Given where the kernel is to be created.
        options: Option<KernelOptions>,
        cell: Cell,
        limits: Limits,
    },
    /// Run internal code in a kernel, outside the program's names, for this long at most, and report what it prints.
    RunInternal {
        kernel: KernelNumber,
        code: String,
        max_time: Duration,
    },
    /// End the kernel.
    CloseKernel {
        kernel: KernelNumber,
    },
    /// End the program that runs. Its last report still follows.
    Cancel,
}

/// Identifies a kernel between the parent and one worker.
pub type KernelNumber = u64;

/// From a worker to the parent, after its ready report ([`protocol`](crate::protocol)).
#[derive(Debug, Serialize, Deserialize)]
pub enum WorkerReport {
    Event(Event),
    ProgramEnded(Result<Outcome, Fault>),
    CellEnded(Result<CellOutcome, Fault>),
    InternalOutput(Result<String, Fault>),
    /// The kernel has ended.
    KernelClosed,
}

/// Returns a frame with its prefix.
///
/// # Errors
/// It is too long.
pub fn encode<T: Serialize>(frame: &T) -> io::Result<Vec<u8>> {
    let bytes = postcard::to_extend(frame, vec![0; 4]).map_err(io::Error::other)?;
    let prefix = prefix_of(bytes.len() - 4)?;
    let mut bytes = bytes;
    bytes[..4].copy_from_slice(&prefix);
    Ok(bytes)
}

/// Returns these bytes as a frame.
pub(crate) fn with_prefix(bytes: &[u8]) -> io::Result<Vec<u8>> {
    Ok([&prefix_of(bytes.len())?, bytes].concat())
}

fn prefix_of(length: usize) -> io::Result<[u8; 4]> {
    if length > MAX_FRAME {
        return Err(io::Error::other(format!("a frame of {length} bytes is too long")));
    }
    Ok(u32::try_from(length).map_err(io::Error::other)?.to_le_bytes())
}

/// Returns a report as a frame. A last report that is too long for a frame becomes a fault with that reason: without it
/// the caller would wait until the deadline, and the process would then be killed with all other kernels in it.
///
/// # Errors
/// It is too long, and not the last report of anything.
pub fn encode_report(report: &WorkerReport) -> io::Result<Vec<u8>> {
    encode(report).or_else(|error| {
        let reason = format!("its result cannot be sent: {error}");
        let lost = Fault::Lost { reason };
        match report {
            WorkerReport::ProgramEnded(_) => encode(&WorkerReport::ProgramEnded(Err(lost))),
            WorkerReport::CellEnded(_) => encode(&WorkerReport::CellEnded(Err(lost))),
            WorkerReport::InternalOutput(_) => encode(&WorkerReport::InternalOutput(Err(lost))),
            WorkerReport::Event(_) | WorkerReport::KernelClosed => Err(error),
        }
    })
}

/// Returns how many bytes follow a prefix.
///
/// # Errors
/// More than a frame may have.
pub fn length(prefix: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(prefix) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes is too long")));
    }
    Ok(length)
}

/// Decodes the bytes of a frame without its prefix.
///
/// # Errors
/// They are no value of this type.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// Writes one frame, blocking.
///
/// # Errors
/// The connection is closed, or the frame is too long.
pub fn write<T: Serialize>(to: &mut impl Write, frame: &T) -> io::Result<()> {
    to.write_all(&encode(frame)?)
}

/// Reads one frame, blocking.
///
/// # Errors
/// The connection is closed, or what came is no frame.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut prefix = [0; 4];
    from.read_exact(&mut prefix)?;
    let mut bytes = vec![0; length(prefix)?];
    from.read_exact(&mut bytes)?;
    decode(&bytes)
}

/// Writes one frame.
///
/// # Errors
/// The same as of [`write()`].
pub async fn send<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), frame: &T) -> io::Result<()> {
    to.write_all(&encode(frame)?).await
}

/// Reads frames. A read that is dropped before its end loses nothing: the next one continues it.
pub struct Reader<R> {
    from: R,
    bytes: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(from: R) -> Self {
        Self { from, bytes: Vec::new() }
    }

    /// Reads the next frame.
    ///
    /// # Errors
    /// The same as of [`read()`].
    pub async fn next<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let end = self.fill().await?;
        let frame = decode(&self.bytes[4..end]);
        self.bytes.drain(..end);
        frame
    }

    /// Reads the bytes of the next frame, without its prefix.
    ///
    /// # Errors
    /// The connection is closed, or the frame is too long.
    pub async fn next_bytes(&mut self) -> io::Result<Vec<u8>> {
        let end = self.fill().await?;
        let frame = self.bytes[4..end].to_vec();
        self.bytes.drain(..end);
        Ok(frame)
    }

    /// Reads until a whole frame has come; returns where it ends.
    async fn fill(&mut self) -> io::Result<usize> {
        loop {
            if let Some(prefix) = self.bytes.first_chunk::<4>() {
                let end = 4 + length(*prefix)?;
                if self.bytes.len() >= end {
                    return Ok(end);
                }
                self.bytes.reserve(end - self.bytes.len());
            } else {
                self.bytes.reserve(16 << 10);
            }
            if self.from.read_buf(&mut self.bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use switchtower_contract::{Change, Content, Exit, Need, Tape, Usage};

    use super::*;

    #[test]
    fn a_frame_survives_the_wire() {
        let mut wire = Vec::new();
        write(&mut wire, &WorkerReport::Event(Event::Stdout("é".repeat(1000)))).unwrap();
        let back: WorkerReport = read(&mut wire.as_slice()).unwrap();
        assert!(matches!(back, WorkerReport::Event(Event::Stdout(text)) if text == "é".repeat(1000)));
    }

    #[test]
    fn every_need_survives_the_wire() {
        for need in [
            Need::Module("numpy".into()),
            Need::Library("libGL.so.1".into()),
            Need::Files("/etc/passwd".into()),
            Need::Network("192.0.2.1:80".into()),
            Need::Process("ls".into()),
            Need::Threads,
            Need::Memory(1 << 28),
            Need::Disk,
            Need::Time(Duration::from_millis(1)),
            Need::Language("a feature".into()),
        ] {
            let mut wire = Vec::new();
            write(&mut wire, &WorkerReport::ProgramEnded(Err(Fault::Unsupported(need.clone())))).unwrap();
            let back: WorkerReport = read(&mut wire.as_slice()).unwrap();
            assert!(
                matches!(back, WorkerReport::ProgramEnded(Err(Fault::Unsupported(back))) if back == need),
                "{need}"
            );
        }
    }

    #[test]
    fn a_last_report_that_is_too_long_for_a_frame_becomes_a_fault() {
        let text = || "x".repeat(MAX_FRAME);
        let received = |report| decode::<WorkerReport>(&encode_report(&report).unwrap()[4..]).unwrap();
        let printed = received(WorkerReport::InternalOutput(Ok(text())));
        assert!(
            matches!(printed, WorkerReport::InternalOutput(Err(Fault::Lost { reason })) if reason.contains("too long"))
        );
        assert!(matches!(
            received(WorkerReport::ProgramEnded(Err(Fault::Lost { reason: text() }))),
            WorkerReport::ProgramEnded(Err(_))
        ));
        assert!(encode_report(&WorkerReport::Event(Event::Stdout(text()))).is_err());
    }

    /// A change of a frame raises [`PROTOCOL`](crate::protocol::PROTOCOL) and records the new bytes here: workers of
    /// another version are refused by that number; without it they would misread the frames.
    #[test]
    fn the_bytes_of_each_frame_are_those_of_this_protocol() {
        assert_eq!(crate::protocol::PROTOCOL, 4);
        let limits = || Limits { wall: Duration::from_secs(3), memory: 5, output: 7, ..Limits::default() };
        let (program, cell) = (Program::python("a"), Cell { source: "b".into(), ..Cell::default() });
        let orders = [
            WorkerCommand::RunProgram { program, limits: limits() },
            WorkerCommand::RunCell {
                kernel: 1,
                language: Language::JavaScript,
                options: Some(KernelOptions::default()),
                cell,
                limits: limits(),
            },
            WorkerCommand::RunInternal { kernel: 1, code: "c".into(), max_time: Duration::from_millis(1) },
            WorkerCommand::CloseKernel { kernel: 1 },
            WorkerCommand::Cancel,
        ];
        let outcome = || Outcome {
            exit: Exit::Finished(0),
            observed: None,
            truncated: false,
            usage: Usage::default(),
            unmet_need: Some(Need::Threads),
        };
        let change = Change { path: "p".into(), content: Content::Folder };
        let reports = [
            WorkerReport::Event(Event::Stdout("d".into())),
            WorkerReport::ProgramEnded(Ok(outcome())),
            WorkerReport::CellEnded(Ok(CellOutcome {
                outcome: outcome(),
                changes: vec![change],
                tape: Some(Tape::default()),
                alive: true,
            })),
            WorkerReport::InternalOutput(Err(Fault::Lost { reason: "e".into() })),
            WorkerReport::KernelClosed,
            // The last one: another one before it would change its number.
            WorkerReport::ProgramEnded(Err(Fault::Unsupported(Need::Language("f".into())))),
        ];
        let hex = |bytes: Vec<u8>| bytes[4..].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let frames = orders.iter().map(|order| hex(encode(order).unwrap()));
        let frames: Vec<String> = frames.chain(reports.iter().map(|report| hex(encode(report).unwrap()))).collect();
        assert_eq!(frames, FRAMES);
    }

    /// Of protocol 4.
    const FRAMES: [&str; 11] = [
        "00000161000000000300050701",
        "010101010000016200000000000300050701",
        "0201016300c0843d",
        "0301",
        "04",
        "00000164",
        "010000000000000000000105",
        "02000000000000000000010501017001010000000000000000000000000000000000000000000000000000000000000000000001",
        "0301020165",
        "04",
        "010103090166",
    ];

    #[test]
    fn a_length_beyond_the_limit_is_an_error_and_no_allocation() {
        let wire = [0xff_u8; 8];
        assert_eq!(read::<WorkerReport>(&mut wire.as_slice()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_read_that_is_dropped_in_the_middle_loses_nothing() {
        let (mut near, far) = tokio::io::duplex(1 << 16);
        let mut reader = Reader::new(far);
        let wire = encode(&WorkerReport::InternalOutput(Ok("text".into()))).unwrap();
        near.write_all(&wire[..5]).await.unwrap();
        tokio::select! {
            biased;
            _ = reader.next::<WorkerReport>() => panic!("there is no whole frame yet"),
            () = tokio::task::yield_now() => {}
        }
        near.write_all(&wire[5..]).await.unwrap();
        assert!(
            matches!(reader.next::<WorkerReport>().await, Ok(WorkerReport::InternalOutput(Ok(text))) if text == "text")
        );
    }
}
