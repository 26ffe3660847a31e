# Reaches other computers, and the host.
# prints: ['lo']
def connect(host, port, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as one:
        one.settimeout(2)
        one.connect((host, port))
        if kind == socket.SOCK_DGRAM:
            one.send(b"x")

port = int(os.environ["HOST_PORT"])
for host in ("127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "localhost"):
    for at in (port, 22, 80, 443, 2024, 5555, 8080):
        attempt(f"{host}:{at}", lambda: connect(host, at))
for host in ("169.254.169.254", "10.0.0.1", "172.17.0.1", "192.168.0.1", "192.0.2.1", "8.8.8.8", "fe80::1", "2001:db8::1", "224.0.0.1"):
    attempt(host, lambda: connect(host, 80))
    attempt(host + " datagram", lambda: connect(host, 53, socket.SOCK_DGRAM))
attempt("name", lambda: socket.getaddrinfo("example.com", 80))
print([name for _, name in socket.if_nameindex()])
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
