"""Profanity, in a terminal of tmux, talks to a peer of slixmpp over the server under test: it logs on
over STARTTLS with a certificate that is checked, writes a message and shows the answer. What its screen showed is the transcript.

Waits for text on the screen by polling it; nothing depends on how long a step takes.
"""

import asyncio
import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

from peer import PATIENCE, Failed, Peer, arguments, check, run, say


class Screen:
    """A program in a tmux server of its own, under a home of its own: nothing of the user's is touched."""

    def __init__(self, home, command):
        self.tmux = ["tmux", "-u", "-S", str(home / "tmux"), "-f", "/dev/null"]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
        }
        subprocess.run(
            [*self.tmux, "new-session", "-d", "-x", "110", "-y", "36", *command],
            env=environment,
            check=True,
        )

    def text(self):
        """What the screen shows now."""
        shown = subprocess.run([*self.tmux, "capture-pane", "-p"], capture_output=True, text=True)
        return shown.stdout

    def type(self, line):
        """Types a line and Return."""
        subprocess.run([*self.tmux, "send-keys", "-l", line], check=True)
        subprocess.run([*self.tmux, "send-keys", "Enter"], check=True)

    async def shows(self, wanted):
        """Waits until the screen shows one of the texts; prints it and returns the text found."""
        def found():
            screen = self.text()
            return next(((text, screen) for text in wanted if text in screen), None)

        text, screen = await self.poll(found, f"any of {wanted} on the screen")
        say("".join(f"  | {line}\n" for line in screen.splitlines() if line.strip()))
        return text

    async def ends(self):
        """Waits until the program has ended, and its tmux server with it."""
        await self.poll(lambda: not self.alive(), "the program to end")

    def alive(self):
        """Whether the tmux server still runs."""
        return subprocess.run([*self.tmux, "has-session"], capture_output=True).returncode == 0

    async def poll(self, look, what):
        """Calls `look` until it answers with something, and returns that."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while loop.time() < deadline:
            if answer := look():
                return answer
            await asyncio.sleep(0.1)
        raise Failed(f"wanted {what} within {PATIENCE} s, and the screen is:\n{self.text()}")

    def end(self):
        """Ends the tmux server and with it the program."""
        subprocess.run([*self.tmux, "kill-server"], stderr=subprocess.DEVNULL)


async def log_on(screen, args, fingerprint):
    """Connects. Profanity shows a certificate it does not know; it is allowed if it is the verified one."""
    jid, password = args.accounts[0]
    screen.type(f"/connect {jid} server {args.host} port {args.port} tls force")
    await screen.shows(["Enter password"])
    screen.type(password)
    shown = await screen.shows(["/tls deny", "logged in successfully", "Login failed"])
    if shown == "/tls deny":
        check(fingerprint in screen.text(), f"the certificate with the fingerprint {fingerprint}")
        screen.type("/tls allow")
        shown = await screen.shows(["logged in successfully", "Login failed"])
    check(shown == "logged in successfully", f"a log-on, not: {shown}")


async def talk(screen, args):
    """The steps on the screen, and those of the peer."""
    jid, peer_jid = (account[0] for account in args.accounts)
    peer = Peer(args, args.accounts[1], "peer")
    await peer.log_on()
    peer.send_presence()
    fingerprint = hashlib.sha1(peer.socket.getpeercert(binary_form=True)).hexdigest()
    say("# Profanity starts")
    await screen.shows(["Type '/help'"])
    screen.type("/clear")
    say("# it logs on")
    await log_on(screen, args, fingerprint)
    say("# it writes")
    screen.type(f"/msg {peer_jid} Grüße aus dem Terminal")
    got = await peer.expect_message("Grüße aus dem Terminal", jid)
    say("# it shows the answer")
    peer.send_message(mto=got["from"], mbody="Antwort: 你好 & <b>", mtype="chat")
    await screen.shows(["Antwort: 你好 & <b>"])
    say("# it leaves")
    screen.type("/quit")
    await screen.ends()
    await peer.log_off()


def check_mechanism(home):
    """The mechanism is not on the screen; Profanity's own log has it."""
    log = (home / ".local/share/profanity/logs/profanity.log").read_text()
    tried = re.findall(r'SENT: <auth mechanism="([^"]+)"', log)
    say(f"  it authenticated with {tried}")
    check(len(tried) == 1 and tried[0].startswith("SCRAM-"), f"SCRAM at the first try, not {tried}")


async def script(args):
    """Profanity in a temporary home; ended whatever happens."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        screen = Screen(home, ["profanity", "-l", "DEBUG"])
        try:
            await talk(screen, args)
            check_mechanism(home)
        finally:
            screen.end()


if __name__ == "__main__":
    run(script, arguments(__doc__))
