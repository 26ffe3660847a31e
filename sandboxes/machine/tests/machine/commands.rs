//! Commands, files and ports of machines, as clients of E2B call them.

use http::Request;

use crate::harness::all_runtimes;

#[tokio::test(flavor = "multi_thread")]
async fn a_written_file_is_read_again() {
    for tested in all_runtimes().await {
        let open = tested.open().await;
        assert_eq!(open.write("user", "/home/user/a.txt", "content").await, 200);
        let read = Request::get("/files?path=a.txt&username=user").body(bytes::Bytes::new()).unwrap();
        assert_eq!(open.files(read).await, (200, b"content".to_vec()), "{}", tested.runtime);
    }
}
