"""Requests to a port of a sandbox from outside, by the two ways in which a server with one port is addressed."""

import http.client
import json
import os
import socket
import urllib.parse
from pathlib import Path

from promises import wait_until

SERVER = urllib.parse.urlsplit(os.environ["E2B_SANDBOX_URL"])
PROGRAM = (Path(__file__).parent / "server.py").read_text()


def by_host(sandbox, port):
    """Returns the headers that address a port by the name that the SDK gives it."""
    return {"host": sandbox.get_host(port)}


def by_headers(sandbox, port):
    """Returns the headers that address a port at the server's own name."""
    return {"host": SERVER.netloc, "e2b-sandbox-id": sandbox.sandbox_id, "e2b-sandbox-port": str(port)}


def ask(headers, token=None, method="GET", path="/", body=None):
    """Returns the status, the headers and the body of an answer."""
    connection = http.client.HTTPConnection(SERVER.hostname, SERVER.port, timeout=30)
    if token:
        headers = {**headers, "e2b-traffic-access-token": token}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


def wait_for_server(headers, token):
    wait_until(lambda: ask(headers, token)[0] == 200)


def seen_by_server(text):
    """Returns what the program server.py received."""
    return json.loads(text)


class WebSocket:
    """A client of RFC 6455 for messages of less than 126 bytes."""

    def __init__(self, headers, token):
        self.socket = socket.create_connection((SERVER.hostname, SERVER.port), timeout=30)
        self.reader = self.socket.makefile("rb")
        lines = {**headers, "e2b-traffic-access-token": token, "upgrade": "websocket", "connection": "Upgrade",
                 "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.socket.sendall(f"GET /socket HTTP/1.1\r\n{head}\r\n".encode())
        self.status = int(self.reader.readline().split()[1])
        self.headers = http.client.parse_headers(self.reader)

    def send(self, text, kind=1):
        # With a mask of zeros the data are as they are.
        self.socket.sendall(bytes([128 | kind, 128 | len(text)]) + bytes(4) + text)

    def receive(self):
        """Returns the kind and the data of the next message; `None` at the end."""
        head = self.reader.read(2)
        return (head[0] & 15, self.reader.read(head[1])) if head else None
