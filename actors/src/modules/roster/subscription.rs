//! Presence subscriptions on the way out and in (RFC 6121 section 3): the state machine of
//! [`super::state`] applied to rosters.

use super::{
    RosterConfig,
    change::{Audience, Decision, Rosters},
    state::{self, State},
};
use crate::{
    env::Env,
    routing::{presence::show, send},
};
use std::sync::Arc;
use storage::{Roster, RosterChange, RosterItem, Subscription};
use xmpp::{
    error::StanzaError,
    jid::{BareJid, Jid},
    stanza::{Stanza, Type},
};

/// A request larger than this (in bytes) is kept without all that is not between two addresses.
const MAX_REQUEST: usize = 1024;

impl Rosters {
    /// A subscription stanza of the user, its addresses bare.
    ///
    /// # Errors
    /// When the roster is full, or the store does not answer.
    pub async fn outbound(
        &self,
        env: &Arc<Env>,
        user: &BareJid,
        contact: &Jid,
        stanza: Stanza,
    ) -> Result<(), StanzaError> {
        let ty = stanza.head.ty;
        let (before, route) = self
            .change(env, user, |roster| {
                let item = roster.item(contact);
                let before = item.map(State::of).unwrap_or_default();
                let step = state::outbound(before, ty);
                let change = self.step(roster, contact, before, step.next, None)?;
                let value = (before, step.route);
                Ok(Decision { change, always: false, first: None, value })
            })
            .await?;
        // section 3.2.2: while the contact is still subscribed
        if ty == Type::Unsubscribed && before.subscription.has_from() {
            show(env, user, contact, false).await;
        }
        if route {
            send(env, stanza).await;
        }
        // section 3.1.5
        if ty == Type::Subscribed && route {
            show(env, user, contact, true).await;
        }
        Ok(())
    }

    /// A subscription stanza for the user.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn inbound(
        &self,
        env: &Arc<Env>,
        user: &BareJid,
        contact: &Jid,
        stanza: &Stanza,
    ) -> Result<(), StanzaError> {
        let ty = stanza.head.ty;
        if env.stores.accounts.get(user).await?.is_none() {
            // section 8.5.1: silently
            return Ok(());
        }
        if ty == Type::Subscribe && !self.takes_requests(env, user, contact).await? {
            return refuse(env, user, contact).await;
        }
        let request = (ty == Type::Subscribe).then(|| kept(stanza));
        let (before, step) = self
            .change(env, user, |roster| {
                let before = roster.item(contact).map(State::of).unwrap_or_default();
                let step = state::inbound(before, ty);
                let change = self.step(roster, contact, before, step.next, request.as_deref())?;
                let audience = match ty {
                    Type::Subscribe => Audience::Available,
                    _ => Audience::Interested,
                };
                let first = step.deliver.then(|| (audience, stanza.clone()));
                Ok(Decision { change, always: false, first, value: (before, step) })
            })
            .await?;
        // section 3.3.3
        if before.subscription.has_from() && !step.next.subscription.has_from() {
            show(env, user, contact, false).await;
        }
        if let Some(reply) = step.reply {
            let from = Some(user.clone().into());
            let reply = Stanza::presence(reply).with_from(from).with_to(Some(contact.clone()));
            send(env, reply).await;
        }
        if step.reply == Some(Type::Subscribed) {
            show(env, user, contact, true).await;
        }
        Ok(())
    }

    /// Removes a contact (section 2.5): what there was between the two ends.
    ///
    /// # Errors
    /// `item-not-found`, or the store's.
    pub async fn remove(
        &self,
        env: &Arc<Env>,
        user: &BareJid,
        contact: &Jid,
    ) -> Result<(), StanzaError> {
        let was = self
            .change(env, user, |roster| {
                let item = roster.item(contact).filter(|i| !i.hidden);
                let item = item.ok_or_else(StanzaError::item_not_found)?;
                let change = Some(RosterChange::Remove(contact.clone()));
                Ok(Decision { change, always: true, first: None, value: State::of(item) })
            })
            .await?;
        let say = |ty| {
            let from = Some(user.clone().into());
            Stanza::presence(ty).with_from(from).with_to(Some(contact.bare_jid()))
        };
        if was.subscription.has_to() || was.ask {
            send(env, say(Type::Unsubscribe)).await;
        }
        // as in section 3.2.2
        if was.subscription.has_from() {
            show(env, user, contact, false).await;
        }
        if was.subscription.has_from() || was.pending {
            send(env, say(Type::Unsubscribed)).await;
        }
        Ok(())
    }

    /// Whether a request can be kept: there are not too many.
    async fn takes_requests(
        &self,
        env: &Arc<Env>,
        user: &BareJid,
        contact: &Jid,
    ) -> Result<bool, StanzaError> {
        let roster = env.stores.rosters.get(user).await?;
        if roster.item(contact).is_some() {
            return Ok(true);
        }
        let requests = roster.items.iter().filter(|i| i.hidden).count();
        Ok(requests < self.config.requests)
    }

    /// The change that brings a contact into the state `next`.
    fn step(
        &self,
        roster: &Roster,
        contact: &Jid,
        before: State,
        next: State,
        request: Option<&str>,
    ) -> Result<Option<RosterChange>, StanzaError> {
        if before == next {
            return Ok(None);
        }
        let known = roster.item(contact);
        let mut item = known.cloned().unwrap_or_else(|| RosterItem::new(contact.clone()));
        let shown = known.is_some() && !item.hidden;
        item.subscription = next.subscription;
        item.ask = next.ask;
        item.approved = next.approved;
        if !next.pending {
            item.request = None;
        } else if let Some(request) = request {
            item.request = Some(request.to_owned());
        }
        // section 3.1.3: of somebody the user has not added, a request alone is not shown
        let alone = next.subscription == Subscription::None && !next.ask && !next.approved;
        item.hidden = !shown && alone;
        if item.hidden && !next.pending {
            return Ok(known.map(|_| RosterChange::Remove(contact.clone())));
        }
        if !shown && !item.hidden {
            self.room(roster, &item)?;
        }
        Ok(Some(RosterChange::Put(item)))
    }

    /// Whether the user may have this item, new or changed: one that makes nothing larger always.
    ///
    /// # Errors
    /// `resource-constraint`.
    pub fn room(&self, roster: &Roster, item: &RosterItem) -> Result<(), StanzaError> {
        let (mut count, mut bytes, mut before) = (1, item.weight(), None);
        for other in roster.items.iter().filter(|i| !i.hidden) {
            if other.jid == item.jid {
                before = Some(other.weight());
            } else {
                count += 1;
                bytes += other.weight();
            }
        }
        let larger = before.is_none_or(|before| item.weight() > before);
        let RosterConfig { items, size, .. } = self.config;
        if before.is_none() && count > items || larger && bytes > size.0 {
            return Err(StanzaError::resource_constraint().with_text("the roster is full"));
        }
        Ok(())
    }
}

/// For who takes no more requests, the server refuses.
async fn refuse(env: &Arc<Env>, user: &BareJid, contact: &Jid) -> Result<(), StanzaError> {
    let refusal = Stanza::presence(Type::Unsubscribed)
        .with_from(Some(user.clone().into()))
        .with_to(Some(contact.clone()));
    send(env, refusal).await;
    Ok(())
}

/// A request as it is kept.
fn kept(request: &Stanza) -> String {
    let xml = request.to_xml();
    if xml.len() <= MAX_REQUEST {
        return xml;
    }
    let (from, to) = (request.head.from.clone(), request.head.to.clone());
    Stanza::presence(request.head.ty).with_from(from).with_to(to).to_xml()
}
