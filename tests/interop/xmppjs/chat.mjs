// Two accounts of the server under test talk through xmpp.js: log-on over STARTTLS, roster, presence, chat,
// an offline message, and a stream that is resumed after its TCP connection was reset.
// Usage: node chat.mjs --port N --ca FILE --user a@localhost:pw --user b@localhost:pw [--host H] [--domain D]
// Exits 0 when everything was as expected; prints what was sent and received on the way.

import { xml } from "@xmpp/client";
import { Peer, args, check, isMessage, main } from "./peer.mjs";

const TEXT = "Grüße aus Zürich: 你好, \u{1F333} & <b>\"'";

async function rosters(a, b) {
  const item = { jid: b.bare, name: "Ünïcode friend" };
  await a.iq("set", xml("query", { xmlns: "jabber:iq:roster" }, xml("item", item, xml("group", {}, "Friends"))));
  await a.xmpp.send(xml("presence", { to: b.bare, type: "subscribe" }));
  await b.presence(a.bare, "subscribe");
  await b.xmpp.send(xml("presence", { to: a.bare, type: "subscribed" }));
  await a.presence(b.bare, "subscribed");
  await a.presence(b.bare);
  const result = await a.iq("get", xml("query", { xmlns: "jabber:iq:roster" }));
  const entry = result.getChild("query").getChildren("item").find((i) => i.attrs.jid === b.bare);
  check(entry?.attrs.subscription === "to", `subscription to ${b.bare}, not ${entry}`);
  check(entry.attrs.name === item.name && entry.getChildText("group") === "Friends", `name and group, not ${entry}`);
}

async function forget(one, other) {
  const item = xml("item", { jid: other.bare, subscription: "remove" });
  try {
    await one.iq("set", xml("query", { xmlns: "jabber:iq:roster" }, item));
  } catch (error) {
    check(error.condition === "item-not-found", `no error ${error.condition} for a removal`);
  }
}

async function presences(a, b) {
  await b.xmpp.send(xml("presence", {}, xml("show", {}, "away"), xml("status", {}, "à table")));
  const seen = await a.expect("b's status", (s) => s.is("presence") && s.getChildText("status") === "à table");
  check(seen.getChildText("show") === "away", `show away, not ${seen}`);
}

async function chat(a, b) {
  await a.say(b.bare, TEXT);
  const got = await b.message(TEXT, a.bare);
  check(got.attrs.from === a.xmpp.jid.toString(), `the sender's full address, not ${got.attrs.from}`);
  await b.say(got.attrs.from, `re: ${TEXT}`);
  await a.message(`re: ${TEXT}`, b.bare);
}

async function offline(a, b) {
  await b.xmpp.stop();
  await a.presence(b.bare, "unavailable");
  await a.say(b.bare, "while you were away");
  await a.iq("get", xml("ping", { xmlns: "urn:xmpp:ping" }), args.domain);
  const back = new Peer(args.user[1], "b2");
  await back.logOn();
  await back.xmpp.send(xml("presence"));
  const got = await back.message("while you were away", a.bare);
  check(got.getChild("delay", "urn:xmpp:delay")?.attrs.stamp, `a delay with its time, not ${got}`);
  await a.marker(back);
  check(back.count("while you were away") === 0, "the offline message once");
  return back;
}

async function resume(a, b) {
  const { id } = a.xmpp.streamManagement;
  const address = a.xmpp.jid.toString();
  check(id, "a resumable stream (an id in <enabled/>)");
  const gone = new Promise((resolve) => a.xmpp.once("disconnect", resolve));
  a.tcp.resetAndDestroy();
  await gone;
  await b.say(address, "first meanwhile");
  await b.say(address, "second meanwhile");
  await a.expect("resumed stream", (s) => s.is("resumed-event"));
  check(a.xmpp.streamManagement.id === id && a.xmpp.jid.toString() === address, "the same stream and address");
  const first = await a.expect("first message", (s) => s.getChildText("body")?.endsWith("meanwhile"));
  check(isMessage(first, "first meanwhile"), `the first message first, not ${first}`);
  await a.message("second meanwhile", b.bare);
  await b.marker(a);
  check(a.count("first meanwhile") + a.count("second meanwhile") === 0, "each message once");
  await a.marker(b);
}

async function run() {
  const [a, b] = [new Peer(args.user[0], "a"), new Peer(args.user[1], "b")];
  console.log("# both log on over STARTTLS with SCRAM");
  await a.logOn();
  await b.logOn();
  await forget(a, b);
  await forget(b, a);
  await a.xmpp.send(xml("presence"));
  await b.xmpp.send(xml("presence"));
  console.log("# roster, and a subscription to b");
  await rosters(a, b);
  console.log("# presence");
  await presences(a, b);
  console.log("# chat");
  await chat(a, b);
  console.log("# acknowledgement (XEP-0198)");
  await a.expect("acknowledgement", (s) => s.is("ack-event"));
  console.log("# offline message");
  const back = await offline(a, b);
  console.log("# a's connection is reset and its stream resumed");
  await resume(a, back);
  console.log("# the contact is removed, everybody leaves");
  await forget(a, back);
  await forget(back, a);
  await a.xmpp.stop();
  await back.xmpp.stop();
}

main(run);
