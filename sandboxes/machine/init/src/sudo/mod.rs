//! `sudo`: the first process runs a command as another user, since no program of a machine gains rights by being executed.
//!
//! It passes its standard streams with the request, forwards signals, and ends as the command does.

mod arguments;
pub(crate) mod request;

use std::ffi::OsString;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::task::Poll;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};

use arguments::Invocation;
use request::{CommandResult, MAX_REQUEST_BYTES, MAX_RESULT_BYTES, SOCKET};

/// Signals that are forwarded to the command. The others end this process, and with it the command.
const FORWARDED: [fn() -> SignalKind; 6] = [
    SignalKind::interrupt,
    SignalKind::terminate,
    SignalKind::hangup,
    SignalKind::quit,
    SignalKind::user_defined1,
    SignalKind::user_defined2,
];

/// Runs a command by its command line.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    match run_to_end(args) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("sudo: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run_to_end(args: impl Iterator<Item = OsString>) -> Result<ExitCode, String> {
    let text = |arg: OsString| arg.into_string().map_err(|arg| format!("{} is not valid UTF-8", arg.display()));
    let args: Vec<String> = args.map(text).collect::<Result<_, _>>()?;
    let request = match Invocation::parse(args)? {
        Invocation::Nothing => return Ok(ExitCode::SUCCESS),
        Invocation::Print(text) => {
            println!("{text}");
            return Ok(ExitCode::SUCCESS);
        }
        Invocation::Run(options) => options.request(std::env::vars(), std::env::current_dir().ok()),
    };
    let request = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
    if request.len() > MAX_REQUEST_BYTES {
        return Err(format!("the command and its variables have more than {MAX_REQUEST_BYTES} bytes"));
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let result = runtime.block_on(call(&request)).map_err(|error| format!("the machine does not run it: {error}"))?;
    match result {
        CommandResult::Code(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        // As a shell reports it.
        CommandResult::Signal(number) => Ok(ExitCode::from(u8::try_from(128 + number).unwrap_or(1))),
        CommandResult::Refused(why) => Err(why),
    }
}

/// Sends the request with the standard streams, then signals, until the command has ended.
async fn call(request: &[u8]) -> io::Result<CommandResult> {
    let mut signals = Vec::new();
    for kind in FORWARDED {
        signals.push((u8::try_from(kind().as_raw_value()).unwrap_or(0), signal(kind())?));
    }
    let mut stream = UnixStream::connect(SOCKET).await?;
    let length = u32::try_from(request.len()).unwrap_or(u32::MAX).to_be_bytes();
    stream.async_io(Interest::WRITABLE, || send_streams(&stream, &length)).await?;
    stream.write_all(request).await?;
    let (reader, mut writer) = stream.split();
    let mut read = std::pin::pin!(read_result(reader.take(MAX_RESULT_BYTES)));
    loop {
        let next = poll_fn(|cx| {
            let ready =
                signals.iter_mut().find_map(|(number, signal)| signal.poll_recv(cx).is_ready().then_some(*number));
            ready.map_or(Poll::Pending, Poll::Ready)
        });
        tokio::select! {
            result = &mut read => return result,
            // The end of the command may have come first.
            number = next => drop(writer.write_all(&[number]).await),
        }
    }
}

/// Reads until the result is whole. The end of the connection is not waited for: kernels in user space may miss to report it.
async fn read_result(mut from: impl AsyncRead + Unpin) -> io::Result<CommandResult> {
    let mut read = Vec::new();
    loop {
        let length = from.read_buf(&mut read).await?;
        match serde_json::from_slice(&read) {
            Ok(result) => return Ok(result),
            Err(_) if length == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(_) => {}
        }
    }
}

/// Sends the length of the request and this process's standard streams.
fn send_streams(stream: &UnixStream, length: &[u8; 4]) -> io::Result<()> {
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&streams));
    // Four bytes are sent whole.
    sendmsg(stream.as_fd(), &[io::IoSlice::new(length)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}
