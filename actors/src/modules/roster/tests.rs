//! Conversations about rosters and subscriptions.

use super::*;
use crate::{
    modules::blocking::{BlockingConfig, BlockingModule},
    testkit::World,
};

fn check(script: &str) {
    World::check(script, |modules| {
        modules.add_with::<RosterModule>(RosterConfig::default());
    });
}

#[test]
fn the_roster_of_section_2() {
    check(include_str!("../../../../tests/scripts/roster.xmpp"));
}

#[test]
fn the_subscriptions_of_section_3() {
    // what of two nodes comes first of presences that go to a contact together, is not said
    let places = &[("R", 0), ("J", 1), ("K", 1)];
    let script = include_str!("../../../../tests/scripts/subscription.xmpp");
    World::check_at(script, places, |modules| {
        modules.add_with::<RosterModule>(RosterConfig::default());
    });
}

#[test]
fn a_full_roster_takes_no_more_and_requests_have_a_limit_of_their_own() {
    World::check(
        "account juliet@localhost pencil
         account romeo@localhost rose
         account paris@localhost ring
         J = juliet@localhost/balcony
         R = romeo@localhost/orchard
         P = paris@localhost/hall
         J C: <iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='a@x'/></query></iq>
         J S: <iq type='result' id='1'/>
         J C: <iq type='set' id='2'><query xmlns='jabber:iq:roster'><item jid='b@x'/></query></iq>
         J S: <iq type='error' id='2'><error type='wait'>
              <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
         J C: <iq type='set' id='3'><query xmlns='jabber:iq:roster'><item jid='a@x' name='A'/></query></iq>
         J S: <iq type='result' id='3'/>
         J C: <presence type='subscribe' to='romeo@localhost' id='4'/>
         J S: <presence type='error' id='4' from='romeo@localhost' to='juliet@localhost/balcony'>
              <error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>
              </error></presence>
         R C: <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>
         R S: <iq type='result' id='r'/>
         P C: <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>
         P S: <iq type='result' id='r'/>
         R C: <presence type='subscribe' to='juliet@localhost'/>
         R S: <iq type='set'><query xmlns='jabber:iq:roster'><item ask='subscribe'/></query></iq>
         P C: <presence type='subscribe' to='juliet@localhost'/>
         P S: <iq type='set'><query xmlns='jabber:iq:roster'><item ask='subscribe'/></query></iq>
         P S: <presence type='unsubscribed' from='juliet@localhost'/>
         P S: <iq type='set'><query xmlns='jabber:iq:roster'><item absent-ask=''/></query></iq>",
        |modules| {
            modules.add_with::<RosterModule>(RosterConfig { items: 1, requests: 1, ..RosterConfig::default() });
        },
    );
}

#[test]
fn a_roster_has_a_limit_in_bytes() {
    let item = |id: &str, jid: &str, n: usize| {
        let groups: String =
            (0..n).map(|g| format!("<group>{g}{}</group>", "x".repeat(900))).collect();
        format!(
            "J C: <iq type='set' id='{id}'><query xmlns='jabber:iq:roster'>
               <item jid='{jid}'>{groups}</item></query></iq>\n"
        )
    };
    let refused = |id: &str, ty: &str, condition: &str| {
        format!(
            "J S: <iq type='error' id='{id}'><error type='{ty}'>
               <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>\n"
        )
    };
    let taken = |id: &str| format!("J S: <iq type='result' id='{id}'/>\n");
    let script = [
        "account juliet@localhost pencil\nJ = juliet@localhost/balcony\n",
        // RFC 6121 section 2.3.3: one item that is too large
        &item("1", "a@x", 5),
        &refused("1", "modify", "not-acceptable"),
        &item("2", "a@x", 4),
        &taken("2"),
        &item("3", "b@x", 4),
        &taken("3"),
        &item("4", "c@x", 4),
        &taken("4"),
        &item("5", "d@x", 4),
        &taken("5"),
        &item("6", "e@x", 4),
        &refused("6", "wait", "resource-constraint"),
        // what makes it smaller is taken, and so is what then fits
        &item("7", "a@x", 1),
        &taken("7"),
        &item("8", "e@x", 2),
        &taken("8"),
        &item("9", "e@x", 4),
        &refused("9", "wait", "resource-constraint"),
    ]
    .concat();
    World::check(&script, |modules| {
        let size = kib(16);
        modules.add_with::<RosterModule>(RosterConfig { size, ..RosterConfig::default() });
    });
}

#[test]
fn a_large_request_is_kept_without_what_makes_it_large() {
    World::block_on(async {
        let mut modules = crate::registrar::Modules::default();
        modules.add_with::<RosterModule>(RosterConfig::default());
        let world = World::new(modules, crate::testkit::WorldOptions::default()).await;
        let (env, user) = (&world.env, "juliet@localhost".parse::<BareJid>().unwrap());
        let account = storage::Account::default();
        env.stores.accounts.create(vec![(user.clone(), account)]).await.unwrap();
        let rosters = Rosters::new(RosterConfig::default());
        let long = "x".repeat(6_000);
        for (n, large) in [
            format!("id='{long}'/>"),
            format!("a='{long}'/>"),
            format!("xml:lang='{long}'/>"),
            format!("><status>{long}</status></presence>"),
        ]
        .iter()
        .enumerate()
        {
            let from: Jid = format!("c{n}@x").parse().unwrap();
            let xml =
                format!("<presence type='subscribe' from='c{n}@x' to='juliet@localhost' {large}");
            let request = Stanza::parse(xml.replace(" >", ">").as_bytes()).unwrap();
            rosters.inbound(env, &user, &from, &request).await.unwrap();
            let roster = env.stores.rosters.get(&user).await.unwrap();
            let kept = roster.item(&from).unwrap().request.as_ref().unwrap();
            assert_eq!(
                kept,
                &format!("<presence from='c{n}@x' to='juliet@localhost' type='subscribe'/>")
            );
        }
        world.stop().await;
    });
}

#[test]
fn who_is_overtaken_by_another_change_decides_again() {
    use std::{
        cell::Cell,
        task::{Context, Waker},
    };
    World::block_on(async {
        let mut modules = crate::registrar::Modules::default();
        modules.add_with::<RosterModule>(RosterConfig::default());
        let world = World::new(modules, crate::testkit::WorldOptions::default()).await;
        let env = &world.env;
        let [user, other] =
            ["juliet@localhost", "romeo@localhost"].map(|user| user.parse().unwrap());
        for user in [&user, &other] {
            let account = storage::Account::default();
            env.stores.accounts.create(vec![(BareJid::clone(user), account)]).await.unwrap();
        }
        let item = |jid: &str| RosterItem::new(jid.parse().unwrap());
        let asked = Cell::new(0);
        let decide = |[mine, theirs]: [&Roster; 2]| {
            asked.set(asked.get() + 1);
            let faster = match asked.get() {
                1 => Some((&user, mine.ver)),
                // it is enough that it was looked at
                2 => Some((&other, theirs.ver)),
                _ => None,
            };
            if let Some((who, ver)) = faster {
                // another node is faster; the store in memory answers at once
                let change = RosterChange::Put(item("first@x"));
                let mut other = env.stores.rosters.change(who, ver, change, 9);
                assert!(other.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
            }
            let change = RosterChange::Put(item("second@x"));
            Ok(vec![Act::Change { user: user.clone(), change, always: true }])
        };
        let rosters = Rosters::new(RosterConfig::default());
        assert_eq!(rosters.change(env, [&user, &other], decide).await, Ok(()));
        let roster = env.stores.rosters.get(&user).await.unwrap();
        assert_eq!((asked.get(), roster.ver, roster.items.len()), (3, 2, 2));
        world.stop().await;
    });
}

/// What is said between the two does not reach who blocks, and what ends between the two ends on both sides.
#[test]
fn who_is_blocked_and_removes_a_contact_is_gone_from_both_rosters() {
    World::check(
        "account juliet@localhost pencil
         account romeo@localhost rose
         J = juliet@localhost/balcony
         R = romeo@localhost/orchard
         J C: <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>
         J S: <iq type='result' id='r'/>
         R C: <presence type='subscribe' to='juliet@localhost'/>
         J C: <presence type='subscribed' to='romeo@localhost'/>
         J S: <iq type='set'><query xmlns='jabber:iq:roster'>
              <item jid='romeo@localhost' subscription='from'/></query></iq>
         J C: <iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='romeo@localhost'/></block></iq>
         J S: <iq type='result' id='b'/>
         R C: <iq type='set' id='d'><query xmlns='jabber:iq:roster'>
              <item jid='juliet@localhost' subscription='remove'/></query></iq>
         R S: <iq type='result' id='d'/>
         J S: <iq type='set'><query xmlns='jabber:iq:roster'>
              <item jid='romeo@localhost' subscription='none'/></query></iq>
         J S: nothing",
        |modules| {
            modules.add_with::<RosterModule>(RosterConfig::default());
            modules.add_with::<BlockingModule>(BlockingConfig::default());
        },
    );
}

#[test]
fn presence_of_section_4() {
    check(include_str!("../../../../tests/scripts/presence.xmpp"));
}
