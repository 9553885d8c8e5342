//! Presence subscriptions on the way out and in (RFC 6121 section 3): the state machine of
//! [`super::state`] applied to rosters.
//!
//! Between two accounts both sides are one decision: what the user's stanza does to the contact's roster, and what the
//! contact's server answers, is decided with the user's. A contact whose roster is not here gets the stanza.

use super::{
    RosterConfig,
    change::{Act, Audience, Rosters},
    state::{self, Inbound, State},
};
use crate::{env::Env, routing};
use std::sync::Arc;
use storage::{Roster, RosterChange, RosterItem, StoreError, Subscription};
use xmpp::{
    error::StanzaError,
    jid::{BareJid, Jid},
    stanza::{Stanza, Type},
};

/// A request larger than this (in bytes) is kept without all that is not between two addresses.
const MAX_REQUEST: usize = 1024;

/// One side of what is between a user and a contact, while it is decided on.
struct Side<'a> {
    user: &'a BareJid,
    roster: &'a Roster,
    contact: &'a Jid,
    /// The contact in the roster, as it is by now.
    item: Option<RosterItem>,
}

impl<'a> Side<'a> {
    fn new(user: &'a BareJid, roster: &'a Roster, contact: &'a Jid) -> Self {
        Self { user, roster, contact, item: roster.item(contact).cloned() }
    }

    fn state(&self) -> State {
        self.item.as_ref().map(State::of).unwrap_or_default()
    }

    fn show(&self, available: bool) -> Act {
        Act::Show { user: self.user.clone(), to: self.contact.clone(), available }
    }

    /// A stanza of the user's for the contact.
    fn say(&self, ty: Type) -> Stanza {
        let from = Some(self.user.clone().into());
        Stanza::presence(ty).with_from(from).with_to(Some(self.contact.bare_jid()))
    }

    fn put(&mut self, item: Option<RosterItem>, always: bool) -> Act {
        let change = match &item {
            Some(item) => RosterChange::Put(item.clone()),
            None => RosterChange::Remove(self.contact.clone()),
        };
        self.item = item;
        Act::Change { user: self.user.clone(), change, always }
    }
}

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
        let reaches = match neighbour(env, contact).await? {
            Some(other) => routing::reaches(env, &other, &stanza).await,
            None => true,
        };
        self.between(env, user, contact, |mut me, other| {
            let (ty, before, mut acts) = (stanza.head.ty, me.state(), Vec::new());
            let step = state::outbound(before, ty);
            self.go(&mut me, step.next, None, &mut acts)?;
            // section 3.2.2: while the contact is still subscribed
            if ty == Type::Unsubscribed && before.subscription.has_from() {
                acts.push(me.show(false));
            }
            if step.route {
                match other {
                    Some(mut other) if reaches => {
                        self.arrives(&mut other, Some(&mut me), &stanza, &mut acts)?;
                    }
                    // who is blocked is not heard
                    Some(_) => {}
                    None => acts.push(Act::Send(stanza.clone())),
                }
            }
            // section 3.1.5
            if ty == Type::Subscribed && step.route {
                acts.push(me.show(true));
            }
            Ok(acts)
        })
        .await
    }

    /// A subscription stanza for the user, of somebody who has no account here.
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
        if env.stores.accounts.get(user).await?.is_none() {
            // section 8.5.1: silently
            return Ok(());
        }
        self.change(env, [user], |[roster]| {
            let mut acts = Vec::new();
            self.arrives(&mut Side::new(user, roster, contact), None, stanza, &mut acts)?;
            Ok(acts)
        })
        .await
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
        self.between(env, user, contact, |me, other| {
            if me.item.as_ref().is_none_or(|item| item.hidden) {
                return Err(StanzaError::item_not_found());
            }
            self.end(me, other)
        })
        .await
    }

    /// The account goes, and with it all that is between the user and others.
    ///
    /// # Errors
    /// The store's.
    pub async fn leave(&self, env: &Arc<Env>, user: &BareJid) -> Result<(), StanzaError> {
        for contact in env.stores.rosters.get(user).await?.items.iter().map(|item| &item.jid) {
            self.between(env, user, contact, |me, other| match me.item {
                Some(_) => self.end(me, other),
                None => Ok(Vec::new()),
            })
            .await?;
        }
        Ok(())
    }

    /// Decides on the user's side, and on the contact's if that is another account of this server.
    async fn between(
        &self,
        env: &Arc<Env>,
        user: &BareJid,
        contact: &Jid,
        decide: impl Fn(Side<'_>, Option<Side<'_>>) -> Result<Vec<Act>, StanzaError>,
    ) -> Result<(), StanzaError> {
        let me: Jid = user.clone().into();
        if let Some(other) = neighbour(env, contact).await?.filter(|other| other != user) {
            let both = self.change(env, [user, &other], |[mine, theirs]| {
                decide(Side::new(user, mine, contact), Some(Side::new(&other, theirs, &me)))
            });
            match both.await {
                // removed in the meantime
                Err(_) if env.stores.accounts.get(&other).await?.is_none() => {}
                done => return done,
            }
        }
        self.change(env, [user], |[mine]| decide(Side::new(user, mine, contact), None)).await
    }

    /// A stanza of the contact's arrives at the user's side; the contact's is given if it is decided on as well.
    fn arrives(
        &self,
        at: &mut Side<'_>,
        from: Option<&mut Side<'_>>,
        stanza: &Stanza,
        acts: &mut Vec<Act>,
    ) -> Result<(), StanzaError> {
        let (ty, before) = (stanza.head.ty, at.state());
        let step = if ty == Type::Subscribe && !self.takes_request(at) {
            // the server refuses
            Inbound { next: before, deliver: false, reply: Some(Type::Unsubscribed) }
        } else {
            state::inbound(before, ty)
        };
        if step.deliver {
            let audience = match ty {
                Type::Subscribe => Audience::Available,
                _ => Audience::Interested,
            };
            let (user, stanza) = (at.user.clone(), stanza.clone());
            acts.push(Act::Tell { user, audience, stanza });
        }
        let request = (ty == Type::Subscribe).then(|| kept(stanza));
        self.go(at, step.next, request, acts)?;
        // section 3.3.3
        if before.subscription.has_from() && !step.next.subscription.has_from() {
            acts.push(at.show(false));
        }
        if let Some(reply) = step.reply.map(|ty| at.say(ty)) {
            match from {
                Some(from) => self.arrives(from, None, &reply, acts)?,
                None => acts.push(Act::Send(reply)),
            }
        }
        if step.reply == Some(Type::Subscribed) {
            acts.push(at.show(true));
        }
        Ok(())
    }

    /// Whatever there is between the two ends (section 2.5).
    fn end(&self, mut me: Side<'_>, mut other: Option<Side<'_>>) -> Result<Vec<Act>, StanzaError> {
        let was = me.state();
        let mut acts = vec![me.put(None, true)];
        let mut say = |ty, me: &mut Side<'_>, acts: &mut Vec<Act>| {
            let stanza = me.say(ty);
            match &mut other {
                Some(other) => self.arrives(other, Some(me), &stanza, acts)?,
                None => acts.push(Act::Send(stanza)),
            }
            Ok::<_, StanzaError>(())
        };
        if was.subscription.has_to() || was.ask {
            say(Type::Unsubscribe, &mut me, &mut acts)?;
        }
        // as in section 3.2.2
        if was.subscription.has_from() {
            acts.push(me.show(false));
        }
        if was.subscription.has_from() || was.pending {
            say(Type::Unsubscribed, &mut me, &mut acts)?;
        }
        Ok(acts)
    }

    /// Whether a request can be kept: there are not too many.
    fn takes_request(&self, of: &Side<'_>) -> bool {
        let requests = of.roster.items.iter().filter(|i| i.hidden).count();
        of.item.is_some() || requests < self.config.requests
    }

    /// Brings the contact into the state `next`.
    fn go(
        &self,
        side: &mut Side<'_>,
        next: State,
        request: Option<String>,
        acts: &mut Vec<Act>,
    ) -> Result<(), StanzaError> {
        if side.state() == next {
            return Ok(());
        }
        let known = side.item.clone();
        let shown = known.as_ref().is_some_and(|item| !item.hidden);
        let there = known.is_some();
        let mut item = known.unwrap_or_else(|| RosterItem::new(side.contact.clone()));
        item.subscription = next.subscription;
        item.ask = next.ask;
        item.approved = next.approved;
        if !next.pending {
            item.request = None;
        } else if request.is_some() {
            item.request = request;
        }
        // section 3.1.3: of somebody the user has not added, a request alone is not shown
        let alone = next.subscription == Subscription::None && !next.ask && !next.approved;
        item.hidden = !shown && alone;
        if item.hidden && !next.pending {
            if there {
                acts.push(side.put(None, false));
            }
            return Ok(());
        }
        if !shown && !item.hidden {
            self.room(side.roster, &item)?;
        }
        acts.push(side.put(Some(item), false));
        Ok(())
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

/// The account of a contact that has one on this server.
async fn neighbour(env: &Env, contact: &Jid) -> Result<Option<BareJid>, StoreError> {
    if contact.node().is_none() || !contact.is_bare() || env.hosts.find(contact).is_none() {
        return Ok(None);
    }
    let other = contact.bare();
    Ok(env.stores.accounts.get(&other).await?.map(|_| other))
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
