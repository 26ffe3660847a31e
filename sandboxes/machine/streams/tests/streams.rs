//! Streams over a connection within this process.

#![allow(clippy::unwrap_used, reason = "a test fails with a panic")]

use std::io::ErrorKind;
use std::time::Duration;

use switchtower_machine_streams::{Acceptor, MAX_STREAMS, Opener, Stream, WINDOW};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::timeout;

const OPEN: u8 = 0;
const DATA: u8 = 1;
const CREDIT: u8 = 2;
const END: u8 = 3;
const STOP: u8 = 4;

fn both() -> (Opener, Acceptor) {
    let (one, other) = duplex(1000);
    (Opener::new(one), Acceptor::new(other))
}

async fn pair(opener: &Opener, acceptor: &mut Acceptor) -> (Stream, Stream) {
    let opened = opener.open().await.unwrap();
    (opened, acceptor.accept().await.unwrap())
}

fn bytes(seed: u32, length: u32) -> Vec<u8> {
    (0..length).map(|number| (number.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Waits for what does not happen: as long as nothing else can.
async fn is_pending(future: impl Future) -> bool {
    timeout(Duration::from_secs(5), future).await.is_err()
}

fn frame(kind: u8, stream: u32, value: u32, data: &[u8]) -> Vec<u8> {
    [&[kind], &stream.to_be_bytes()[..], &value.to_be_bytes(), data].concat()
}

#[tokio::test(start_paused = true)]
async fn bytes_of_many_streams_arrive_whole_in_both_directions() {
    let (opener, mut acceptor) = both();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (opened, mut accepted) = pair(&opener, &mut acceptor).await;
        tasks.spawn(async move {
            let (mut from, mut to) = tokio::io::split(opened);
            let sent = bytes(number, 300_000);
            let write = async {
                to.write_all(&sent).await.unwrap();
                to.shutdown().await.unwrap();
            };
            let mut received = Vec::new();
            let (read, ()) = tokio::join!(from.read_to_end(&mut received), write);
            read.unwrap();
            assert!(received == sent);
        });
        tasks.spawn(async move {
            let mut all = Vec::new();
            accepted.read_to_end(&mut all).await.unwrap();
            accepted.write_all(&all).await.unwrap();
        });
    }
    tasks.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_holds_up_its_writer_and_no_other_stream() {
    let (opener, mut acceptor) = both();
    let (unread, mut writer) = pair(&opener, &mut acceptor).await;
    let (mut one, mut other) = pair(&opener, &mut acceptor).await;
    let mut written = 0;
    while let Ok(length) = timeout(Duration::from_secs(5), writer.write(&[7; 10_000])).await {
        written += length.unwrap();
    }
    assert_eq!(written, 2 * WINDOW, "a window on each side");
    other.write_all(b"other").await.unwrap();
    let mut read = [0; 5];
    one.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"other");
    drop(unread);
    let failed = writer.write_all(&[7; WINDOW]).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn what_was_written_before_a_stream_was_dropped_arrives_and_then_its_end() {
    let (opener, mut acceptor) = both();
    let (mut opened, mut accepted) = pair(&opener, &mut acceptor).await;
    let sent = bytes(1, 100_000);
    opened.write_all(&sent).await.unwrap();
    drop(opened);
    let mut received = Vec::new();
    accepted.read_to_end(&mut received).await.unwrap();
    assert!(received == sent);
    assert_eq!(accepted.write_all(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn where_all_streams_are_open_the_next_one_waits_until_one_has_ended_on_both_sides() {
    let (opener, mut acceptor) = both();
    let mut open = Vec::new();
    for _ in 0..MAX_STREAMS {
        open.push(pair(&opener, &mut acceptor).await);
    }
    assert!(is_pending(opener.open()).await);
    let (opened, accepted) = open.pop().unwrap();
    drop(opened);
    assert!(is_pending(opener.open()).await);
    drop(accepted);
    opener.open().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_connection_is_that_of_all_its_streams() {
    let (opener, mut acceptor) = both();
    let (mut opened, mut accepted) = pair(&opener, &mut acceptor).await;
    accepted.write_all(b"last").await.unwrap();
    let mut last = [0; 4];
    opened.read_exact(&mut last).await.unwrap();
    drop(acceptor);
    assert_eq!(opened.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(opener.open().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(accepted.write_all(b"x").await.is_err());
    let (opener, mut acceptor) = both();
    drop(opener);
    assert!(acceptor.accept().await.is_none());
}

/// Opens a stream to a side that sends these bytes, and reads it to its end.
async fn against(sent: &[u8]) -> (DuplexStream, std::io::Result<Vec<u8>>) {
    let (one, mut hostile) = duplex(4 << 20);
    let opener = Opener::new(one);
    let mut stream = opener.open().await.unwrap();
    hostile.write_all(sent).await.unwrap();
    let mut received = Vec::new();
    let read = timeout(Duration::from_secs(60), stream.read_to_end(&mut received)).await;
    (hostile, read.expect("it ends").map(|_| received))
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_not_allowed_end_the_connection() {
    let small: Vec<u8> = (0..=WINDOW).flat_map(|_| frame(DATA, 0, 1, b"x")).collect();
    for (what, sent) in [
        ("an unknown kind", frame(9, 0, 0, b"")),
        ("a stream of its own", frame(OPEN, 1, 0, b"")),
        ("an open stream", frame(OPEN, 0, 0, b"")),
        ("a long frame", frame(DATA, 0, u32::MAX, b"")),
        ("bytes after the end", [frame(END, 0, 0, b""), frame(DATA, 0, 1, b"x")].concat()),
        ("more credit than the window", frame(CREDIT, 0, 1, b"")),
    ] {
        let (mut hostile, _) = against(&sent).await;
        let mut rest = Vec::new();
        let closed = timeout(Duration::from_secs(60), hostile.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{what}");
    }
    // The stream is not read while they come.
    let (one, mut hostile) = duplex(4 << 20);
    let opener = Opener::new(one);
    let mut stream = opener.open().await.unwrap();
    hostile.write_all(&small).await.unwrap();
    assert!(!is_pending(hostile.read_to_end(&mut Vec::new())).await, "more bytes than the window");
    let mut received = Vec::new();
    assert!(stream.read_to_end(&mut received).await.is_err() && received.len() == WINDOW);
}

#[tokio::test(start_paused = true)]
async fn frames_for_streams_that_are_gone_are_ignored() {
    let gone = [frame(DATA, 77, 1, b"x"), frame(CREDIT, 77, 9, b""), frame(STOP, 77, 0, b""), frame(END, 77, 0, b"")];
    let sent = [gone.concat(), frame(DATA, 0, 2, b"ok"), frame(END, 0, 0, b"")].concat();
    assert_eq!(against(&sent).await.1.unwrap(), b"ok");
}
