"""XEP-0198 through slixmpp over the nodes of a cluster: the client's node is killed or taken out of service, and its
session goes on at another one, with nothing lost and nothing twice. Run after slixmpp_resume.py.
"""

import asyncio

from peer import Peer, arguments, check, run, say


def more(parser):
    """What the other scripts do not take."""
    parser.add_argument("--other", type=int, required=True, help="STARTTLS port of another node")
    parser.add_argument("--killed", action="store_true", help="what was not acknowledged may come twice")
    parser.add_argument("--end", required=True, help="command that ends the node of --port")


async def script(args):
    """The steps, in order."""
    a = Peer(args, args.accounts[0], "a", resumable=True)
    b = Peer(args, args.accounts[1], "b")
    b.address = (args.host, args.other)
    say("# a at one node with a resumable session, b at another")
    await a.log_on()
    await a.happens("sm_enabled")
    await b.log_on()
    a.send_presence()
    b.send_presence()
    await a.marker(b)
    await b.marker(a)
    before, stream = a.boundjid.full, a.plugin["xep_0198"].sm_id
    # what the server has counted goes on after a kill
    await a.acknowledged()
    say("# a writes, and its node ends; b writes to it meanwhile")
    a.send_message(mto=b.boundjid.full, mbody="on the edge", mtype="chat")
    await a.waiting_queue.join()
    end = await asyncio.create_subprocess_shell(args.end)
    await a.happens("disconnected")
    for body in ("first meanwhile", "second meanwhile"):
        b.send_message(mto=before, mbody=body, mtype="chat")
    say("# a resumes at the other: all messages, in order, once")
    a.connect(args.host, args.other)
    answer = await a.happens("session_resumed")
    check(answer["previd"] == stream, f"previd {stream}, not {answer['previd']}")
    check(a.boundjid.full == before, f"the address {before}, not {a.boundjid.full}")
    first = await a.expect("message", "first message", lambda m: m["body"].endswith("meanwhile"))
    check(first["body"] == "first meanwhile", f"the first message first, not {first['body']}")
    await a.expect_message("second meanwhile", b.boundjid.bare)
    await b.expect_message("on the edge", a.boundjid.bare)
    await b.marker(a)
    await a.marker(b)
    check(a.count("first meanwhile") + a.count("second meanwhile") == 0, "each message once")
    check(args.killed or b.count("on the edge") == 0, "the message once")
    await end.wait()
    await a.log_off()
    await b.log_off()


if __name__ == "__main__":
    run(script, arguments(__doc__, more))
