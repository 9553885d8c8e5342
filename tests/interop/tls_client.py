"""TLS clients as something to talk to in lines: Python's ssl, and programs that pass their input on. What the
scripts `tls_*.py` share; nothing but the standard library.
"""

import codecs
import concurrent.futures
import re
import socket
import ssl
import subprocess
import sys
import threading

# Seconds for which an expected event is waited for before the script fails.
PATIENCE = 20
# Cases that run at the same time: mostly, one side waits for the other.
AT_ONCE = 4
HOST = "localhost"

# Names of the suites of TLS 1.3: OpenSSL's (and everybody's), GnuTLS's cipher, NSS's number.
SUITES_13 = [
    ("TLS_AES_128_GCM_SHA256", "AES-128-GCM", "1301"),
    ("TLS_AES_256_GCM_SHA384", "AES-256-GCM", "1302"),
    ("TLS_CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305", "1303"),
]
# Those of TLS 1.2, with the kind of key: IANA's, OpenSSL's, GnuTLS's cipher, NSS's number.
SUITES_12 = [
    ("ECDSA", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", "AES-128-GCM", "C02B"),
    ("ECDSA", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384", "AES-256-GCM", "C02C"),
    ("ECDSA", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305",
     "CHACHA20-POLY1305", "CCA9"),
    ("RSA", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "AES-128-GCM", "C02F"),
    ("RSA", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "AES-256-GCM", "C030"),
    ("RSA", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305",
     "CHACHA20-POLY1305", "CCA8"),
]


class Failed(Exception):
    """The server did not do what the script expects."""


def check(holds, what):
    """Fails the script with `what` it wanted unless `holds`."""
    if not holds:
        raise Failed(f"wanted: {what}")


class Server:
    """Where it listens, and the file with its certificate."""

    def __init__(self, port, ca):
        self.port, self.ca = port, ca


class Client:
    """A connection. What it hears stays until the script asks for it."""

    def __init__(self):
        self.heard, self.at, self.ended = "", 0, False
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.news = threading.Condition()

    def take(self, piece):
        """What came; nothing: the end."""
        with self.news:
            self.heard += self.decoder.decode(piece)
            self.ended = self.ended or not piece
            self.news.notify_all()

    def hear(self, pattern):
        """Waits for the next place where this is heard, and leaves what was before it."""
        found = self.wait_for(lambda: re.compile(pattern).search(self.heard, self.at), pattern)
        self.at = found.end()
        return found

    def line(self, text):
        """One line there and back."""
        text += "\n"
        self.say(text)
        end = self.wait_for(lambda: self.heard.find(text, self.at) + 1, text[:60])
        self.at = end - 1 + len(text)

    def wait_for(self, find, what):
        """Waits until `find` finds."""
        with self.news:
            while not (found := find()):
                if self.ended or not self.more():
                    end = "the end" if self.ended else f"{PATIENCE} s are over"
                    raise Failed(f"wanted: {what!r} before {end}; heard:\n{self.heard[-3000:]}")
            return found

    def more(self):
        """Waits for more to be heard; whether there was any."""
        return self.news.wait(PATIENCE)


class Program(Client):
    """A client that is a program: what it reads it sends, what it receives it prints, and its own words between."""

    def __init__(self, *command):
        super().__init__()
        # not a pipe: NSS's client does not see the end of one
        self.input, stdin = socket.socketpair()
        command = [str(part) for part in command]
        with stdin:
            self.child = subprocess.Popen(
                command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while piece := self.child.stdout.read1(65536):
            self.take(piece)
        self.take(b"")

    def say(self, text):
        try:
            self.input.sendall(text.encode())
        except OSError as error:
            self.reader.join(PATIENCE)
            raise Failed(f"the client is gone: {error}; heard:\n{self.heard[-3000:]}") from None

    def end(self):
        """The end of its input, and of itself; its exit status."""
        self.input.close()
        try:
            return self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed(f"the client does not end; heard:\n{self.heard[-3000:]}") from None
        finally:
            self.child.kill()
            self.reader.join(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def openssl(server, *options):
    """OpenSSL's client. It takes lines that begin with K, k, Q or R as commands."""
    return Program("openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", HOST,
                   "-CAfile", server.ca, "-verify_return_error", *options)


def gnutls(server, version, cipher, *options):
    """GnuTLS's client, with one version (1.2, 1.3) and one cipher."""
    priority = f"NORMAL:-VERS-ALL:+VERS-TLS{version}:-CIPHER-ALL:+{cipher}"
    return Program("gnutls-cli", "--port", server.port, "--x509cafile", server.ca, "--priority", priority,
                   "--inline-commands", *options, HOST)


def nss(server, database, version, suite, *options):
    """NSS's client, with one version and one suite; `database` has the certificates it trusts."""
    return Program("tstclnt", "-4", "-h", HOST, "-p", server.port, "-d", f"sql:{database}",
                   "-V", f"tls{version}:tls{version}", "-c", f":{suite}", *options)


def trust(database, *servers):
    """Makes a database for NSS that trusts these servers' certificates."""
    def certutil(*args):
        subprocess.run(["certutil", "-d", f"sql:{database}", *args], check=True, stdin=subprocess.DEVNULL)

    certutil("-N", "--empty-password")
    for server in servers:
        certutil("-A", "-n", str(server.port), "-t", "CP,,", "-i", server.ca)


def compiled(command, server, version, suite):
    """Go's or Java's client, of `tls_clients`."""
    return Program(*command, server.port, server.ca, version, suite)


class Python(Client):
    """Python's ssl."""

    def __init__(self, server, context, session=None, sock=None):
        super().__init__()
        sock = sock or socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        self.tls = context.wrap_socket(sock, server_hostname=HOST, session=session)

    def say(self, text):
        self.tls.sendall(text.encode())

    def more(self):
        self.take(self.tls.recv(65536))
        return True

    def end(self):
        """Says that it is over, and has the server say so."""
        self.tls.unwrap().close()


def context(server, version=None, ciphers=None):
    """What Python's ssl connects with."""
    made = ssl.create_default_context(cafile=server.ca)
    if version:
        made.minimum_version = made.maximum_version = version
    if ciphers:
        made.set_ciphers(ciphers)
    return made


def run(cases):
    """Runs all cases, (name, function) each, some at once, and exits: 0 when all went through, 1 with the reason at the
    first that did not."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        results = [(name, pool.submit(case)) for name, case in cases]
        for name, result in results:
            try:
                result.result()
            except (Failed, OSError, subprocess.SubprocessError) as error:
                print(f"{name}: FAILED: {type(error).__name__}: {error}", flush=True)
                pool.shutdown(cancel_futures=True)
                sys.exit(1)
            print(name, flush=True)
    print("PASSED", flush=True)
    sys.exit(0)
