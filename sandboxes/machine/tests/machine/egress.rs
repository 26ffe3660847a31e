//! What machines reach on the internet: with a network of the test's, in which every address is one server.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use switchtower_contract::{Backend, Language, NetworkPolicy, Spec};
use switchtower_machine::{Config, EgressNetwork, Machines};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{OpenMachine, choice, config, each_way};

struct TestNetwork {
    server: SocketAddr,
    connected: Mutex<Vec<SocketAddr>>,
}

#[async_trait]
impl EgressNetwork for TestNetwork {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let address = if host == "inside.example.com" { "10.0.0.7" } else { "93.184.215.14" };
        Ok(vec![SocketAddr::new(address.parse().unwrap(), port)])
    }

    fn is_own(&self, _address: IpAddr) -> bool {
        false
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.connected.lock().unwrap().push(address);
        TcpStream::connect(self.server).await
    }
}

/// Returns machines that may reach port 80 of hosts below `example.com`, where a web server answers `found`.
async fn machines(runtime: &str) -> (Arc<TestNetwork>, Machines) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfound").await;
            });
        }
    });
    let network = Arc::new(TestNetwork { server, connected: Mutex::default() });
    let egress = vec!["*.example.com:80".parse().unwrap()];
    let config = Config { runtime: choice(runtime), egress, offers_internet: true, ..config() };
    (network.clone(), Machines::with_network(config, network).unwrap())
}

async fn open(machines: &Machines, network: NetworkPolicy) -> OpenMachine {
    let sandbox = machines.open(&Spec { network, ..Spec::new(Language::Bash) }).await.unwrap();
    let machine = sandbox.machine().unwrap();
    OpenMachine { sandbox, machine }
}

/// Returns a command that asks the proxy of its environment for a tunnel to a host and sends a request through it.
fn request(host: &str) -> String {
    requests(host, 1)
}

/// Returns a command that sends this many requests at once.
fn requests(host: &str, times: u32) -> String {
    format!(
        "python3 -c 'import os, threading, urllib.parse, http.client as h\n\
         proxy = urllib.parse.urlsplit(os.environ[\"HTTPS_PROXY\"])\n\
         def one():\n \
         c = h.HTTPConnection(proxy.hostname, proxy.port, timeout=30); c.set_tunnel(\"{host}\", 80)\n \
         try:\n  c.request(\"GET\", \"/\"); print(c.getresponse().read().decode() + \"\\n\", end=\"\")\n \
         except OSError as e: print(e)\n\
         for i in range({times}): threading.Thread(target=one).start()'"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_reaches_the_allowed_hosts_through_its_proxy_and_nothing_else() {
    for tested in each_way().await {
        let (network, machines) = machines(tested.runtime).await;
        assert!(machines.offer().internet);
        let machine = open(&machines, NetworkPolicy::OPEN).await;
        for user in ["user", "root"] {
            assert_eq!(machine.command(user, &request("api.example.com")).await.printed, "found\n");
        }
        // Many at once: each has a connection of its own, and the end of one leaves a place for another.
        let many = machine.command("user", &requests("api.example.com", 100)).await;
        assert_eq!(many.printed.matches("found").count(), 100, "{}", many.printed);
        for (host, why) in [
            ("evil.net", "403 evil.net:80 is not in machine.egress.allow"),
            ("inside.example.com", "403 inside.example.com leads to an address of a private network"),
        ] {
            let run = machine.command("user", &request(host)).await;
            assert!(run.printed.contains(why), "{}", run.printed);
        }
        let direct = machine.command("root", "exec 3<>/dev/tcp/93.184.215.14/80").await;
        assert_ne!(direct.end, "exit status 0", "without the proxy there is no network");
        let connected = network.connected.lock().unwrap();
        assert_eq!(*connected, ["93.184.215.14:80".parse().unwrap(); 102], "{connected:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_may_not_reach_the_internet_reaches_nothing_and_its_policy_can_change() {
    for tested in each_way().await {
        let (_, machines) = machines(tested.runtime).await;
        let none = NetworkPolicy { internet: Some(false), ..NetworkPolicy::OPEN };
        let machine = open(&machines, none.clone()).await;
        let denied = machine.command("user", &request("api.example.com")).await.printed;
        assert!(denied.contains("403 this sandbox may not reach the internet"), "{denied}");
        machine.machine.set_network(&NetworkPolicy::OPEN).await.unwrap();
        assert_eq!(machine.command("user", &request("api.example.com")).await.printed, "found\n");
        let wrong = NetworkPolicy { deny_out: vec!["example.com:80".to_owned()], ..NetworkPolicy::OPEN };
        assert!(machine.machine.set_network(&wrong).await.unwrap_err().detail().contains("example.com:80"));
        machine.machine.set_network(&none).await.unwrap();
        let denied = machine.command("user", &request("api.example.com")).await.printed;
        assert!(denied.contains("403 "), "{denied}");
        // It still answers after its connections were replaced.
        machine.answers().await.unwrap();
    }
}
