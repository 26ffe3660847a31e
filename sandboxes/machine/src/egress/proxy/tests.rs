use std::collections::BTreeMap;
use std::net::IpAddr;

use async_trait::async_trait;
use switchtower_contract::NetworkPolicy;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::TcpListener;

use super::*;
use crate::egress::log::AllLines;

/// A network in which names have these addresses, and every address is one server of this test.
struct TestNetwork {
    names: BTreeMap<&'static str, Vec<&'static str>>,
    server: SocketAddr,
    asked: Mutex<Vec<String>>,
    connected: Mutex<Vec<SocketAddr>>,
}

#[async_trait]
impl EgressNetwork for TestNetwork {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.asked.lock().unwrap().push(host.to_owned());
        let addresses = self.names.get(host).ok_or(io::ErrorKind::NotFound)?;
        Ok(addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), port)).collect())
    }

    fn is_own(&self, address: IpAddr) -> bool {
        address == IpAddr::from([93, 184, 216, 1])
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.connected.lock().unwrap().push(address);
        TcpStream::connect(self.server).await
    }
}

struct Fixture {
    network: Arc<TestNetwork>,
    proxy: Arc<Proxy>,
}

/// Returns a proxy that allows port 443 of hosts below `example.com`. The server answers a line with `hello` and ends.
async fn fixture() -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut given = [0; 4];
                stream.read_exact(&mut given).await.unwrap();
                assert_eq!(&given, b"ping");
                stream.write_all(b"hello").await.unwrap();
            });
        }
    });
    let names = [
        ("api.example.com", vec!["93.184.215.14"]),
        ("inside.example.com", vec!["10.0.0.1", "::1"]),
        ("mixed.example.com", vec!["127.0.0.1", "93.184.215.14"]),
        ("own.example.com", vec!["93.184.216.1"]),
        ("evil.net", vec!["93.184.215.14"]),
    ];
    let network =
        Arc::new(TestNetwork { names: names.into(), server, asked: Mutex::default(), connected: Mutex::default() });
    let policy = EgressPolicy::new(Arc::new(["*.example.com:443".parse().unwrap()]), &NetworkPolicy::OPEN).unwrap();
    let proxy = Arc::new(Proxy { policy, network: network.clone(), log: EgressLog::new("test", &AllLines::default()) });
    Fixture { network, proxy }
}

impl Fixture {
    fn open(&self) -> DuplexStream {
        let (program, connection) = duplex(64 << 10);
        let proxy = Arc::clone(&self.proxy);
        tokio::spawn(async move { proxy.serve(connection).await });
        program
    }

    /// Returns everything that the proxy answers to a request.
    async fn answer(&self, request: &str) -> String {
        let mut program = self.open();
        program.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(Duration::from_secs(20), program.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }
}

fn connect(target: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
}

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways_to_an_address_that_was_checked() {
    let fixture = fixture().await;
    // What follows the request at once is of the tunnel.
    let answer = fixture.answer(&(connect("MIXED.example.com.:443") + "ping")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    // The name's other address is of this host.
    assert_eq!(*fixture.network.connected.lock().unwrap(), ["93.184.215.14:443".parse().unwrap()]);
    assert_eq!(fixture.network.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_with_the_reason_and_its_name_is_not_looked_up() {
    let fixture = fixture().await;
    for (request, status, why) in [
        (connect("evil.net:443"), "403", "evil.net:443 is not in machine.egress.allow"),
        (connect("api.example.com:80"), "403", "api.example.com:80 is not in machine.egress.allow"),
        (connect("93.184.215.14:443"), "403", "is not in machine.egress.allow"),
        (connect("[::1]:443"), "403", "is not in machine.egress.allow"),
        (connect("x"), "400", "write CONNECT HOST:PORT"),
        ("GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n".to_owned(), "405", "use https"),
    ] {
        let answer = fixture.answer(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        // In the line of the status, which is what most clients show, and in the body.
        assert_eq!(answer.matches(why).count(), 2, "{request}: {answer}");
    }
    assert_eq!(*fixture.network.asked.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn an_allowed_name_of_a_private_network_is_refused() {
    let fixture = fixture().await;
    let answer = fixture.answer(&connect("inside.example.com:443")).await;
    assert!(answer.starts_with("HTTP/1.1 403 inside.example.com leads to an address of a private network"), "{answer}");
    let answer = fixture.answer(&connect("own.example.com:443")).await;
    assert!(answer.starts_with("HTTP/1.1 403 own.example.com leads to this host"), "{answer}");
    let answer = fixture.answer(&connect("unknown.example.com:443")).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert_eq!(*fixture.network.connected.lock().unwrap(), []);
}

#[tokio::test]
async fn a_connection_without_a_valid_request_ends() {
    let fixture = fixture().await;
    let long = format!("CONNECT {}:443 HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    for request in ["\x16\x03\x01\r\n\r\n", "CONNECT\r\n\r\n", &long] {
        let mut program = fixture.open();
        // The proxy may have ended the connection before all is written.
        let _ = program.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(20), program.read_to_end(&mut answer)).await.unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{request}");
    }
}
