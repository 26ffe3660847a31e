//! Commands, files and ports of machines, as clients of E2B call them.

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::Request;

use crate::harness::open;

#[tokio::test(flavor = "multi_thread")]
async fn a_written_file_is_read_again() {
    let Some((_sandbox, machine)) = open().await else { return };
    let write =
        Request::post("/files?path=/home/user/a.txt&username=user").header("content-type", "application/octet-stream");
    let answer = machine.call(49983, write.body(Bytes::from_static(b"content")).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let read = Request::get("/files?path=a.txt&username=user").body(Bytes::new()).unwrap();
    let answer = machine.call(49983, read).await.unwrap();
    let pieces: Vec<_> = answer.into_body().collect().await;
    assert_eq!(pieces.into_iter().map(|piece| piece.unwrap()).collect::<Vec<_>>().concat(), b"content");
}
