"""XEP-0198 through slixmpp: acknowledgements, and a session that goes on after its connection was reset,
with nothing lost and nothing twice. Run after a test of the plain case, slixmpp_chat.py.
"""

from peer import Peer, arguments, check, run, say


async def acknowledged(a):
    """The server acknowledges what it has handled when it is asked to."""
    a.send_presence()
    await a.waiting_queue.join()
    a.plugin["xep_0198"].request_ack()
    acked = await a.happens("stanza_acked")
    say(f"  acknowledged: {acked}")


async def resumed(a):
    """Connects again and resumes: same session, same address."""
    before, stream = a.boundjid.full, a.plugin["xep_0198"].sm_id
    a.connect(*a.address)
    answer = await a.happens("session_resumed")
    check(answer["previd"] == stream, f"previd {stream}, not {answer['previd']}")
    check(a.boundjid.full == before, f"the address {before}, not {a.boundjid.full}")


async def script(args):
    """The steps, in order."""
    a = Peer(args, args.accounts[0], "a", resumable=True)
    b = Peer(args, args.accounts[1], "b")
    say("# both log on, a with a resumable session")
    await a.log_on()
    await a.happens("sm_enabled")
    check(a.plugin["xep_0198"].sm_id, "a resumable session (an id in <enabled/>)")
    await b.log_on()
    b.send_presence()
    say("# acknowledgement")
    await acknowledged(a)
    await b.marker(a)
    say("# a's connection is reset; b writes to it meanwhile")
    await a.cut()
    for body in ("first meanwhile", "second meanwhile"):
        b.send_message(mto=a.boundjid.full, mbody=body, mtype="chat")
    await b.plugin["xep_0199"].send_ping(b.boundjid.domain)
    say("# a resumes: both messages, in order, once")
    await resumed(a)
    first = await a.expect("message", "first message", lambda m: m["body"].endswith("meanwhile"))
    check(first["body"] == "first meanwhile", f"the first message first, not {first['body']}")
    await a.expect_message("second meanwhile", b.boundjid.bare)
    await b.marker(a)
    check(a.count("first meanwhile") + a.count("second meanwhile") == 0, "each message once")
    say("# a writes and is cut before an acknowledgement; b gets it once")
    a.send_message(mto=b.boundjid.full, mbody="on the edge", mtype="chat")
    await a.waiting_queue.join()
    await a.cut()
    await resumed(a)
    await b.expect_message("on the edge", a.boundjid.bare)
    await a.marker(b)
    check(b.count("on the edge") == 0, "the message once")
    await a.log_off()
    await b.log_off()


if __name__ == "__main__":
    run(script, arguments(__doc__))
