//! What a client sent and that failed comes back to it, however much waits for it: an accepted message is delivered, stored or bounced
//! (law 11).

#![expect(clippy::unwrap_used, reason = "a failed step of the scene is a panic")]

use actors::{
    resource::QueueLimits,
    testkit::{
        World,
        resumable::{DURABILITIES, limited, offline},
        script::{Got, Wire, follow},
    },
};

/// Romeo can be resumed, and has acknowledged nothing.
const ROMEO: &str = "account romeo@localhost rose
    account juliet@localhost pencil
    R = romeo@localhost/orchard
    R C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
    R S: <enabled xmlns='urn:xmpp:sm:3' id='{token}'/>
    ";

/// To nobody, of so many bytes.
fn message(n: usize, bytes: usize) -> String {
    let body = "x".repeat(bytes);
    format!(
        "R C: <message to='nobody@localhost' type='chat' id='{n}'><body>{body}</body></message>\n"
    )
}

/// What comes to a client that acknowledges all that came each time that nothing more comes, and had got so many: ids.
async fn heard(world: &mut World, name: &str, mut handled: usize) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let before = ids.len();
        while let Got::Element(e) = world.next(name, false).await {
            ids.extend(e.attr("id").map(str::to_owned));
        }
        if ids.len() == before {
            return ids;
        }
        handled += ids.len() - before;
        let ack = format!("{name} C: <a xmlns='urn:xmpp:sm:3' h='{handled}'/>");
        follow(&ack, world).await.unwrap();
    }
}

#[test]
fn what_failed_comes_back_to_a_sender_whose_queue_is_full() {
    const COUNT: usize = 20;
    let expected: Vec<_> = (0..COUNT).map(|n| n.to_string()).chain(["q".to_owned()]).collect();
    for durability in DURABILITIES {
        for cut in [false, true] {
            World::block_on(async {
                let queues =
                    QueueLimits { queued: 4, unacked: 4, durability, ..QueueLimits::default() };
                let mut world = World::new(offline(), limited(queues)).await;
                let sent = (0..COUNT).map(|n| message(n, 10)).collect::<String>();
                // whoever asks is answered, too
                let asks =
                    "R C: <iq to='nobody@elsewhere' type='get' id='q'><x xmlns='n:x'/></iq>\n";
                follow(&[ROMEO, &sent, asks].concat(), &mut world).await.unwrap();
                let token = world.token("romeo@localhost/orchard");
                let resumes = format!(
                    "password romeo@localhost rose
                     R cut
                     R ~ romeo@localhost
                     R C: <resume xmlns='urn:xmpp:sm:3' previd='{}' h='0'/>
                     R S: <resumed xmlns='urn:xmpp:sm:3' h='{}'/>",
                    token.unwrap(),
                    COUNT + 1
                );
                if cut {
                    follow(&resumes, &mut world).await.unwrap();
                }
                assert_eq!(heard(&mut world, "R", 0).await, expected, "{durability:?}, {cut}");
                world.stop().await;
            });
        }
    }
}

#[test]
fn a_sender_who_takes_nothing_of_too_much_that_failed_hears_that_it_is_not_told() {
    let queues =
        QueueLimits { queued: 4, unacked: 4, queued_bytes: 10_000, ..QueueLimits::default() };
    // what was written, and as much again as others may have in the queue
    let fit = 6;
    for (count, ended) in [(fit, false), (fit + 4, true)] {
        World::block_on(async {
            let mut world = World::new(offline(), limited(queues)).await;
            let sent = (0..count).map(|n| message(n, 2_500)).collect::<String>();
            follow(&[ROMEO, &sent].concat(), &mut world).await.unwrap();
            if ended {
                let ends = "R S: <message type='error' id='0'/>
                    R S: <r xmlns='urn:xmpp:sm:3'/>
                    R S: <message type='error' id='1'/>
                    R S: <message type='error' id='2'/>
                    R S: <stream:error>
                      <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
                    R S: </stream:stream>
                    R S: eof";
                follow(ends, &mut world).await.unwrap();
            } else {
                let expected: Vec<_> = (0..fit).map(|n| n.to_string()).collect();
                assert_eq!(heard(&mut world, "R", 0).await, expected);
                follow("R S: nothing", &mut world).await.unwrap();
            }
            world.stop().await;
        });
    }
}
