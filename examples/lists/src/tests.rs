//! The lists, as clients see them.

use super::*;
use actors::{
    modules::{
        disco::{DiscoConfig, DiscoModule},
        last::{LastConfig, LastModule},
        ping::{PingConfig, PingModule},
    },
    testkit::World,
};

fn check(script: &str) {
    let begin = "account juliet@localhost pencil
        account romeo@localhost pencil
        account nurse@localhost pencil
        account paris@localhost pencil
        J = juliet@localhost/balcony
        J C: <presence/>
        J S: <presence/>
        R = romeo@localhost/orchard
        R C: <presence/>
        R S: <presence/>\n";
    World::check(&format!("{begin}{script}"), |modules| {
        // one on two lines; the last is named as another module's process
        let lists = [
            "Family: juliet@localhost romeo@localhost",
            "family: nurse@localhost",
            "last: a@localhost",
        ];
        let lists = lists.into_iter().map(|list| List::parse(list).unwrap()).collect();
        let config = ListsConfig { lists, ..ListsConfig::default() };
        modules.add_with::<DiscoModule>(DiscoConfig::default());
        modules.add_with::<LastModule>(LastConfig::default());
        modules.add_with::<PingModule>(PingConfig::default());
        modules.add_with::<Lists>(config);
    });
}

#[test]
fn what_one_writes_all_others_get_from_the_list() {
    // for who is away it comes back, since nothing is kept here: to the list, where it ends
    check(
        "J C: <message to='family@lists.localhost' id='1' type='chat'><body>Good night!</body></message>
         R S: <message from='family@lists.localhost' to='romeo@localhost' id='1' type='chat'>
           <body>Good night!</body></message>
         R C: <message to='family@lists.localhost' id='2'><body>A thousand times</body></message>
         J S: <message from='family@lists.localhost' to='juliet@localhost' id='2'>
           <body>A thousand times</body></message>
         R S: nothing
         J S: nothing",
    );
}

#[test]
fn who_is_not_on_a_list_cannot_write_to_it_nor_see_it() {
    check(
        "P = paris@localhost/hall
         P C: <message to='family@lists.localhost' id='1'><body>?</body></message>
         P S: <message type='error' id='1' from='family@lists.localhost'><error type='auth'>
           <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>
         P C: <message to='friends@lists.localhost' id='2'><body>?</body></message>
         P S: <message type='error' id='2'><error type='cancel'>
           <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>
         P C: <iq type='get' id='3' to='family@lists.localhost'>
           <query xmlns='http://jabber.org/protocol/disco#info'/></iq>
         P S: <iq type='error' id='3'><error type='cancel'>
           <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
         P C: <iq type='get' id='4' to='lists.localhost'>
           <query xmlns='http://jabber.org/protocol/disco#items'/></iq>
         P S: <iq type='result' id='4'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>
         R S: nothing",
    );
}

#[test]
fn service_discovery_leads_from_the_host_to_the_lists() {
    check(
        "J C: <iq type='get' id='1' to='localhost'>
           <query xmlns='http://jabber.org/protocol/disco#items'/></iq>
         J S: <iq type='result' id='1'><query xmlns='http://jabber.org/protocol/disco#items'>
           <item jid='lists.localhost'/></query></iq>
         J C: <iq type='get' id='2' to='lists.localhost'>
           <query xmlns='http://jabber.org/protocol/disco#info'/></iq>
         J S: <iq type='result' id='2' from='lists.localhost'>
           <query xmlns='http://jabber.org/protocol/disco#info'>
           <identity category='component' type='generic' name='Lists'/>
           <feature var='http://jabber.org/protocol/disco#info'/>
           <feature var='http://jabber.org/protocol/disco#items'/>
           <feature var='urn:xmpp:ping'/></query></iq>
         J C: <iq type='get' id='3' to='lists.localhost'>
           <query xmlns='http://jabber.org/protocol/disco#items'/></iq>
         J S: <iq type='result' id='3'><query xmlns='http://jabber.org/protocol/disco#items'>
           <item jid='family@lists.localhost'/></query></iq>
         J C: <iq type='get' id='4' to='family@lists.localhost'>
           <query xmlns='http://jabber.org/protocol/disco#info'/></iq>
         J S: <iq type='result' id='4'><query xmlns='http://jabber.org/protocol/disco#info'>
           <identity category='component' type='generic' name='family'/></query></iq>
         J C: <iq type='get' id='5' to='lists.localhost'><ping xmlns='urn:xmpp:ping'/></iq>
         J S: <iq type='result' id='5' from='lists.localhost'/>
         J C: <iq type='get' id='6' to='family@lists.localhost'><ping xmlns='urn:xmpp:ping'/></iq>
         J S: <iq type='error' id='6'><error type='cancel'>
           <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
         J C: <iq type='get' id='7' to='family@lists.localhost/x'><ping xmlns='urn:xmpp:ping'/></iq>
         J S: <iq type='error' id='7'><error type='cancel'>
           <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
         J C: <iq type='get' id='8' to='others.localhost'><ping xmlns='urn:xmpp:ping'/></iq>
         J S: <iq type='error' id='8'><error type='cancel'>
           <remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
         J C: <presence type='subscribe' to='family@lists.localhost'/>
         J S: <presence type='unsubscribed' from='family@lists.localhost'/>",
    );
}

#[test]
fn a_list_is_read_as_it_is_written() {
    let text = "[modules.lists]\nlists = ['family: juliet@localhost Romeo@localhost']";
    let mut loaded = config::load(text, "m.toml", [], &[]);
    let read = loaded.modules.take::<ListsConfig>("lists").unwrap();
    assert_eq!(read.lists[0].toml().unwrap(), "\"family: juliet@localhost romeo@localhost\"");
    for wrong in ["family", "fam ily@x: juliet@localhost", "family: juliet@"] {
        assert_eq!(List::parse(wrong), None, "{wrong}");
    }
}
