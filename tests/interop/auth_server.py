"""An application that is asked for passwords, in Python's http.server: well-behaved at /good, and at other paths as servers are.

Prints {http, https, ca}: two ports of 127.0.0.1, and the authority of the second's certificate, which is for localhost. Ends with
its standard input. What was asked so far is at GET /seen."""

import datetime
import json
import os
import ssl
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USERS = {"romeo": "pencil", "jürgen": "Grüße", "off": "pencil"}
SECRET = "Bearer open sesame"
ended = threading.Event()
seen = []


class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answered = 0

    def log_message(self, *_):
        pass

    def answer(self, value, status=200):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def raw(self, data, close=True):
        self.wfile.write(data)
        self.wfile.flush()
        self.close_connection = close

    def do_GET(self):
        self.answer(seen)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = json.loads(body)
        path = self.path.strip("/").split("/")
        seen.append([self.path, asked["op"], self.client_address[1]])
        behave = getattr(self, path[0].replace("-", "_"))
        behave(asked, *path[1:])

    def good(self, asked):
        user = USERS.get(asked["user"])
        assert asked["jid"] == asked["user"] + "@" + asked["host"] and self.headers["Content-Type"] == "application/json"
        if asked["op"] == "exists":
            assert "password" not in asked
            return self.answer({"result": user is not None})
        if asked["op"] == "set_password":
            USERS[asked["user"]] = asked["password"]
            return self.answer({"result": True})
        right = asked["host"] == "example.org" and user == asked["password"]
        # which connection it was
        print_ = f"{self.client_address[1]}"
        self.answer({"result": right, "disabled": asked["user"] == "off", "fingerprint": print_, "more": [1]})

    def secret(self, asked):
        self.answer({"result": True}, 200 if self.headers["Authorization"] == SECRET else 401)

    def silent(self, asked):
        ended.wait()

    def trickle(self, asked):
        self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{", close=False)
        while not ended.wait(0.05):
            self.raw(b" ", close=False)

    def long(self, asked):
        self.answer({"result": True, "more": "x" * 20000})

    def endless(self, asked):
        self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", close=True)
        try:
            while not ended.is_set():
                self.raw(b"1000\r\n" + b" " * 4096 + b"\r\n")
        except OSError:
            pass

    def endless_head(self, asked):
        try:
            self.raw(b"HTTP/1.1 200 OK\r\n")
            while not ended.is_set():
                self.raw(b"X: " + b"y" * 1000 + b"\r\n")
        except OSError:
            pass

    def says(self, asked, what):
        self.answer(BODIES[int(what)].encode())

    def status(self, asked, status):
        self.answer({"result": True}, int(status))

    def redirect(self, asked, status):
        body = b'{"result":true}'
        head = f"HTTP/1.1 {status} Moved\r\nLocation: /good\r\nContent-Length: {len(body)}\r\n\r\n"
        self.raw(head.encode() + body)

    def cut(self, asked, where):
        whole = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"result": true}'
        self.raw(whole[: int(where)])

    def cut_chunked(self, asked):
        self.raw(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{"result": true}\r\n')

    def no_http(self, asked):
        self.raw(b'{"result": true}')

    def closes(self, asked):
        """Without a word about it."""
        self.answer({"result": True})
        self.close_connection = True

    def closes_once(self, asked):
        """Takes the second request of each connection and closes it."""
        self.answered += 1
        if self.answered == 2:
            self.close_connection = True
        else:
            self.answer({"result": True, "fingerprint": str(self.client_address[1])})

    def two(self, asked):
        """An answer to something that was not asked (response smuggling)."""
        good = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"result": true}'
        self.raw(good.replace(b"true}", b"false").replace(b"false", b"null}") + good, close=False)


BODIES = [
    "",
    "true",
    "[]",
    "{}",
    "null",
    '{"result":"true"}',
    '{"result":1}',
    '{"result":null}',
    '{"Result":true}',
    '{"result":true',
    '{"result":true}x',
    '{"result":true}{"result":true}',
    '{"result":true,"result":true}',
    '{"result":true,"disabled":"no"}',
    '{"result":true,"fingerprint":1}',
    '{"result":true,"fingerprint":"' + "x" * 257 + '"}',
    "<html>true</html>",
    "\ufeff" + '{"result":true}',
    '{"result":true,"x":' + "[" * 5000 + "]" * 5000 + "",
]


def certificate(common, issuer=None):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    by, with_key = issuer or (name, key)
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(by, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    if issuer is None:
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
    else:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(common)]), False)
    return name, key, builder.sign(with_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def serve(context=None):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Application)
    server.daemon_threads = True
    server.handle_error = lambda *_: None
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


ca_name, ca_key, ca = certificate("Authority")
_, key, leaf = certificate("localhost", (ca_name, ca_key))
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "pem")
    with open(path, "wb") as file:
        form = serialization.PrivateFormat.PKCS8
        file.write(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()) + leaf)
    tls.load_cert_chain(path)

print(json.dumps({"http": serve(), "https": serve(tls), "ca": ca.decode(), "bodies": len(BODIES)}), flush=True)
sys.stdin.read()
ended.set()
