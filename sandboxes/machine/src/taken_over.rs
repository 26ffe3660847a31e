//! A first process that the machine's root has taken over: whatever it answers costs this process little and ends in time.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use switchtower_contract::{Events, Fault, Language};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;

use crate::channel::{Channel, CommandSpec};
use crate::client::InitClient;
use crate::kernel_process::{KernelProcess, Operation, RunEnd};
use crate::output::RunOutput;

/// Answers every request with the same bytes: these, then the others for ever, or silence.
struct TakenOver {
    folder: TempDir,
}

impl TakenOver {
    fn answering(begin: &[u8], then: &'static [u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        let begin = begin.to_vec();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, begin.clone(), then));
            }
        });
        Self { folder }
    }

    fn client(&self) -> InitClient {
        InitClient::new(self.folder.path().join("s"))
    }
}

async fn answer(mut stream: UnixStream, begin: Vec<u8>, then: &'static [u8]) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).await;
    let _ = stream.write_all(&begin).await;
    while !then.is_empty() && stream.write_all(then).await.is_ok() {}
    std::future::pending::<()>().await;
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const UPGRADED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: switchtower-channel\r\n\r\n";

fn request() -> Request<Bytes> {
    Request::get("/health").body(Bytes::new()).unwrap()
}

/// Returns the bytes of a frame of the control connection.
fn control(payload: &[u8]) -> Vec<u8> {
    [&[0], u32::try_from(payload.len()).unwrap().to_be_bytes().as_slice(), payload].concat()
}

async fn channel(taken: &TakenOver) -> Result<Channel, Fault> {
    let env = BTreeMap::new();
    let spec = CommandSpec { program: "x", args: &[], env: &env, cwd: "/", user: "user", control: true };
    Channel::start(&taken.client(), &spec).await
}

#[tokio::test(start_paused = true)]
async fn endless_answers_end_with_an_error() {
    for (begin, then) in [
        // Headers, bodies, pieces of bodies, what is no HTTP, and nothing at all.
        (OK, b"x-a: 0123456789012345678901234567890123456789\r\n".as_slice()),
        (OK, b"x-a: "),
        (CHUNKED, b"400\r\n0123456789abcdef"),
        (CHUNKED, b"1;0123456789\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n", b"0123456789abcdef"),
        (b"HTTP/1.1 500 No\r\n\r\n", b"0123456789abcdef"),
        (b"", b"no http"),
        (b"", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b""),
    ] {
        let taken = TakenOver::answering(begin, then);
        // Of a refusal, as much is read as a message may have.
        let answer = tokio::time::timeout(Duration::from_secs(120), taken.client().answer(request())).await;
        let answer = answer.unwrap_or_else(|_| panic!("{:?} ends in time", String::from_utf8_lossy(begin)));
        assert!(!matches!(answer, Ok(Ok(_))), "{:?}", String::from_utf8_lossy(begin));
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_none_end_their_channel() {
    for (frame, then) in [
        (vec![0, 255, 255, 255, 255], b"x".as_slice()),
        (vec![9, 0, 0, 0, 0], b""),
        (vec![3, 0, 0, 0, 2, b'{', b'}'], b""),
        ([&[3, 0, 15, 0, 0][..], &[b'['; 0xf_0000]].concat(), b""),
    ] {
        let taken = TakenOver::answering(&[UPGRADED, &frame].concat(), then);
        let mut channel = channel(&taken).await.unwrap();
        assert!(matches!(channel.next().await, Err(Fault::Lost { .. })), "{:?}", &frame[..5]);
    }
    let refused = channel(&TakenOver::answering(OK, b"x: ")).await;
    assert!(refused.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_kernel_whose_messages_would_cost_much_is_lost() {
    let ready = control(b"{\"ready\":true}\n");
    let many =
        |text: &str| control(format!("{{\"show\":{{{}}}}}\n", text.repeat(1000).trim_end_matches(',')).as_bytes());
    for message in [
        many("\"a\":\"\","),
        many("\"a\":{\"b\":[1,2]},"),
        control(b"{}\n"),
        control(b"[[[[[[[[\n"),
        control(b"{\"ended\":{\"exit\":\"other\"}}\n"),
    ] {
        let taken = TakenOver::answering(&[UPGRADED, &ready, &message].concat(), b"");
        let env = BTreeMap::new();
        let mut kernel = KernelProcess::start(&taken.client(), Language::Python, &env, None).await.unwrap();
        assert!(matches!(run(&mut kernel, "x").await, Err(Fault::Lost { .. })));
    }
    // A line without an end.
    const PIECE: &[u8] = &[0, 0, 0, 0, 10, b' ', b' ', b' ', b' ', b' ', b' ', b' ', b' ', b' ', b' '];
    let mut large = control(&vec![b' '; 1 << 20]);
    large = large.repeat(41);
    let taken = TakenOver::answering(&[UPGRADED, &ready, &large].concat(), PIECE);
    let env = BTreeMap::new();
    let mut kernel = KernelProcess::start(&taken.client(), Language::Python, &env, None).await.unwrap();
    assert!(matches!(run(&mut kernel, "x").await, Err(Fault::Lost { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_reads_nothing_is_given_up_at_its_deadline() {
    let taken = TakenOver::answering(&[UPGRADED, &control(b"{\"ready\":true}\n")].concat(), b"");
    let env = BTreeMap::new();
    let mut kernel = KernelProcess::start(&taken.client(), Language::Python, &env, None).await.unwrap();
    let began = Instant::now();
    assert_eq!(run(&mut kernel, &"x".repeat(8 << 20)).await.unwrap(), RunEnd::TimedOut);
    assert!(began.elapsed() < Duration::from_secs(30));
}

async fn run(kernel: &mut KernelProcess, source: &str) -> Result<RunEnd, Fault> {
    let env = BTreeMap::new();
    let operation = Operation::Cell { source, number: 1, env: &env, stdin: None, options: None };
    let (events, _from) = Events::channel();
    let mut output = RunOutput::new(&events, 1000);
    kernel.execute(&operation, Instant::now() + Duration::from_secs(10), &mut output).await
}
