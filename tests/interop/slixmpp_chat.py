"""Two accounts of the server under test talk through slixmpp: log-on, roster, presence, chat, offline
messages, and the small services a client asks for. XEP-0198 has a script of its own, slixmpp_resume.py.

Leaves no trace in rosters, block lists and offline queues, so that it can be run twice.
"""

import ssl

from slixmpp.exceptions import IqError
from slixmpp.plugins.xep_0048.stanza import Bookmarks

from peer import Peer, arguments, check, run, say

TEXT = "Grüße aus Zürich: 你好, \U0001f333 & <b>\"'"
STRONG = ("SCRAM-SHA-256", "SCRAM-SHA-512")


def check_log_on(peer):
    """STARTTLS was used, and SCRAM with SHA-256 or better; bound to the channel where the library can:
    with TLS 1.3 Python has no channel binding to offer (no tls-exporter)."""
    mechanism = peer.plugin["feature_mechanisms"].mech.name
    tls = peer.socket.version()
    say(f"  {peer.name} logged on as {peer.boundjid} over {tls} with {mechanism}")
    check("starttls" in peer.features, "STARTTLS to be negotiated")
    check(mechanism.removesuffix("-PLUS") in STRONG, f"one of {STRONG}, not {mechanism}")
    check(peer.plugin["feature_mechanisms"].mech._mutual_auth, "the server's signature to be verified")


async def forget(one, other):
    """Removes `other` from the roster of `one`, whatever is there."""
    try:
        await one.update_roster(other.boundjid.bare, subscription="remove")
    except IqError as error:
        check(error.condition == "item-not-found", f"no error {error.condition} for a removal")


async def subscribe(one, other):
    """`one` adds `other` to its roster and asks for presence, `other` grants it (RFC 6121, 3.1)."""
    contact, user = other.boundjid.bare, one.boundjid.bare
    await one.update_roster(contact, name="Ünïcode friend", groups=["Friends"])
    one.send_presence(pto=contact, ptype="subscribe")
    await other.expect_presence(user, "subscribe")
    other.send_presence(pto=user, ptype="subscribed")
    await one.expect_presence(contact, "subscribed")
    await one.expect_presence(contact)
    await one.get_roster()
    item = one.client_roster[contact]
    check(item["subscription"] in ("to", "both"), f"subscription to {contact}, not {item}")
    check(item["name"] == "Ünïcode friend", f"the name as it was set, not {item['name']}")
    check(item["groups"] == ["Friends"], f"the group as it was set, not {item['groups']}")


async def presence(a, b):
    """Both see what the other shows, and that it goes."""
    a.send_presence(pshow="away", pstatus="à table")
    seen = await b.expect("presence", "a's status", lambda p: p["status"] == "à table")
    check(seen["show"] == "away", f"show away, not {seen['show']}")
    b.send_presence(ptype="unavailable")
    await a.expect_presence(b.boundjid.bare, "unavailable")
    b.send_presence()
    await a.expect_presence(b.boundjid.bare)


async def chat(a, b):
    """Messages both ways, to the bare and to the full address, arrive as they were written."""
    a.send_message(mto=b.boundjid.bare, mbody=TEXT, mtype="chat")
    got = await b.expect_message(TEXT, a.boundjid.bare)
    check(got["from"] == a.boundjid, f"the sender's full address, not {got['from']}")
    b.send_message(mto=got["from"], mbody=TEXT[::-1], mtype="chat")
    await a.expect_message(TEXT[::-1], b.boundjid.bare)


async def offline(args, a, b):
    """A message to somebody who is away is there at the return, once, with its time (XEP-0160, 0203)."""
    await b.log_off()
    await a.expect_presence(b.boundjid.bare, "unavailable")
    a.send_message(mto=b.boundjid.bare, mbody="while you were away", mtype="chat")
    await a.plugin["xep_0199"].send_ping(a.boundjid.domain)
    b = Peer(args, args.accounts[1], "b2")
    await b.log_on()
    check_log_on(b)
    b.send_presence()
    got = await b.expect_message("while you were away", a.boundjid.bare)
    check(got.get_plugin("delay", check=True) is not None, "a delay on the offline message")
    check(got["delay"]["stamp"], "the time in the delay")
    await a.expect_presence(b.boundjid.bare)
    await a.marker(b)
    check(b.count("while you were away") == 0, "the offline message once")
    return b


async def vcard(a, b):
    """XEP-0054: set by one, read by the other."""
    card = a.plugin["xep_0054"].make_vcard()
    card["FN"] = "Zoë Ångström"
    await a.plugin["xep_0054"].publish_vcard(card)
    iq = await b.plugin["xep_0054"].get_vcard(a.boundjid.bare, local=False, cached=False)
    check(iq["vcard_temp"]["FN"] == "Zoë Ångström", f"the vCard that was set, not {iq}")


async def services(a, b):
    """What the server answers for itself: XEP-0030, 0199, 0092, 0202, 0012."""
    domain = a.boundjid.domain
    info = (await a.plugin["xep_0030"].get_info(jid=domain, cached=False))["disco_info"]
    kinds = {(identity[0], identity[1]) for identity in info["identities"]}
    check(("server", "im") in kinds, f"the identity server/im, not {kinds}")
    for feature in ("urn:xmpp:ping", "vcard-temp", "urn:xmpp:blocking",
                    "jabber:iq:version", "http://jabber.org/protocol/disco#info"):
        check(feature in info["features"], f"the feature {feature}")
    await a.plugin["xep_0030"].get_items(jid=domain)
    say(f"  ping to the server: {await a.plugin['xep_0199'].ping(domain):.4f} s")
    say(f"  ping to the peer: {await a.plugin['xep_0199'].ping(b.boundjid):.4f} s")
    version = (await a.plugin["xep_0092"].get_version(domain))["software_version"]
    check(version["name"] and version["version"], f"name and version of the software, not {version}")
    time = (await a.plugin["xep_0202"].get_entity_time(domain))["entity_time"]
    # Not time["utc"]: slixmpp 1.17 appends a second Z before it parses.
    stamp = time.xml.findtext("{urn:xmpp:time}utc")
    check(stamp.endswith("Z"), f"a time in UTC, not {stamp}")
    await a.plugin["xep_0012"].get_last_activity(domain)


async def blocking(a, b):
    """XEP-0191: neither way while blocked, both ways after."""
    contact = b.boundjid.bare
    await a.plugin["xep_0191"].block(contact)
    listed = await a.plugin["xep_0191"].get_blocked_jids()
    check(listed == {contact}, f"the block list to be {contact}, not {listed}")
    await b.expect_presence(a.boundjid.bare, "unavailable")
    b.send_message(mto=a.boundjid.bare, mbody="blocked?", mtype="chat")
    error = await b.expect("message", "an error for the blocked message", lambda m: m["type"] == "error")
    check(error["error"]["condition"] == "service-unavailable", f"service-unavailable, not {error}")
    a.send_message(mto=contact, mbody="blocked!", mtype="chat")
    error = await a.expect("message", "an error to the blocker", lambda m: m["type"] == "error")
    check(error["error"]["condition"] == "not-acceptable", f"not-acceptable, not {error}")
    await a.plugin["xep_0191"].unblock(contact)
    await b.expect_presence(a.boundjid.bare)
    check(a.count("blocked?") == 0 and b.count("blocked!") == 0, "no blocked message to arrive")
    await chat(b, a)


async def bookmarks(a, _):
    """XEP-0048 in XEP-0049: what was stored comes back."""
    marks = Bookmarks()
    marks.add_conference(f"röom@conference.{a.boundjid.domain}", "nick", name="A röom", autojoin=False)
    await a.plugin["xep_0048"].set_bookmarks(marks, method="xep_0049")
    back = (await a.plugin["xep_0048"].get_bookmarks(method="xep_0049"))["private"]["bookmarks"]
    names = [room["name"] for room in back["conferences"]]
    check(names == ["A röom"], f"the bookmark that was stored, not {names}")


async def refused(args):
    """A wrong password is refused, and only that."""
    peer = Peer(args, (args.accounts[0][0], "not the password"), "wrong")
    peer.plugin["feature_mechanisms"].use_mech = "SCRAM-SHA-256"
    peer.connect(*peer.address)
    await peer.happens("failed_all_auth")
    failure = await peer.expect("failure", "a SASL failure")
    check(failure["condition"] == "not-authorized", f"not-authorized, not {failure['condition']}")


async def script(args):
    """The steps, in order."""
    a, b = Peer(args, args.accounts[0], "a"), Peer(args, args.accounts[1], "b")
    say("# both log on over STARTTLS with SCRAM")
    for peer in (a, b):
        await peer.log_on()
        check_log_on(peer)
        await peer.get_roster()
    say("# the same with TLS 1.2, where the library can bind the channel")
    old = Peer(args, args.accounts[0], "tls12", newest_tls=ssl.TLSVersion.TLSv1_2)
    await old.log_on()
    check_log_on(old)
    await old.log_off()
    say("# a wrong password is refused")
    await refused(args)
    await forget(a, b)
    await forget(b, a)
    await a.plugin["xep_0191"].unblock(b.boundjid.bare)
    a.send_presence()
    b.send_presence()
    say("# roster and subscriptions, one way and then the other")
    await subscribe(a, b)
    await subscribe(b, a)
    for step in (presence, chat, vcard, services, blocking, bookmarks):
        say(f"# {step.__doc__.splitlines()[0]}")
        await step(a, b)
    say("# offline message")
    b = await offline(args, a, b)
    say("# contacts are removed, everybody leaves")
    await forget(a, b)
    await forget(b, a)
    await a.log_off()
    await b.log_off()


if __name__ == "__main__":
    run(script, arguments(__doc__))
