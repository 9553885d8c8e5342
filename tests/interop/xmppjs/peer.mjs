// One account on the server under test, driven through xmpp.js: what the scripts here share.

import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { client, jid, xml } from "@xmpp/client";

// Milliseconds for which an expected event is waited for before the script fails.
const PATIENCE = 20_000;

export const { values: args } = parseArgs({
  options: {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string" },
    domain: { type: "string", default: "localhost" },
    ca: { type: "string" },
    user: { type: "string", multiple: true },
    other: { type: "string" },
    end: { type: "string" },
    killed: { type: "boolean" },
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

export function check(holds, what) {
  if (!holds) throw new Error(`wanted: ${what}`);
}

/** One account: keeps what arrives until it is expected, so that nothing has to sleep. */
export class Peer {
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

export function isMessage(stanza, body) {
  return stanza.is("message") && stanza.attrs.type !== "error" && stanza.getChildText("body") === body;
}

/** Runs a script to its end, and exits. */
export function main(run) {
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
}
