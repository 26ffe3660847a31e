//! What the backend sends to the program.

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::net::unix::OwnedWriteHalf;
use tokio::process::ChildStdin;
use tokio::sync::mpsc;

use super::frames::{self, from_backend};

/// Frames of each kind that wait until the program reads them. A signal overtakes them.
const BUFFERED_FRAMES: usize = 4;

/// Forwards until the connection ends, or sends what is no frame.
pub(super) async fn forward(
    mut reader: impl AsyncRead + Unpin,
    stdin: Option<ChildStdin>,
    control: Option<OwnedWriteHalf>,
    signals: mpsc::Sender<Signal>,
) {
    let (to_stdin, stdin_frames) = mpsc::channel(BUFFERED_FRAMES);
    let (to_control, control_frames) = mpsc::channel(BUFFERED_FRAMES);
    let read = async {
        while let Ok((kind, payload)) = frames::read(&mut reader).await {
            // What is closed already takes nothing, which is no error of the backend.
            match kind {
                from_backend::CONTROL => drop(to_control.send(Some(payload)).await),
                from_backend::STDIN => drop(to_stdin.send(Some(payload)).await),
                from_backend::CLOSE_STDIN => drop(to_stdin.send(None).await),
                from_backend::SIGNAL => {
                    let signal = payload.first().and_then(|number| Signal::from_named_raw(i32::from(*number)));
                    let Some(signal) = signal else { return };
                    let _ = signals.send(signal).await;
                }
                _ => return,
            }
        }
    };
    let write = async {
        tokio::join!(write_frames(stdin, stdin_frames), write_frames(control, control_frames));
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}

/// Writes frames until one of them closes the stream, or the program does.
async fn write_frames(stream: Option<impl tokio::io::AsyncWrite + Unpin>, mut frames: mpsc::Receiver<Option<Vec<u8>>>) {
    let Some(mut stream) = stream else { return };
    while let Some(Some(bytes)) = frames.recv().await {
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
