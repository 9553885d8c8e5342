"""sendxmpp (Perl's Net::XMPP) sends a message to a peer of slixmpp over the server under test, over STARTTLS with
a certificate that is verified. What it reads and writes is the transcript.

After log-on its library sends the name of its host as the `from` of the stream.
"""

import asyncio
import re
import socket
import tempfile
from pathlib import Path

from peer import PATIENCE, Failed, Peer, arguments, check, run, say

TEXT = "one line from a script"
# What the library's debug output has of the stream, and what is not shown of it.
STREAM = re.compile(r"XML::Stream: (Send|Read): (?:buff)?\((.*)\)$")
SECRET = re.compile(r"(<(?:auth|response|challenge|success) [^>]*>)[^<]+")


async def send(args, recipient):
    """Runs sendxmpp as the first account."""
    jid, password = args.accounts[0]
    name, _, domain = jid.partition("@")
    with tempfile.TemporaryDirectory() as home:
        # OpenSSL's way to have a folder of authorities
        authority = Path(home, "authority.pem")
        authority.write_bytes(Path(args.ca).read_bytes())
        # the domain is looked up as the host to connect to
        check(socket.gethostbyname(domain) == args.host, f"{domain} to be {args.host}")
        process = await asyncio.create_subprocess_exec(
            "sendxmpp", "--debug", "--username", name, "--password", password,
            "--jserver", f"{domain}:{args.port}", "--tls", "--tls-ca-path", str(authority),
            "--message", "/dev/stdin", recipient,
            env={"HOME": home, "PATH": "/usr/bin:/bin"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(TEXT.encode()), PATIENCE)
        except asyncio.TimeoutError:
            process.kill()
            raise Failed(f"sendxmpp did not end within {PATIENCE} s") from None
    said = SECRET.sub(r"\1…", said.decode())
    for line in said.splitlines():
        if found := STREAM.search(line):
            say(f"  sendxmpp {'C' if found[1] == 'Send' else 'S'}: {found[2]}")
        elif process.returncode != 0:
            say(f"  {line}")
    check(process.returncode == 0, f"sendxmpp to end well, not with {process.returncode}")


async def script(args):
    """The whole conversation."""
    say("# b logs on")
    b = Peer(args, args.accounts[1], "b")
    await b.log_on()
    b.send_presence()
    await b.expect_presence(b.boundjid.bare)
    say("# sendxmpp sends to b")
    await send(args, b.boundjid.bare)
    got = await b.expect("message", "sendxmpp's message", lambda m: m["body"].strip() == TEXT)
    check(got["from"].bare == args.accounts[0][0], f"{args.accounts[0][0]} as the sender, not {got['from']}")
    await b.log_off()


if __name__ == "__main__":
    run(script, arguments(__doc__))
