//! The ports of programs in a machine.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use switchtower_contract::Upgraded;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use crate::harness::each_way;

/// A server that changes the protocol, except at `/page`, and returns every byte.
const SERVER: &str = r#"
import socketserver

class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        if b"/page" in line:
            self.wfile.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone")
            return
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        while piece := self.rfile.read1(4096):
            self.wfile.write(piece)

socketserver.ThreadingTCPServer(("127.0.0.1", 8765), Echo).serve_forever()
"#;

fn request(path: &str) -> Request<Bytes> {
    let request = Request::get(path).header("connection", "upgrade").header("upgrade", "websocket");
    request.body(Bytes::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_behind_a_port_changes_the_protocol_or_refuses() {
    for tested in each_way().await {
        let open = tested.open().await;
        let machine = &open.machine;
        assert!(
            matches!(machine.upgrade(8765, request("/")).await.unwrap(), Upgraded::Refused(answer) if answer.status() == 502)
        );
        let write = Request::post("/files?path=/home/user/echo.py&username=user");
        let write =
            write.header("content-type", "application/octet-stream").body(Bytes::from_static(SERVER.as_bytes()));
        machine.call(49983, write.unwrap()).await.unwrap();
        let start = br#"{"process":{"cmd":"/usr/bin/python3","args":["/home/user/echo.py"]}}"#;
        let frame = [&[0], &u32::try_from(start.len()).unwrap().to_be_bytes()[..], start].concat();
        let start = Request::post("/process.Process/Start").header("content-type", "application/connect+json");
        let _running = machine.call(49983, start.body(frame.into()).unwrap()).await.unwrap();
        let connect = async {
            loop {
                match machine.upgrade(8765, request("/socket")).await.unwrap() {
                    Upgraded::Switched(head, connection) => return (head, connection),
                    Upgraded::Refused(_) => sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let (head, mut connection) = timeout(Duration::from_secs(20), connect).await.unwrap();
        assert_eq!((head.status().as_u16(), &head.headers()["upgrade"]), (101, &"websocket".parse().unwrap()));
        let mut read = [0; 5];
        connection.write_all(b"hello").await.unwrap();
        connection.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"hello");
        assert!(
            matches!(machine.upgrade(8765, request("/page")).await.unwrap(), Upgraded::Refused(answer) if answer.status() == 404)
        );
    }
}
