//! Links between nodes over loopback, with TLS: what goes over them, and what becomes of nodes that do not belong together.

mod common;

use cluster::Credit;
use common::{Ask, Authority, LONG, Running, SECOND, start, until};
use supervision::{CallError, CastError, Exit, testkit::Probe};

async fn two(authority: &Authority) -> (Running, Running) {
    let a = start("a@links", authority.options("a@links")).await;
    let b = start("b@links", authority.options("b@links")).await;
    b.answerer().await;
    a.links.set_peers(vec![b.peer(), a.peer()]);
    a.linked(1).await;
    b.linked(1).await;
    (a, b)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_there_and_back() {
    let authority = Authority::new();
    let (a, b) = two(&authority).await;
    let far = a.far(b.node());
    for n in 0..100 {
        assert_eq!(far.call(|reply| Ask::Double(n, reply), LONG).await, Ok(2 * n));
    }
    let info = a.links.info().remove(0);
    let up = info.up.unwrap();
    assert_eq!((info.node, info.ups, &*up.program), (b.node(), 1, "test"));
    assert!(up.sent.frames >= 100 && up.received.frames >= 100, "{up:?}");
    a.root.stop().await;
    b.linked(0).await;
    assert!(b.error().contains("closed"), "{}", b.error());
    b.root.stop().await;
    for node in [a, b] {
        until("processes have ended", || node.system.alive() <= 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_all_that_was_taken_arrives_in_order() {
    let authority = Authority::new();
    let mut options = authority.options("b@links");
    options.credit = Credit { messages: 500, bytes: 1 << 20 };
    let a = start("a@links", authority.options("a@links")).await;
    let b = start("b@links", options).await;
    b.answerer().await;
    a.links.set_peers(vec![b.peer()]);
    a.linked(1).await;
    let far = a.far(b.node());
    let mut full = 0;
    for n in 1..=20_000 {
        let mut note = Ask::Note(n, vec![7; 200]);
        while let Err(error) = far.cast(note) {
            let CastError::Full(back) = error else { panic!("{error:?}") };
            note = back;
            full += 1;
            tokio::task::yield_now().await;
        }
    }
    assert!(full > 0, "the credit was never used up");
    a.all_taken(&b).await;
    assert_eq!(far.call(Ask::Notes, LONG).await, Ok(20_000));
    // one that is longer than all the credit
    far.cast(Ask::Note(20_001, vec![7; 3 << 20])).unwrap();
    a.all_taken(&b).await;
    assert_eq!(far.call(Ask::Notes, LONG).await, Ok(20_001));
    a.root.stop().await;
    b.root.stop().await;
}

/// Whom is it refused by, and what does it say?
async fn refused(a: Running, b: Running, why: &str) {
    a.links.set_peers(vec![b.peer()]);
    until(why, || a.error().contains(why)).await;
    assert!(a.system.nodes().is_empty() && b.system.nodes().is_empty());
    a.root.stop().await;
    b.root.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_authority_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let a = start("a@links", ours.options("a@links")).await;
    let b = start("b@links", theirs.options("b@links")).await;
    refused(a, b, "TLS: invalid peer certificate: UnknownIssuer").await;
    // one that it cannot see through itself: the other refuses, and says so
    let a = start("a@links", ours.options("a@links")).await;
    let mut options = ours.options("b@links");
    options.tls.server = theirs.accepting("b.links", &ours).server;
    let b = start("b@links", options).await;
    refused(a, b, "UnknownCA").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    // who is connected to
    let a = start("a@links", authority.options("a@links")).await;
    let b = start("b@links", authority.options("c@links")).await;
    refused(a, b, "TLS: invalid peer certificate: certificate not valid for name \"b.links\"")
        .await;
    // who connects
    let a = start("a@links", authority.options("c@links")).await;
    let b = start("b@links", authority.options("b@links")).await;
    refused(a, b, "says that it is a@links, but its certificate is not for a.links").await;
    // another node at the address, which has both names
    let a = start("a@links", authority.options("a@links")).await;
    let b = start("c@links", authority.options("b@links")).await;
    let peer = (supervision::Node::new("b@links").unwrap(), b.peer().1);
    a.links.set_peers(vec![peer]);
    until("another", || a.error().contains("at the address of b@links is c@links")).await;
    a.root.stop().await;
    b.root.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cookie_is_refused() {
    let authority = Authority::new();
    let a = start("a@links", authority.options("a@links")).await;
    let mut options = authority.options("b@links");
    options.cookie = "another".to_owned();
    let b = start("b@links", options).await;
    refused(a, b, "the cookies are not the same").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_both_connect_there_is_one_link() {
    let authority = Authority::new();
    for _ in 0..5 {
        let a = start("a@links", authority.options("a@links")).await;
        let b = start("b@links", authority.options("b@links")).await;
        a.links.set_peers(vec![b.peer()]);
        b.links.set_peers(vec![a.peer()]);
        a.linked(1).await;
        b.linked(1).await;
        b.answerer().await;
        assert_eq!(a.far(b.node()).call(|reply| Ask::Double(1, reply), LONG).await, Ok(2));
        a.root.stop().await;
        b.root.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_lost_is_told_once_and_made_anew() {
    let authority = Authority::new();
    let (a, b) = two(&authority).await;
    let mut watcher: Probe<()> = Probe::start(&a.system).await;
    let far = a.far(b.node());
    far.monitor(watcher.pid());
    let kept = far.call(Ask::Never, LONG);
    let cut = async {
        tokio::time::sleep(SECOND / 10).await;
        // what is left of a link whose process was killed
        let link = b.system.pids().into_iter().find(|pid| pid.kind() == "link").unwrap();
        link.kill();
    };
    let (kept, ()) = tokio::join!(kept, cut);
    assert_eq!(kept, Err(CallError::Gone(Some(Exit::NoConnection))));
    assert!(matches!(watcher.exit().await, (_, Exit::NoConnection)));
    a.linked(1).await;
    until("again", || a.links.info()[0].ups >= 2).await;
    assert_eq!(far.call(|reply| Ask::Double(1, reply), LONG).await, Ok(2));
    assert!(watcher.pending().is_none());
    a.root.stop().await;
    b.root.stop().await;
}

/// Whoever it is, it holds up nobody, and it is let go of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_connects_and_says_nothing_or_nonsense_holds_up_nobody() {
    use tokio::{io::AsyncWriteExt, net::TcpStream};
    let authority = Authority::new();
    let b = start("b@links", authority.options("b@links")).await;
    let mut strangers = Vec::new();
    for _ in 0..20 {
        let mut stranger = TcpStream::connect(b.peer().1).await.unwrap();
        stranger.write_all(b"GET / HTTP/1.1").await.unwrap();
        strangers.push(stranger);
    }
    let a = start("a@links", authority.options("a@links")).await;
    a.links.set_peers(vec![b.peer()]);
    a.linked(1).await;
    a.root.stop().await;
    b.root.stop().await;
}

/// A node of a later version, which does not talk this one's any more, is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_not_known_is_refused_politely() {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };
    let authority = Authority::new();
    let b = start("b@links", authority.options("b@links")).await;
    let connector = tokio_rustls::TlsConnector::from(authority.tls("a.example.org").client);
    let tcp = TcpStream::connect(b.peer().1).await.unwrap();
    let name = "b.links".try_into().unwrap();
    let mut later = connector.connect(name, tcp).await.unwrap();
    // as that of version 1, but for the versions
    let mut hello = std::fs::read("tests/wire/v1/hello.bin").unwrap();
    hello[8..10].copy_from_slice(&[7, 9]);
    later.write_all(&hello).await.unwrap();
    let mut answer = Vec::new();
    drop(later.read_to_end(&mut answer).await);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains("talks versions 7 to 9 of the protocol"), "{answer}");
    assert!(b.links.info().is_empty() && b.system.nodes().is_empty());
    b.root.stop().await;
}
