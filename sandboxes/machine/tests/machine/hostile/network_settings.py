# Changes its own network.
def request(kind, body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as one:
        one.bind((0, 0))
        one.send(struct.pack("=IHHII", 16 + len(body), kind, 0x605, 1, 0) + body)
        answer = one.recv(4096)
        code = struct.unpack("=i", answer[16:20])[0]
        if code:
            raise OSError(-code, os.strerror(-code))

name = struct.pack("HH", 10, 3) + b"veth0\0\0\0"
attempt("new link", lambda: request(16, struct.pack("BxHiII", 0, 0, 0, 1, 1) + name))
attempt("new address", lambda: request(20, struct.pack("BBBBi", 2, 24, 0, 0, 1) + struct.pack("HH4B", 8, 2, 10, 0, 0, 9)))
attempt("new route", lambda: request(24, struct.pack("BBBBBBBBI", 2, 0, 0, 0, 254, 4, 0, 1, 0) + struct.pack("HHi", 8, 4, 1)))
