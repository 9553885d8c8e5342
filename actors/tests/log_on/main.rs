//! Log-on under attack: tries side by side, clocks that are set, and what tells those who exist from
//! those who do not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod elsewhere;
mod strangers;
mod throttle;

use actors::{
    session::state::Tls,
    testkit::{
        World, WorldOptions,
        script::{Got, Wire, header},
    },
};
use storage::Account;
use xmpp::sasl::{Hash, Mechanism};

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

fn secure() -> WorldOptions {
    let tls = Tls { exporter: Some(vec![7; 32]), end_point: Some(vec![9; 32]), sni: None };
    let mut options = WorldOptions { tls: Some(tls), ..WorldOptions::default() };
    options.settings.mechanisms.insert(0, Mechanism::Scram { hash: Hash::Sha1, plus: true });
    options
}

async fn open(world: &mut World, name: &str) {
    world.connect(name).await;
    world.send(name, &header("localhost"), true).await;
    assert!(matches!(world.next(name, true).await, Got::Open(_)));
    assert!(matches!(world.next(name, true).await, Got::Element(_)));
}

async fn say(world: &mut World, name: &str, xml: &str) -> Got {
    world.send(name, xml, false).await;
    world.next(name, true).await
}

fn auth(mechanism: Mechanism, message: &str) -> String {
    format!("<auth xmlns='{SASL}' mechanism='{}'>{message}</auth>", mechanism.name())
}

fn response(message: &str) -> String {
    format!("<response xmlns='{SASL}'>{message}</response>")
}

/// What the server said of a try: the element, or the failure's condition.
fn outcome(got: &Got) -> String {
    match got {
        Got::Element(e) if e.name() == "failure" => {
            e.children().next().map_or_else(String::new, |c| c.name().to_owned())
        }
        Got::Element(e) => e.name().to_owned(),
        other => format!("{other:?}"),
    }
}

async fn account(world: &World, name: &str, account: Account) {
    let user = format!("{name}@localhost").parse().unwrap();
    assert_eq!(world.env.stores.accounts.create(vec![(user, account)]).await, Ok(1));
}
