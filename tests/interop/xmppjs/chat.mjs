// Two accounts of the server under test talk through xmpp.js: log-on over STARTTLS, roster, presence, chat,
// an offline message, and a stream that is resumed after its TCP connection was reset.
// Usage: node chat.mjs --port N --ca FILE --user a@localhost:pw --user b@localhost:pw [--host H] [--domain D]
// Exits 0 when everything was as expected; prints what was sent and received on the way.

import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { client, jid, xml } from "@xmpp/client";

// Milliseconds for which an expected event is waited for before the script fails.
const PATIENCE = 20_000;
const TEXT = "Grüße aus Zürich: 你好, \u{1F333} & <b>\"'";

const { values: args } = parseArgs({
  options: {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string" },
    domain: { type: "string", default: "localhost" },
    ca: { type: "string" },
    user: { type: "string", multiple: true },
  },
});
if (!args.port || !args.ca || args.user?.length !== 2) {
  throw new Error("needed: --port N --ca FILE --user NAME@DOMAIN:PASSWORD (twice)");
}

// xmpp.js has no option for a certificate authority; Node reads this variable, at its start only.
if (process.env.NODE_EXTRA_CA_CERTS !== args.ca) {
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: args.ca };
  process.exit(spawnSync(process.execPath, process.argv.slice(1), { env, stdio: "inherit" }).status ?? 1);
}

function check(holds, what) {
  if (!holds) throw new Error(`wanted: ${what}`);
}

/** One account: keeps what arrives until it is expected, so that nothing has to sleep. */
class Peer {
  constructor(account, resource) {
    const [address, password] = account.split(/:(.*)/s);
    this.name = resource;
    this.bare = jid(address).bare().toString();
    this.arrived = [];
    this.waiting = [];
    this.xmpp = client({
      service: `xmpp://${args.host}:${args.port}`,
      domain: args.domain,
      resource,
      username: jid(address).local,
      password,
    });
    this.xmpp.timeout = PATIENCE;
    this.xmpp.reconnect.delay = 50;
    // The first socket of a connection is the plain one; TLS is laid over it later.
    this.xmpp.on("connect", () => (this.tcp = this.xmpp.socket));
    this.xmpp.on("element", (element) => this.#received(element));
    this.xmpp.on("send", (element) => this.#sent(element));
    this.xmpp.on("error", (error) => console.log(`  ${this.name} error: ${error.message}`));
    this.xmpp.streamManagement.on("resumed", () => this.#received(xml("resumed-event")));
    this.xmpp.streamManagement.on("ack", () => this.#received(xml("ack-event")));
  }

  #received(element) {
    console.log(`  ${this.name} S: ${element}`);
    this.arrived.push(element);
    for (const look of [...this.waiting]) look();
  }

  #sent(element) {
    console.log(`  ${this.name} C: ${element}`);
    if (element.is("auth")) this.mechanism = element.attrs.mechanism;
  }

  /** Logs on and asks for the roster, which makes it a resource that hears of subscriptions. */
  async logOn() {
    await this.xmpp.start();
    check(this.xmpp.isSecure(), "TLS on the connection");
    check(this.mechanism === "SCRAM-SHA-1", `SCRAM-SHA-1 (all the library has), not ${this.mechanism}`);
    await this.iq("get", xml("query", { xmlns: "jabber:iq:roster" }));
  }

  /** Takes the first arrived element that passes; waits for it if need be. */
  expect(what, test) {
    return new Promise((resolve, reject) => {
      const done = (settle, value) => {
        clearTimeout(timer);
        this.waiting = this.waiting.filter((other) => other !== look);
        settle(value);
      };
      const look = () => {
        const at = this.arrived.findIndex(test);
        if (at >= 0) done(resolve, this.arrived.splice(at, 1)[0]);
      };
      const timer = setTimeout(
        () => done(reject, new Error(`${this.name}: no ${what} within ${PATIENCE} ms`)),
        PATIENCE,
      );
      this.waiting.push(look);
      look();
    });
  }

  message(body, from) {
    return this.expect(`message ${body}`, (s) => isMessage(s, body) && jid(s.attrs.from).bare().toString() === from);
  }

  presence(from, type) {
    return this.expect(
      `presence ${type ?? "available"} from ${from}`,
      (s) => s.is("presence") && s.attrs.type === type && jid(s.attrs.from).bare().toString() === from,
    );
  }

  count(body) {
    return this.arrived.filter((s) => isMessage(s, body)).length;
  }

  say(to, body) {
    return this.xmpp.send(xml("message", { to, type: "chat" }, xml("body", {}, body)));
  }

  /** A last message to `other`: what was sent before it has arrived by then or never will. */
  async marker(other) {
    const body = crypto.randomUUID();
    await this.say(other.xmpp.jid.toString(), body);
    await other.message(body, this.bare);
  }

  iq(type, child, to) {
    return this.xmpp.iqCaller.request(xml("iq", { type, to }, child), PATIENCE);
  }
}

function isMessage(stanza, body) {
  return stanza.is("message") && stanza.attrs.type !== "error" && stanza.getChildText("body") === body;
}

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

run().then(
  () => {
    console.log("PASSED");
    process.exit(0);
  },
  (error) => {
    console.log(`FAILED: ${error.stack}`);
    process.exit(1);
  },
);
