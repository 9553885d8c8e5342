//! The database fails in every way it can while messages are on their way: each that was acknowledged by an `<a/>` is delivered,
//! once and in order, and the node goes on by itself.

use super::{BACK, THERE, log_on};
use crate::{
    http,
    kill::{
        Client,
        Recipient::{self, Detached, Offline, Slow},
        Sender, waits,
    },
    support::{
        PASSWORD, Peer, Program, Running, block_on,
        database::{accounts, options},
        stanza_error,
    },
    tls::{HEADER, own, secure, until},
};
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};
use storage::testkit::ReplicaSet;
use xmpp::ns;

/// For how long a server hangs, or all of them are away.
const AWAY: Duration = Duration::from_secs(5);
/// Between two goes at the least: all of it has to get into the database in the end.
const PACE: Duration = Duration::from_millis(100);
/// Messages to each of the recipients in one go.
const AT_ONCE: usize = 5;
/// Who gets messages while the database is in trouble.
const ALL: [Recipient; 3] = [Offline, Detached, Slow];

/// What the sender heard was accepted.
type Accepted = BTreeMap<Recipient, Vec<usize>>;

/// Sends a few to each of them, and hears that all are accepted.
async fn some(sender: &mut Sender, to: &[Recipient], accepted: &mut Accepted) {
    for _ in 0..AT_ONCE {
        let sent = sender.send(to).await;
        assert!(sender.accepted(sender.sent).await, "the connection is lost");
        sent.into_iter().for_each(|(who, id)| accepted.entry(who).or_default().push(id));
    }
}

/// The same for that long.
async fn some_for(time: Duration, sender: &mut Sender, accepted: &mut Accepted) {
    let (since, mut pace) = (Instant::now(), tokio::time::interval(PACE));
    while since.elapsed() < time {
        pace.tick().await;
        some(sender, &ALL, accepted).await;
    }
}

/// What comes of PLAIN (RFC 4616), for which there has to be TLS.
fn plain(node: &Running, program: &Program) -> String {
    let tcp = TcpStream::connect(node.addresses.direct_tls[0]).unwrap();
    let mut tls = secure(tcp, &own(&program.path().join("data")));
    tls.write_all(HEADER).unwrap();
    until(&mut tls, "</stream:features>");
    // of the user "offline"
    let response = "AG9mZmxpbmUAcHc=";
    let auth = format!("<auth xmlns='{}' mechanism='PLAIN'>{response}</auth>", ns::SASL);
    tls.write_all(auth.as_bytes()).unwrap();
    until(&mut tls, ns::SASL)
}

/// What can be done while no member answers.
async fn without(running: &Running, program: &Program, sender: &mut Sender) {
    let node = running.addresses.starttls[0];
    // who was seen before, by any way there is
    assert_eq!(log_on(node, "offline", PASSWORD).await, Ok(()));
    assert!(plain(running, program).contains("<success"));
    assert_eq!(log_on(node, "offline", "wrong").await, Err("not-authorized".into()));
    assert_eq!(log_on(node, "never", PASSWORD).await, Err("temporary-auth-failure".into()));
    assert_eq!(log_on(node, "nobody", PASSWORD).await, Err("temporary-auth-failure".into()));
    for name in ["never", "nobody"] {
        let head = format!("<message to='{name}@localhost' type='chat' id='{name}'>");
        sender.peer.send(&(head + "<body>x</body></message>")).await;
        sender.sent += 1;
        let answer = sender.peer.until(|e| e.name() == "message").await;
        let error = ("wait".to_owned(), "resource-constraint".to_owned());
        assert_eq!(stanza_error(&answer), Some(error), "{}", answer.to_xml());
    }
}

fn faults(durability: &str) {
    let set = block_on(ReplicaSet::start(3)).unwrap();
    let program = Program::new(&format!(
        "{}limits.session_rate = '0B'\ndelivery.durability = '{durability}'\n\
         sasl.throttle_failures = 100\nmodules.offline.messages = 100_000\n\
         modules.offline.sender_share = 100\nlimits.queued = 100_000\nlimits.unacked = 100_000\n\
         limits.queued_bytes = '64MiB'\n",
        options(&set)
    ));
    let names = ["offline", "detached", "slow", "sender", "never"];
    accounts(&program, &names);
    let limit: u64 = std::env::var("KILLED").ok().and_then(|secs| secs.parse().ok()).unwrap_or(0);
    let since = Instant::now();
    for round in 0.. {
        faults_once(&set, &program, durability, round * 100_000);
        if since.elapsed() >= Duration::from_secs(limit) {
            break;
        }
    }
}

fn faults_once(set: &ReplicaSet, program: &Program, durability: &str, first: usize) {
    let mut node = program.run();
    let to = node.addresses.starttls[0];
    let (mut clients, mut accepted) = (BTreeMap::new(), Accepted::new());
    block_on(async {
        node.until_log(THERE);
        for who in [Detached, Slow] {
            clients.insert(who, Client::new(to, who).await);
        }
        clients.get_mut(&Detached).unwrap().peer = Peer::connect(to).await;
        waits(program, &[Detached]);
        let mut sender = Sender::new(to, first).await;
        some(&mut sender, &ALL, &mut accepted).await;
        assert_eq!(log_on(to, "offline", PASSWORD).await, Ok(()));

        let slow = clients.get_mut(&Slow).unwrap();
        let mut got = slow.messages().await;
        let killed = set.primary().await.unwrap();
        set.members()[killed].kill().unwrap();
        some_for(AWAY / 2, &mut sender, &mut accepted).await;
        set.members()[killed].restart().await.unwrap();

        got.extend(slow.messages().await);
        let stopped = set.primary().await.unwrap();
        set.members()[stopped].stop().unwrap();
        some_for(AWAY, &mut sender, &mut accepted).await;
        set.members()[stopped].cont().unwrap();

        got.extend(slow.messages().await);
        let (stepped, ()) =
            tokio::join!(set.step_down(), some_for(AWAY / 2, &mut sender, &mut accepted));
        stepped.unwrap();
        got.extend(slow.messages().await);

        for member in set.members() {
            member.kill().unwrap();
        }
        some_for(AWAY, &mut sender, &mut accepted).await;
        without(&node, program, &mut sender).await;
        some(&mut sender, &ALL, &mut accepted).await;
        // it was away and back before: that is behind this line of the log
        node.signal(Signal::HUP);
        node.until_log("configuration read again");
        for member in set.members() {
            member.restart().await.unwrap();
        }
        // it recovers by itself
        node.until_log(BACK);
        some(&mut sender, &ALL, &mut accepted).await;

        got.extend(slow.messages().await);
        assert_eq!(Some(&got), accepted.get(&Slow), "{durability}: who was connected");

        for member in set.members() {
            member.kill().unwrap();
        }
        some(&mut sender, &[Offline, Detached], &mut accepted).await;
        node.signal(Signal::KILL);
    });
    drop(node);
    let mut node = program.run();
    let to = node.addresses.starttls[0];
    block_on(async {
        assert_eq!(http::get(node.addresses.http[0], "/ready").await.0, 503);
        assert_eq!(log_on(to, "offline", PASSWORD).await, Err("temporary-auth-failure".into()));
        for member in set.members() {
            member.restart().await.unwrap();
        }
        node.until_log(THERE);
        let mut detached = clients.remove(&Detached).unwrap();
        assert_eq!(detached.resume(to, Detached).await.name(), "resumed", "{durability}");
        let mut offline = Client::new(to, Offline).await;
        for (who, client) in [(Detached, &mut detached), (Offline, &mut offline)] {
            let got = client.messages().await;
            assert_eq!(Some(&got), accepted.get(&who), "{durability}, {who:?}");
            // and nothing comes again
            assert!(client.messages().await.is_empty(), "{durability}, {who:?}");
        }
    });
    node.signal(Signal::TERM);
}

#[test]
fn what_is_accepted_while_the_database_fails_is_delivered() {
    faults("detached");
}

#[test]
fn it_is_if_all_is_kept() {
    faults("always");
}

/// The journal is full: senders are told to wait, and what was accepted before is there.
#[test]
fn a_full_journal_refuses_and_loses_nothing() {
    let set = block_on(ReplicaSet::start(1)).unwrap();
    let program = Program::new(&format!(
        "{}limits.session_rate = '0B'\nstorage.journal = '1MiB'\n\
         modules.offline.sender_share = 100\n",
        options(&set)
    ));
    accounts(&program, &["offline", "sender"]);
    let mut node = program.run();
    let to = node.addresses.starttls[0];
    block_on(async {
        let mut sender = Peer::login(to, "sender@localhost/r").await;
        let body = "x".repeat(30_000);
        let message = |id: usize| {
            let head = format!("<message to='offline@localhost' type='chat' id='{id}'>");
            format!("{head}<body>{body}</body></message>")
        };
        sender.send(&message(0)).await;
        assert_eq!(sender.ping().await, []);
        set.members()[0].kill().unwrap();
        let mut accepted = vec![0];
        for id in 1.. {
            sender.send(&message(id)).await;
            let Some(refused) = sender.ping().await.pop() else {
                accepted.push(id);
                continue;
            };
            let error = ("wait".to_owned(), "resource-constraint".to_owned());
            assert_eq!(stanza_error(&refused), Some(error), "{}", refused.to_xml());
            break;
        }
        // 1 MiB of them, and not some other limit
        assert!((30..40).contains(&accepted.len()), "{accepted:?}");
        set.members()[0].restart().await.unwrap();
        node.until_log(BACK);
        let mut offline = Client::new(to, Offline).await;
        assert_eq!(offline.messages().await, accepted);
        // there is room again
        sender.send(&message(1_000)).await;
        assert_eq!(sender.ping().await, []);
        assert_eq!(offline.messages().await, [1_000]);
    });
}
