"""One account on the server under test, driven through slixmpp: what the Python scripts here share.

A `Peer` keeps every stanza that arrives until a script asks for it, so a script says what it expects
and never how long to sleep. Everything sent and received is printed: that is the transcript.
"""

import argparse
import asyncio
import logging
import socket
import ssl
import struct
import sys

import slixmpp

# Seconds for which an expected event is waited for before the script fails.
PATIENCE = 20
PLUGINS = ("0012", "0030", "0048", "0049", "0054", "0092", "0191", "0198", "0199", "0202", "0203")
# The library's events that a script can wait for; of FAILURES, only the one that is waited for may come.
PROGRESS = ("session_start", "session_resumed", "sm_enabled", "stanza_acked")
FAILURES = ("disconnected", "failed_all_auth", "ssl_invalid_chain", "connection_failed", "sm_failed")


class Failed(Exception):
    """The server did not do what the script expects."""


def check(holds, what):
    """Fails the script with `what` it wanted unless `holds`."""
    if not holds:
        raise Failed(f"wanted: {what}")


def say(line):
    """Prints one line of the transcript at once."""
    print(line, flush=True)


def arguments(description, more=lambda parser: None):
    """The arguments that every Python script here takes, and what `more` adds."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1", help="address to connect to")
    parser.add_argument("--port", type=int, required=True, help="STARTTLS port")
    parser.add_argument("--domain", default="localhost", help="domain of the accounts")
    parser.add_argument("--ca", required=True, help="PEM file that the server's certificate is verified with")
    parser.add_argument(
        "--user",
        action="append",
        required=True,
        metavar="NAME@DOMAIN:PASSWORD",
        help="an account that exists; give two",
    )
    more(parser)
    args = parser.parse_args()
    args.accounts = [tuple(user.split(":", 1)) for user in args.user]
    if len(args.accounts) != 2 or any(len(account) != 2 for account in args.accounts):
        parser.error("two accounts are needed, each as NAME@DOMAIN:PASSWORD")
    for jid, _ in args.accounts:
        if slixmpp.JID(jid).domain != args.domain:
            parser.error(f"{jid} is not an account of {args.domain}")
    return args


def run(script, args):
    """Runs `script(args)` and exits: 0 when it went through, 1 with the reason when not."""
    logging.basicConfig(level=logging.CRITICAL)
    try:
        asyncio.run(script(args))
    except (Failed, slixmpp.exceptions.XMPPError, asyncio.TimeoutError) as error:
        say(f"FAILED: {type(error).__name__}: {error}")
        sys.exit(1)
    say("PASSED")


class Peer(slixmpp.ClientXMPP):
    """A client that answers nothing by itself: no subscription is approved unless the script does."""

    def __init__(self, args, account, resource, newest_tls=None, resumable=False):
        jid, password = account
        super().__init__(f"{jid}/{resource}", password, loop=asyncio.get_running_loop())
        self.address = (args.host, args.port)
        self.name = resource
        self.whitespace_keepalive = False
        self.enable_direct_tls = False
        self.enable_plaintext = False
        self.auto_authorize = None
        self.auto_subscribe = False
        self.ssl_context = ssl.create_default_context(cafile=args.ca)
        if newest_tls:
            self.ssl_context.maximum_version = newest_tls
        for plugin in PLUGINS:
            if plugin != "0198" or resumable:
                self.register_plugin(f"xep_{plugin}")
        self.arrived = []
        self.arrival = asyncio.Event()
        self.happened = []
        self.add_filter("in", self._received)
        self.add_filter("out_sync", self._sent)
        for name in (*PROGRESS, *FAILURES):
            self.add_event_handler(name, lambda data, name=name: self._happened(name, data))

    def _received(self, stanza):
        say(f"  {self.name} S: {stanza}")
        self.arrived.append(stanza)
        self.arrival.set()
        return stanza

    def _sent(self, stanza):
        say(f"  {self.name} C: {stanza}")
        return stanza

    def _happened(self, name, data):
        self.happened.append((name, data))
        self.arrival.set()

    async def _take(self, queue, what, test):
        """Takes the first entry of `queue` that passes `test`, and waits for it if need be."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while True:
            for at, entry in enumerate(queue):
                if test(entry):
                    return queue.pop(at)
            self.arrival.clear()
            try:
                await asyncio.wait_for(self.arrival.wait(), deadline - loop.time())
            except asyncio.TimeoutError:
                raise Failed(f"{self.name}: no {what} within {PATIENCE} s") from None

    async def happens(self, wanted):
        """Waits for the library's event `wanted`; one that tells of a failure fails the script."""
        name, data = await self._take(self.happened, wanted, lambda e: e[0] in (wanted, *FAILURES))
        check(name == wanted, f"{self.name}: {wanted}, not {name}: {data}")
        return data

    async def log_on(self):
        """Connects, and returns when the session is bound."""
        self.connect(*self.address)
        await self.happens("session_start")

    async def log_off(self):
        """Closes the stream and waits for the end of the connection."""
        self.disconnect()
        await self.happens("disconnected")

    async def cut(self):
        """Breaks the TCP connection with a reset: no closing tag, no TLS close, nothing flushed."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
        await self.happens("disconnected")

    async def expect(self, kind, what, test=lambda stanza: True):
        """Takes the first stanza of `kind` (message, presence, iq) out of the arrived ones that
        passes `test`; waits for it if need be."""
        return await self._take(self.arrived, what, lambda s: s.name == kind and test(s))

    async def expect_message(self, body, sender):
        """The message with this body from this bare address."""
        return await self.expect(
            "message",
            f"message {body!r} from {sender}",
            lambda m: m["body"] == body and m["from"].bare == sender and m["type"] != "error",
        )

    async def expect_presence(self, sender, kind="available"):
        """A presence of this type from this bare address."""
        return await self.expect(
            "presence",
            f"presence {kind} from {sender}",
            lambda p: p["from"].bare == sender and p.xml.get("type", "available") == kind,
        )

    async def acknowledged(self):
        """Waits until the server has counted all that was sent (XEP-0198)."""
        sm = self.plugin["xep_0198"]
        while sm.unacked_queue:
            sm.request_ack()
            await self.expect("a", "acknowledgement")

    async def marker(self, other):
        """A last message to `other`: what was sent before it has arrived by then or never will."""
        body = self.new_id()
        self.send_message(mto=other.boundjid.full, mbody=body, mtype="chat")
        await other.expect_message(body, self.boundjid.bare)

    def count(self, body):
        """How many messages with this body have arrived and were not taken."""
        return sum(1 for s in self.arrived if s.name == "message" and s["body"] == body)
