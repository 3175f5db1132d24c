"""A web server that keeps what it is sent: appends the body to FILE as a line and answers 200 once the disk has it.

usage: receiver.py PORT FILE
"""

import http.server
import json
import os
import sys


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert body["key"] == self.headers["Idempotency-Key"]
        os.write(FILE, (json.dumps(body) + "\n").encode())
        os.fsync(FILE)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


FILE = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
