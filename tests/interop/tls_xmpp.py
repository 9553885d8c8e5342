"""TLS clients that are not rustls talk to an XMPP server: STARTTLS and direct TLS, as far as SASL and resource binding,
with both versions, changes of keys and resumption of TLS sessions.
"""

import argparse
import base64
import pathlib
import re
import socket
import ssl
import tempfile
from functools import partial

import tls_client as clients
from tls_client import Python, Server, check

STREAM = ("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
          "version='1.0' to='localhost'>\n")
SASL, TLS = "urn:ietf:params:xml:ns:xmpp-sasl", "urn:ietf:params:xml:ns:xmpp-tls"
BODY = "a long message " * 2_000


def arguments():
    """Where the server is, and who is known there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="STARTTLS port")
    parser.add_argument("--direct", type=int, required=True, help="port for direct TLS")
    parser.add_argument("--ca", required=True, help="PEM file with the server's certificate")
    parser.add_argument("--user", action="append", required=True, metavar="NAME@DOMAIN:PASSWORD")
    return parser.parse_args()


def log_on(client, user):
    """A session, with a message to itself, a long one; the end of the stream."""
    jid, password = user.split(":", 1)
    plain = base64.b64encode(f"\0{jid.split('@')[0]}\0{password}".encode()).decode()
    client.say(STREAM)
    client.hear("<mechanism>PLAIN</mechanism>.*</stream:features>")
    client.say(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{plain}</auth>\n")
    client.hear("<success")
    client.say(STREAM)
    client.hear("</stream:features>")
    client.say("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>\n")
    full = client.hear("<jid>([^<]+)</jid>")[1]
    for n in range(3):
        client.say(f"<message to='{full}' id='m{n}'><body>{n} {BODY}</body></message>\n")
        client.hear(f"<body>{n} {BODY}</body>")
    return full


def leave(client):
    client.say("</stream:stream>\n")
    client.hear("</stream:stream>")


def starttls(server):
    """A socket on which TLS is to begin."""
    sock = socket.create_connection(("127.0.0.1", server.port), clients.PATIENCE)
    for text, end in ((STREAM, b"</stream:features>"), (f"<starttls xmlns='{TLS}'/>", b"<proceed")):
        sock.sendall(text.encode())
        heard = b""
        while not re.search(end + b"[^<]*", heard):
            piece = sock.recv(4096)
            check(piece, f"{end}, not the end after {heard}")
            heard += piece
    return sock


def python(server, user, version, upgrade=lambda _: None):
    """Python's ssl; the second connection resumes the session of the first."""
    context = clients.context(server, version)
    client = Python(server, context, sock=upgrade(server))
    log_on(client, user)
    leave(client)
    session = client.tls.session
    client.end()
    again = Python(server, context, session, upgrade(server))
    check(again.tls.session_reused, "a session that is resumed")
    log_on(again, user)
    leave(again)
    again.end()


def openssl(server, user, version, *options):
    """OpenSSL's client, which changes its keys and wants the server to change its own."""
    with clients.openssl(server, version, *options) as client:
        log_on(client, user)
        for n, command in enumerate("KkK" if version == "-tls1_3" else ""):
            client.say(command + "\n")
            client.hear("KEYUPDATE")
            client.say(f"<iq type='get' id='k{n}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>\n")
            client.hear(f"id=.k{n}.")
        leave(client)


def gnutls(server, user, version, *options):
    """GnuTLS's client."""
    with clients.gnutls(server, version, "AES-128-GCM", *options) as client:
        client.hear("Simple Client Mode")
        log_on(client, user)
        if version == "1.3":
            client.say("^rekey^\n")
            client.hear("Rekey was completed")
            client.say("<iq type='get' id='k' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>\n")
            client.hear("id=.k.")
        leave(client)


def nss(server, user, database, version, suite):
    """NSS's client."""
    with clients.nss(server, database, version, suite) as client:
        client.hear("Received 0 Cert Status items")
        log_on(client, user)
        leave(client)


def cases(args, database):
    """All of them, each with its name."""
    user = args.user[0]
    upgraded, direct = Server(args.port, args.ca), Server(args.direct, args.ca)
    clients.trust(database, direct)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        yield f"python, STARTTLS, {version.name}", partial(python, upgraded, user, version, starttls)
        yield f"python, direct, {version.name}", partial(python, direct, user, version)
    for version in ("-tls1_2", "-tls1_3"):
        yield f"openssl {version}, STARTTLS", partial(
            openssl, upgraded, user, version, "-starttls", "xmpp", "-xmpphost", "localhost")
        for option in ("-alpn xmpp-client", "-max_send_frag 512", "-record_padding 512"):
            if version == "-tls1_3" or "padding" not in option:
                yield f"openssl {version}, direct, {option}", partial(
                    openssl, direct, user, version, *option.split())
    for version in ("1.2", "1.3"):
        yield f"gnutls {version}, STARTTLS", partial(
            gnutls, upgraded, user, version, "--starttls-proto", "xmpp")
        yield f"gnutls {version}, direct", partial(gnutls, direct, user, version, "--alpn", "xmpp-client")
    for version, suite in (("1.2", "C02B"), ("1.2", "CCA9"), ("1.3", "1301"), ("1.3", "1303")):
        yield f"nss {version} {suite}, direct", partial(nss, direct, user, database, version, suite)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        clients.run(cases(arguments(), pathlib.Path(made)))
