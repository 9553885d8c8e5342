//! Private XML (XEP-0049): elements that clients keep on the server for themselves.

use crate::{
    cx::{Answer, IqCx},
    registrar::{Module, Registrar, Xep},
};
use config::{ByteSize, kib};
use std::sync::Arc;
use xmpp::{
    Element,
    error::{ErrorType, StanzaError, StanzaErrorCondition},
    ns,
    payload::simple::PrivateQuery,
};

config::section! {
    /// Keeps private XML for each user: bookmarks, notes, settings (XEP-0049).
    pub struct PrivateConfig {
        /// Most elements of one user.
        pub max_elements: usize = 100, in 1..,
        /// Largest element.
        pub max_size: ByteSize = kib(64), in kib(1)..,
    }
}

/// The module.
#[derive(Debug)]
pub struct PrivateModule {
    config: PrivateConfig,
}

impl Module for PrivateModule {
    const NAME: &'static str = "private";
    const XEPS: &'static [Xep] = &[Xep(49, "1.2")];
    const HIDES_ACCOUNTS: bool = true;
    type Config = PrivateConfig;

    fn new(config: PrivateConfig) -> Self {
        Self { config }
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.feature(ns::PRIVATE).iq_get::<PrivateQuery>(Self::get).iq_set::<PrivateQuery>(Self::set);
    }
}

impl PrivateModule {
    fn get(&self, cx: &mut IqCx<'_, '_>, PrivateQuery(query): PrivateQuery) -> Answer {
        let user = match cx.own_account() {
            Ok(user) => user,
            Err(error) => return error.into(),
        };
        let mut children = query.children();
        let (Some(wanted), None) = (children.next(), children.next()) else {
            let error = StanzaError::bad_request();
            return error.with_text("ask for exactly one element").into();
        };
        if !proper(wanted) {
            return StanzaError::not_acceptable().into();
        }
        let (env, wanted) = (Arc::clone(cx.env), wanted.clone());
        Answer::later(async move {
            match env.stores.private.get(&user, wanted.ns(), wanted.name()).await {
                // nothing is kept: the element as it was asked for (section 2)
                Ok(None) => around(&wanted.to_xml()),
                Ok(Some(xml)) => around(&xml),
                Err(error) => Answer::Error(error.into()),
            }
        })
    }

    fn set(&self, cx: &mut IqCx<'_, '_>, PrivateQuery(query): PrivateQuery) -> Answer {
        let user = match cx.own_account() {
            Ok(user) => user,
            Err(error) => return error.into(),
        };
        if query.children().next().is_none() || !query.children().all(proper) {
            let error = StanzaError::not_acceptable();
            return error.with_text("elements with namespaces of their own are needed").into();
        }
        let row = |e: &Element| (e.ns().to_owned(), e.name().to_owned(), e.to_xml());
        let rows: Vec<_> = query.children().map(row).collect();
        let max = self.config.max_size.0;
        if rows.iter().any(|(_, _, xml)| xml.len() > max) {
            let error = StanzaError::new(ErrorType::Modify, StanzaErrorCondition::PolicyViolation);
            return error.with_text(&format!("an element may have {max} bytes")).into();
        }
        if !query.children().zip(&rows).all(|(e, (_, _, xml))| e.reads_back(xml)) {
            return StanzaError::not_acceptable().into();
        }
        let (env, limit) = (Arc::clone(cx.env), self.config.max_elements);
        Answer::later(async move {
            env.stores.private.set(&user, rows, limit).await.map(|()| Vec::new()).into()
        })
    }
}

/// Whether the element has a namespace of its own (section 2).
fn proper(element: &Element) -> bool {
    !element.ns().is_empty() && element.ns() != ns::PRIVATE
}

fn around(xml: &str) -> Answer {
    let ns = ns::PRIVATE;
    Answer::Result(format!("<query xmlns='{ns}'>{xml}</query>").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::World;

    #[test]
    fn elements_are_kept_for_their_owner_alone() {
        World::check(include_str!("../../../tests/scripts/private.xmpp"), |modules| {
            modules.add_with::<PrivateModule>(PrivateConfig::default());
        });
    }

    #[test]
    fn what_is_kept_can_be_read_again() {
        let (begin, end) = ("<y p:a='' q:a='' r:a=''>".repeat(50), "</y>".repeat(50));
        let z = format!(
            "<z xmlns='urn:z' xmlns:p='urn:p' xmlns:q='urn:q' xmlns:r='urn:r'>{begin}{end}</z>"
        );
        World::check(
            &format!(
                "account juliet@localhost pencil
                 J = juliet@localhost/balcony
                 J C: <iq type='set' id='1'><query xmlns='jabber:iq:private'>{z}</query></iq>
                 J S: <iq type='result' id='1'/>
                 J C: <iq type='get' id='2'><query xmlns='jabber:iq:private'><z xmlns='urn:z'/></query></iq>
                 J S: <iq type='result' id='2'><query xmlns='jabber:iq:private'>{z}</query></iq>"
            ),
            |modules| {
                modules.add_with::<PrivateModule>(PrivateConfig::default());
            },
        );
    }

    #[test]
    fn the_limits_hold_and_what_is_there_can_still_be_changed() {
        let long = "x".repeat(1024);
        World::check(
            &format!(
                "account juliet@localhost pencil
                 J = juliet@localhost/balcony
                 J C: <iq type='set' id='1'><query xmlns='jabber:iq:private'><a xmlns='n:a'/></query></iq>
                 J S: <iq type='result' id='1'/>
                 J C: <iq type='set' id='2'><query xmlns='jabber:iq:private'><b xmlns='n:b'/></query></iq>
                 J S: <iq type='error' id='2'><error type='wait'>
                   <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
                 J C: <iq type='set' id='3'><query xmlns='jabber:iq:private'>
                   <a xmlns='n:a'>{long}</a></query></iq>
                 J S: <iq type='error' id='3'><error type='modify'>
                   <policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
                 J C: <iq type='set' id='4'><query xmlns='jabber:iq:private'><a xmlns='n:a'>1</a></query></iq>
                 J S: <iq type='result' id='4'/>
                 J C: <iq type='get' id='5'><query xmlns='jabber:iq:private'><a xmlns='n:a'/></query></iq>
                 J S: <iq type='result' id='5'><query xmlns='jabber:iq:private'>
                   <a xmlns='n:a'>1</a></query></iq>"
            ),
            |modules| {
                let config = PrivateConfig { max_elements: 1, max_size: kib(1) };
                modules.add_with::<PrivateModule>(config);
            },
        );
    }
}
