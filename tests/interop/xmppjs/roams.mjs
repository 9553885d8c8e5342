// A stream of xmpp.js goes on at another node of a cluster, when its own is killed or taken out of service.
// Usage: node roams.mjs as chat.mjs, with --other N (port of another node) --end COMMAND (ends the node of --port)
// and --killed if what it had not acknowledged may come twice.
// Exits 0 when everything was as expected; prints what was sent and received on the way.

import { spawn } from "node:child_process";
import { xml } from "@xmpp/client";
import { Peer, args, check, isMessage, main } from "./peer.mjs";

const other = `xmpp://${args.host}:${args.other}`;

main(async () => {
  const [a, b] = [new Peer(args.user[0], "a"), new Peer(args.user[1], "b")];
  b.xmpp.options.service = other;
  console.log("# a at one node, b at another");
  await a.logOn();
  await b.logOn();
  await a.xmpp.send(xml("presence"));
  await b.xmpp.send(xml("presence"));
  await a.marker(b);
  await b.marker(a);
  const { id, outbound_q: waiting } = a.xmpp.streamManagement;
  // what the server has counted goes on after a kill
  while (waiting.length > 0) await a.expect("an acknowledgement", (s) => s.is("ack-event"));
  const address = a.xmpp.jid.toString();
  check(id, "a resumable stream (an id in <enabled/>)");
  console.log("# a writes, and its node ends; b writes to it meanwhile");
  const gone = new Promise((resolve) => a.xmpp.once("disconnect", resolve));
  await a.say(b.bare, "on the edge");
  a.xmpp.options.service = other;
  const end = spawn("sh", ["-c", args.end], { stdio: "inherit" });
  const ended = new Promise((resolve) => end.once("exit", resolve));
  await gone;
  await b.say(address, "first meanwhile");
  await b.say(address, "second meanwhile");
  console.log("# a resumes at the other: all messages, in order, once");
  await a.expect("resumed stream", (s) => s.is("resumed-event"));
  check(a.xmpp.streamManagement.id === id && a.xmpp.jid.toString() === address, "the same stream and address");
  const first = await a.expect("first message", (s) => s.getChildText("body")?.endsWith("meanwhile"));
  check(isMessage(first, "first meanwhile"), `the first message first, not ${first}`);
  await a.message("second meanwhile", b.bare);
  await b.message("on the edge", a.bare);
  await b.marker(a);
  await a.marker(b);
  check(a.count("first meanwhile") + a.count("second meanwhile") === 0, "each message once");
  check(args.killed || b.count("on the edge") === 0, "the message once");
  await ended;
  await a.xmpp.stop();
  await b.xmpp.stop();
});
