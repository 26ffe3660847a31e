"""A server for a port of a sandbox: `GET` answers with what it received, and a WebSocket returns each message.

Its argument is the port.
"""

import base64
import hashlib
import http.server
import json
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("upgrade", "").lower() == "websocket":
            return self.echo()
        length = int(self.headers.get("content-length", 0))
        seen = {"method": self.command, "path": self.path, "headers": dict(self.headers.items())}
        body = json.dumps({**seen, "body": self.rfile.read(length).decode()}).encode()
        self.send_response(201 if self.command == "POST" else 200)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-of-server", "yes")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def echo(self):
        """Returns each message of a WebSocket (RFC 6455) of less than 126 bytes until the client closes it."""
        key = self.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "upgrade")
        self.send_header("sec-websocket-accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        while head := self.rfile.read(2):
            kind, length = head[0] & 15, head[1] & 127
            mask, data = self.rfile.read(4), self.rfile.read(length)
            text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
            self.wfile.write(bytes([128 | kind, length]) + text)
            if kind == 8:
                return


http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
