//! Who hears of nodes and of groups.

use super::two::{Answerer, node, settle};
use std::sync::Arc;
use supervision::{
    Cx, Event, Exit, GroupEvent, InitError, NodeEvent, Process, schedule::Schedule,
    testkit::Network,
};
use tokio::sync::mpsc::Sender;

/// What one hears of nodes and of the group `all`.
#[derive(Debug, PartialEq)]
enum Heard {
    Node(NodeEvent),
    Group(GroupEvent),
    Lost(Exit),
}

struct Ear(Sender<Heard>);

impl Process for Ear {
    type Args = Sender<Heard>;
    type Msg = Heard;
    const NAME: &'static str = "ear";

    async fn init(to: Sender<Heard>, cx: &mut Cx<Heard>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        let (_, nodes) = cx.monitor_nodes(Heard::Node);
        let (_, members) = cx.monitor_group("all", Heard::Group);
        assert!(nodes.is_empty() && members.is_empty());
        let (twice, _) = cx.monitor_nodes(Heard::Node);
        assert!(cx.demonitor_nodes(twice) && !cx.demonitor_nodes(twice));
        Ok(Self(to))
    }

    async fn run(&mut self, cx: &mut Cx<Heard>) -> Exit {
        loop {
            let heard = match cx.next().await {
                Event::Msg(heard) => heard,
                Event::Exit { reason, .. } | Event::Down { reason, .. } => Heard::Lost(reason),
            };
            if self.0.send(heard).await.is_err() {
                return Exit::Normal;
            }
        }
    }
}

/// What comes to one process is in the order of OTP's promise: a node is up before anything of it, and down after all of it.
#[tokio::test(start_paused = true)]
async fn who_monitors_nodes_and_groups_hears_in_order() {
    let schedule = Schedule::new(3);
    let network = Network::new(&schedule);
    let (a, b) = (node("a@dist", &schedule), node("b@dist", &schedule));
    let (tell, mut told) = tokio::sync::mpsc::channel(100);
    let ear = a.spawn::<Ear>("/ear", tell).await.unwrap();
    let member = b.spawn::<Answerer>("/member", ()).await.unwrap();
    b.join("all", member.pid());
    network.connect(&a, &b).unwrap();
    let far = a.pid(member.pid().id());
    settle().await;
    far.monitor(ear.pid());
    b.leave_group("all", member.pid());
    b.join("all", member.pid());
    settle().await;
    network.cut(a.node(), b.node());
    let (group, node): (Arc<str>, _) = ("all".into(), b.node());
    let join = || Heard::Group(GroupEvent::Join { group: Arc::clone(&group), pid: far.clone() });
    let leave = || Heard::Group(GroupEvent::Leave { group: Arc::clone(&group), pid: far.clone() });
    let lost = "the connection was cut".into();
    for expected in [
        Heard::Node(NodeEvent::Up { node }),
        join(),
        leave(),
        join(),
        Heard::Lost(Exit::NoConnection),
        leave(),
        Heard::Node(NodeEvent::Down { node, reason: lost }),
    ] {
        assert_eq!(told.recv().await.unwrap(), expected);
    }
    settle().await;
    assert!(told.try_recv().is_err());
}
