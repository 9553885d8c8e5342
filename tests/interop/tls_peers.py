"""TLS clients that are not rustls talk to `moving`, whose connections move all the time (tls/examples/moving.rs).

It answers a line with the same line, `?` with what it knows, and `.` with the end. After every third line it changes its keys, and every
other time it wants the client to change its own too.
"""

import argparse
import pathlib
import re
import ssl
import subprocess
import tempfile
from functools import partial

import tls_client as clients
from tls_client import SUITES_12, SUITES_13, Python, Server, check

LONG = "long " * 200_000


def arguments():
    """Where the servers are: one has an ECDSA key, one an RSA key."""
    parser = argparse.ArgumentParser(description=__doc__)
    for kind in ("ecdsa", "rsa"):
        parser.add_argument(f"--{kind}", nargs=2, required=True, metavar=("PORT", "CERTIFICATE"),
                            help=f"the server with a certificate for {kind.upper()}")
    parser.add_argument("--peers", choices=("installed", "compiled"), default="installed",
                        help="programs of the system, or clients of Go and Java")
    args = parser.parse_args()
    return {"ECDSA": Server(*args.ecdsa), "RSA": Server(*args.rsa)}, args.peers == "compiled"


def converse(client, version, suite, extra=lambda _: None):
    """Lines there and back, over two changes of the server's keys; what it knows of the connection."""
    for n in range(4):
        client.line(f"line {n}: Grüße")
    extra(client)
    for n in range(4, 7):
        client.line(f"line {n}: 你好")
    check_facts(client, version, suite)
    client.line("and on it goes")


def check_facts(client, version, suite):
    client.say("?\n")
    found = client.hear(r"suite=(\w+) moves=(\d+) updates=(\d+)")
    # the server's library writes them like that
    suite = suite.replace("TLS_", "TLS13_") if version == "1.3" else suite
    check(found[1] == suite, f"{suite}, not {found[1]}")
    check(int(found[2]) > 200, f"a connection that has moved 200 times, not {found[2]}")
    updated = int(found[3])
    check(updated >= 2 if version == "1.3" else updated == 0, f"changes of keys in 1.3 alone, not {updated}")


def python(server, version, suite=None, ciphers=None):
    """Python's ssl: a conversation, a long message, an end that both say; then the session again."""
    minimum = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
    context = clients.context(server, minimum, ciphers)
    client = Python(server, context)
    converse(client, version, suite or client.tls.cipher()[0])
    client.line("short")
    session = client.tls.session
    client.end()
    again = Python(server, context, session)
    check(again.tls.session_reused, "a session that is resumed")
    again.line("again")
    again.end()


def python_long(server, version):
    """A message of a megabyte there and back."""
    client = Python(server, clients.context(server, version))
    for _ in range(2):
        client.line(LONG)
    client.end()


def openssl(server, version, name, suite, *options):
    """OpenSSL's client: a conversation with changes of its keys in it; then the session again."""
    only = ("-tls1_3", "-ciphersuites", name) if version == "1.3" else ("-tls1_2", "-cipher", name)

    def keys(client):
        # K wants the server to change its keys too
        for command in "KkKKk":
            client.say(command + "\n")
            client.hear("KEYUPDATE")
            client.hear("\n")
            if command == "k":
                client.line("with a new key")

    def nothing(_):
        pass

    with tempfile.TemporaryDirectory() as folder:
        session = f"{folder}/session"
        with clients.openssl(server, *only, *options, "-sess_out", session) as client:
            converse(client, version, suite, keys if version == "1.3" else nothing)
            client.say("Q\n")
            check(client.end() == 0, "exit status 0")
        with clients.openssl(server, *only, *options, "-sess_in", session) as client:
            client.hear("Reused, TLSv")
            client.line("again")
            client.say("Q\n")


def openssl_fragments(server, option, version):
    """Records that are small, or padded."""
    with clients.openssl(server, version, *option) as client:
        for n in range(4):
            client.line(f"{n}: " + "piece by piece " * 500)
        client.say("Q\n")


def openssl_is_answered(server):
    """The server changes its keys when it is asked to, once for each K, and not for k."""
    with clients.openssl(server, "-tls1_3", "-msg") as client:
        for n, command in enumerate("KkK"):
            client.say(command + "\n")
            client.hear("KEYUPDATE")
            client.say(f"line {n}\n")
            if command == "K":
                client.hear(r"<<< TLS 1.3, Handshake \[length 0005\], KeyUpdate")
            client.hear(f"line {n}")
        client.say("Q\n")
        client.end()
        # and its own one, after three lines
        found = len(re.findall(r"<<< TLS 1.3, Handshake \[length 0005\], KeyUpdate", client.heard))
        check(found in (2, 3), f"2 or 3 changes of keys, not {found}")


def openssl_retries(server):
    """A group that the server does not have comes first: it asks again (RFC 8446 section 4.1.4)."""
    with clients.openssl(server, "-tls1_3", "-groups", "P-521:P-384", "-no_middlebox", "-alpn", "xmpp-client") as client:
        client.hear("Server Temp Key: ECDH, (secp384r1|P-384)")
        client.hear("ALPN protocol: xmpp-client")
        client.line("with another group")
        client.say("Q\n")


def openssl_refused(server, options, words):
    """What there is no agreement on is refused with the alert for it."""
    with clients.openssl(server, *options) as client:
        client.hear(words)


def openssl_renegotiates(server):
    """OpenSSL ends the connection when it may not renegotiate, and has been told so."""
    with clients.openssl(server, "-tls1_2") as client:
        client.line("before")
        client.say("R\n")
        client.hear("no renegotiation")


def gnutls(server, version, cipher, suite):
    """GnuTLS's client: a conversation with changes of its keys; a long message; then the session again; an end that
    both say."""
    def keys(client):
        for command in ("^rekey^", "^rekey1^"):
            client.say(command + "\n")
            client.hear("Rekey was completed")

    def nothing(_):
        pass

    with clients.gnutls(server, version, cipher) as client:
        client.hear("Simple Client Mode")
        converse(client, version, suite, keys if version == "1.3" else nothing)
        client.line(LONG[:100_000])
        client.say("^resume^\n")
        client.hear("This is a resumed session")
        client.line("again")
        check(client.end() == 0, "exit status 0")


def gnutls_renegotiates(server):
    """GnuTLS asks again each time it is told that it may not, until it gives up by itself."""
    with clients.gnutls(server, "1.2", "AES-128-GCM") as client:
        client.hear("Simple Client Mode")
        client.line("before")
        client.say("^renegotiate^\n")
        for _ in range(10):
            client.hear("No renegotiation is allowed")
        client.hear("ReHandshake has failed")


def nss(server, database, version, number, suite, *options):
    """NSS's client: a conversation, a long message, an end that both say."""
    with clients.nss(server, database, version, number, *options) as client:
        client.hear("Received 0 Cert Status items")
        converse(client, version, suite)
        client.line(LONG[:100_000])
        # it waits for the server to end
        client.say(".\n")
        check(client.end() == 0, "exit status 0")


def compiled(server, command, version, suite):
    """Go's or Java's client: a conversation, a long message (Java changes keys in it), the session again, an end that
    both say."""
    with clients.compiled(command, server, version, suite) as client:
        client.hear("connected")
        converse(client, version, suite)
        # not more at once: over its limit, Java wants new keys with every record until it has seen them
        for _ in range(5):
            client.line(LONG[:100_000])
        client.say("^resume^\n")
        client.hear("connected .* resumed true")
        client.line("again")
        check(client.end() == 0, "exit status 0")


def compiled_cases(servers, folder):
    """Those of Go and Java."""
    source = pathlib.Path(__file__).parent / "tls_clients"
    subprocess.run(["go", "build", "-o", f"{folder}/client", source / "client.go"], check=True)
    subprocess.run(["javac", "-d", folder, source / "Client.java"], check=True)
    go, java = [f"{folder}/client"], ["java", "-cp", folder, "Client"]
    # Go chooses the suites of TLS 1.3 by itself, the first one where the processor has AES
    yield "go 1.3", partial(compiled, servers["ECDSA"], go, "1.3", SUITES_13[0][0])
    for name, _, _ in SUITES_13:
        yield f"java 1.3 {name}", partial(compiled, servers["ECDSA"], java, "1.3", name)
    for kind, suite, *_ in SUITES_12:
        yield f"go 1.2 {suite}", partial(compiled, servers[kind], go, "1.2", suite)
        yield f"java 1.2 {suite}", partial(compiled, servers[kind], java, "1.2", suite)


def cases(servers, database):
    """All of them, each with its name."""
    ecdsa = servers["ECDSA"]
    for kind, server in servers.items():
        yield f"python 1.3 {kind}", partial(python, server, "1.3")
        # in TLS 1.3 the suite says nothing of the key
        for name, cipher, number in SUITES_13 if kind == "ECDSA" else SUITES_13[:1]:
            yield f"openssl 1.3 {kind} {name}", partial(openssl, server, "1.3", name, name)
            yield f"gnutls 1.3 {kind} {cipher}", partial(gnutls, server, "1.3", cipher, name)
            yield f"nss 1.3 {kind} {number}", partial(nss, server, database, "1.3", number, name)
    for kind, suite, name, cipher, number in SUITES_12:
        server = servers[kind]
        yield f"python 1.2 {name}", partial(python, server, "1.2", suite, name)
        yield f"openssl 1.2 {name}", partial(openssl, server, "1.2", name, suite)
        yield f"gnutls 1.2 {kind} {cipher}", partial(gnutls, server, "1.2", cipher, suite)
        yield f"nss 1.2 {kind} {number}", partial(nss, server, database, "1.2", number, suite)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        yield f"python, long messages, {version.name}", partial(python_long, ecdsa, version)
    for option in ("-max_send_frag 512", "-max_send_frag 4096 -split_send_frag 600"):
        for version in ("-tls1_2", "-tls1_3"):
            yield f"openssl {version} {option}", partial(openssl_fragments, ecdsa, option.split(), version)
    for block in (512, 16384):
        yield f"openssl, padded to {block}", partial(
            openssl_fragments, ecdsa, ["-record_padding", block], "-tls1_3")
    yield "openssl is answered", partial(openssl_is_answered, ecdsa)
    yield "openssl, another group", partial(openssl_retries, ecdsa)
    yield "openssl, a suite that is no AEAD", partial(
        openssl_refused, ecdsa, ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"), "alert handshake failure")
    # handshake_failure or protocol_version: rustls looks first at the signatures, which 1.1 has not
    yield "openssl, TLS 1.1", partial(
        openssl_refused, ecdsa, ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), "SSL alert number (40|70)")
    yield "openssl renegotiates", partial(openssl_renegotiates, ecdsa)
    yield "gnutls renegotiates", partial(gnutls_renegotiates, ecdsa)
    # it goes on when it may not
    yield "nss renegotiates", partial(nss, ecdsa, database, "1.2", "C02B", SUITES_12[0][1], "-r", "1")


if __name__ == "__main__":
    where, is_compiled = arguments()
    with tempfile.TemporaryDirectory() as made:
        if is_compiled:
            clients.run(compiled_cases(where, made))
        clients.trust(made, *where.values())
        clients.run(cases(where, made))
