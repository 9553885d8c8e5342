//! Law 8: a session goes on in a process without a module as if it had never been there.

use super::*;
use crate::{
    hosts::Hosts,
    modules::{
        self,
        register::{RegisterConfig, RegisterModule},
    },
    registrar::{Module, Modules, Registrar, Xep},
    resource::Durability,
    session::slots::Slot,
    testkit::{World, resumable::options, script::follow},
};
use config::Sections;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use xmpp::{ns, payload::simple::Ping};

config::section! {
    /// Nothing to configure.
    pub struct EverywhereConfig {}
}

/// Registers all that a module can, and has of a session all that a module can have.
#[derive(Debug)]
struct Everywhere;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Mine(bool);

impl Slot for Mine {
    const NAME: &'static str = "everywhere";
}

impl Module for Everywhere {
    const NAME: &'static str = "everywhere";
    const XEPS: &'static [Xep] = &[];
    type Config = EverywhereConfig;

    fn new(_: EverywhereConfig) -> Self {
        Self
    }

    fn register(on: &mut Registrar<'_, Self>) {
        let info = ServiceInfo {
            domain: Self::NAME.to_owned(),
            category: "component",
            ty: "generic",
            name: String::new(),
            features: &[],
        };
        on.feature(ns::PING)
            .iq_get::<Ping>(|_, _, _| Answer::empty())
            .service(info, |_, _, _| Box::pin(async {}))
            .service_feature(ns::PING)
            .service_iq_get::<Ping>(|_, _, _| Answer::empty())
            .mark(Self::NAME)
            .keeper(|_| true, |_| OfflineLimits::messages(1))
            .features(Order::Main, |_, _, _, _| {})
            .bound(Order::Main, Self::bound)
            .heard(Order::Main, |_, _| {})
            .inbound(Order::Main, |_, _, _| Flow::Continue)
            .available(Order::Main, |_, _, _| {})
            .visible(Order::Main, |_, _, _| {})
            .subscription_out(Order::Main, |_, _, _| Flow::Continue)
            .subscription_in(Order::Main, |_, _, _, _| Box::pin(async { Flow::Continue }))
            .may_see(Order::Main, |_, _, _, _| Box::pin(async { Flow::Continue }))
            .reaching(Order::Main, |_, _, _, _| Box::pin(async { Flow::Continue }))
            .offline(Order::Main, |_, _, _, message| Box::pin(async { Offline::Pass(message) }))
            .notice(Order::Main, |_, _| {})
            .timer(Order::Main, |_, _| {})
            .closing(Order::Main, |_, _, _| {})
            .unavailable(Order::Main, |_, _, _, _| Box::pin(async {}))
            .restored(Order::Main, |_, _, _| Box::pin(async {}))
            .told(Order::Main, |_, _, _, _| Box::pin(async {}))
            .removing(Order::Main, |_, _, _| Box::pin(async { Ok(()) }))
            .removed(Order::Main, |_, _, _| Box::pin(async {}))
            .freeze(Order::Main, |_| Value::from("everywhere"))
            .thaw(Order::Main, |_, _| {});
    }
}

impl Everywhere {
    fn bound(&self, cx: &mut SessionCx<'_>) {
        cx.slot::<Mine>().0 = true;
        cx.timer(Duration::from_secs(60));
        cx.resource().mark(Self::NAME);
        cx.resource().divert(Self::NAME, 7);
        cx.hold();
    }
}

fn everywhere() -> Modules {
    let mut modules = Modules::default();
    modules.add_with::<Everywhere>(EverywhereConfig {});
    modules
}

/// The world as data, without what is random and without slots: they stay with a session, which may come
/// back to a build that knows them.
async fn data(world: World) -> Value {
    fn strip(value: &mut Value) {
        if let Value::Object(map) = value {
            map.retain(|key, _| key != "token" && key != "slots");
            map.values_mut().for_each(strip);
        } else if let Value::Array(all) = value {
            all.iter_mut().for_each(strip);
        }
    }
    let mut value = serde_json::to_value(world.freeze().await).unwrap();
    strip(&mut value);
    value
}

/// One who is connected, one whose session waits to be resumed.
const LOG_ON: &str = "account juliet@localhost pencil
    J = juliet@localhost/balcony
    J C: <enable xmlns='urn:xmpp:sm:3'/>
    J S: <enabled xmlns='urn:xmpp:sm:3'/>
    K = juliet@localhost/chamber
    K C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
    K S: <enabled xmlns='urn:xmpp:sm:3' id='{token}' resume='true'/>
    K cut";

#[test]
fn a_session_goes_on_without_a_module_as_if_it_had_never_been_there() {
    World::block_on(async {
        let (table, _) = everywhere().build(&Hosts::new([])).unwrap();
        let unused: Vec<_> = table.describe().into_iter().filter(|(_, r)| r.is_empty()).collect();
        assert_eq!(unused, [], "points that the module of this test has to use");

        let begin = async |modules| {
            // of what is in the store nothing is of a module
            let mut world = World::new(modules, options(Durability::Memory)).await;
            follow(LOG_ON, &mut world).await.unwrap();
            world
        };
        let with = begin(everywhere()).await;
        let with = with.go_on(everywhere()).await;
        let kept = data(with).await.to_string();
        assert_eq!(kept.matches("everywhere").count(), 11, "{kept}");

        let without = begin(everywhere()).await.go_on(Modules::default()).await;
        let never = begin(Modules::default()).await.go_on(Modules::default()).await;
        assert_eq!(data(without).await, data(never).await);

        // and nothing waits for the module
        let mut world = begin(everywhere()).await.go_on(Modules::default()).await;
        let deliver = "account romeo@localhost pencil
             R = romeo@localhost/orchard
             R C: <message to='juliet@localhost/balcony' id='1'/>
             J S: <message id='1'/>
             J S: <r xmlns='urn:xmpp:sm:3'/>
             R C: <message to='juliet@localhost/chamber' id='2'/>
             T: 60s
             J S: nothing";
        follow(deliver, &mut world).await.unwrap();
        world.stop().await;
    });
}

#[test]
fn each_point_has_a_user() {
    let mut modules = modules::all(&mut Sections::default());
    // is off unless it is configured
    modules.add_with::<RegisterModule>(RegisterConfig::default());
    let (table, _) = modules.build(&Hosts::new([])).unwrap();
    let unused: Vec<_> = table.describe().into_iter().filter(|(_, r)| r.is_empty()).collect();
    assert_eq!(unused, []);
}

#[test]
fn a_module_is_there_once() {
    let mut modules = everywhere();
    modules.add_with::<Everywhere>(EverywhereConfig {});
    let conflicts = modules.build(&Hosts::new([])).map(|_| ()).unwrap_err();
    assert_eq!(conflicts[0], "two modules have the name everywhere");
}
