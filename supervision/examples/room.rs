//! A room: members come and go while it is open, one crashes, and is back with its name.
//!
//! `cargo run -p supervision --example room`
#![expect(clippy::print_stdout, reason = "a program")]

use std::time::Duration;
use supervision::{
    ChildSpec, Cx, Exit, InitError, Next, Reply, Restart, Server, SupervisorSpec, System,
    testkit::restarted,
};

struct Member(String);

enum Hear {
    Said(String, Reply<()>),
    Leave,
}

impl Server for Member {
    type Args = String;
    type Msg = Hear;
    const NAME: &'static str = "member";

    async fn init(name: String, cx: &mut Cx<Hear>) -> Result<Self, InitError> {
        cx.system().join("room", cx.pid());
        Ok(Self(name))
    }

    async fn handle(&mut self, msg: Hear, _: &mut Cx<Hear>) -> Next {
        match msg {
            Hear::Leave => return Next::Stop(Exit::Normal),
            Hear::Said(text, heard) => {
                println!("  {} hears: {text}", self.0);
                heard.send(());
            }
        }
        Next::Continue
    }
}

async fn say(system: &System, text: &str) {
    let members = system.members::<Hear>("room");
    println!("to {}: {text}", members.len());
    for member in members {
        let heard = member.call(|heard| Hear::Said(text.to_owned(), heard), Duration::from_secs(1));
        if let Err(why) = heard.await {
            println!("  {why}");
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let system = System::new("demo");
    let member = ChildSpec::server_with::<Member>("member").restart(Restart::Transient);
    let room = system.start(SupervisorSpec::simple_one_for_one(member)).await?;

    let anna = room.start_instance_with("anna".to_owned()).await?.to_ref::<Hear>()?;
    let bert = room.start_instance_with("bert".to_owned()).await?.to_ref::<Hear>()?;
    say(&system, "hello").await;
    anna.pid().exit(Exit::error("a bug"));
    restarted(anna.pid()).await;
    say(&system, "is anna back?").await;
    bert.cast(Hear::Leave)?;
    bert.pid().wait().await;
    say(&system, "good night, bert").await;
    println!("closed: {}, {} are left", room.stop().await, system.alive());
    Ok(())
}
