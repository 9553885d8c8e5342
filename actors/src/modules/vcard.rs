//! vCards (XEP-0054): kept for their owners, readable by everybody.
//!
//! Avatars in vCards (XEP-0153) need nothing more of a server: a client puts the hash of its photo
//! into its own presence, which goes out as it is. A server does that for its clients only where it
//! converts avatars between vCards and PEP (XEP-0398), and there is no PEP here yet.

use crate::{
    cx::{Answer, IqCx, Target},
    registrar::{Module, Registrar, Xep},
};
use config::{ByteSize, kib};
use std::sync::Arc;
use xmpp::{
    Element,
    error::{ErrorType, StanzaError, StanzaErrorCondition},
    ns,
    payload::simple::VCard,
};

config::section! {
    /// Keeps a vCard for each user (XEP-0054, with avatars as XEP-0153 puts them into it).
    pub struct VcardConfig {
        /// Largest vCard, photo included.
        pub max_size: ByteSize = kib(128), in kib(1)..,
    }
}

/// The module.
#[derive(Debug)]
pub struct VcardModule {
    config: VcardConfig,
}

impl Module for VcardModule {
    const NAME: &'static str = "vcard";
    const XEPS: &'static [Xep] = &[Xep(54, "1.3.0"), Xep(153, "1.1.1")];
    const HIDES_ACCOUNTS: bool = true;
    type Config = VcardConfig;

    fn new(config: VcardConfig) -> Self {
        Self { config }
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.feature(ns::VCARD).iq_get::<VCard>(Self::get).iq_set::<VCard>(Self::set);
    }
}

impl VcardModule {
    fn get(&self, cx: &mut IqCx<'_, '_>, _: VCard) -> Answer {
        let user = match cx.target {
            Target::Account(user) => user.clone(),
            Target::Service(_) => return StanzaError::service_unavailable().into(),
            Target::Server(_) => {
                let name = Element::new(ns::VCARD, "FN").with_text("Mangrove");
                let card = Element::new(ns::VCARD, "vCard").with_child(name);
                return Answer::Result(card.to_xml().into_bytes());
            }
        };
        // section 3.3: an account without a vCard looks to others like none at all
        let none = if cx.is_own(&user) {
            StanzaError::item_not_found()
        } else {
            StanzaError::service_unavailable()
        };
        let env = Arc::clone(cx.env);
        Answer::later(async move {
            match env.stores.vcards.get(&user).await {
                Ok(Some(xml)) => Answer::Result(xml.as_bytes().to_vec()),
                Ok(None) => none.into(),
                Err(error) => Answer::Error(error.into()),
            }
        })
    }

    fn set(&self, cx: &mut IqCx<'_, '_>, VCard(card): VCard) -> Answer {
        let user = match cx.own_account() {
            Ok(user) => user,
            Err(error) => return error.into(),
        };
        let (xml, max) = (card.to_xml(), self.config.max_size);
        if xml.len() > max.0 {
            let error = StanzaError::new(ErrorType::Modify, StanzaErrorCondition::PolicyViolation);
            return error.with_text(&format!("a vCard may have {} bytes", max.0)).into();
        }
        if !card.reads_back(&xml) {
            return StanzaError::not_acceptable().into();
        }
        let env = Arc::clone(cx.env);
        Answer::later(
            async move { env.stores.vcards.set(&user, xml).await.map(|()| Vec::new()).into() },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::World;

    #[test]
    fn a_vcard_is_one_s_own_to_set_and_everybody_s_to_get() {
        World::check(include_str!("../../../tests/scripts/vcard.xmpp"), |modules| {
            modules.add_with::<VcardModule>(VcardConfig::default());
        });
    }

    #[test]
    fn a_vcard_that_is_too_large_is_refused_and_the_old_one_stays() {
        let photo = "x".repeat(1024);
        World::check(
            &format!(
                "account juliet@localhost pencil
                 J = juliet@localhost/balcony
                 J C: <iq type='set' id='1'><vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard></iq>
                 J S: <iq type='result' id='1'/>
                 J C: <iq type='set' id='2'><vCard xmlns='vcard-temp'>
                   <PHOTO>{photo}</PHOTO></vCard></iq>
                 J S: <iq type='error' id='2'><error type='modify'>
                   <policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
                 J C: <iq type='get' id='3'><vCard xmlns='vcard-temp'/></iq>
                 J S: <iq type='result' id='3'><vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard></iq>"
            ),
            |modules| {
                modules.add_with::<VcardModule>(VcardConfig { max_size: kib(1) });
            },
        );
    }
}
