//! Rosters and presence subscriptions (RFC 6121 sections 2 and 3), with roster versioning
//! (section 2.6, formerly XEP-0237) and pre-approval (section 3.4).
//!
//! [`state`] is the state machine of appendix A, [`change`] how a roster is changed and who is told,
//! [`subscription`] the two applied. Who sees a user's presence is decided here; that it is sent is
//! `routing::presence`'s.

mod change;
#[cfg(test)]
mod races;
mod state;
mod subscription;
#[cfg(test)]
mod tests;

use crate::{
    cx::{Answer, IqCx, SessionCx},
    env::Env,
    future::BoxFuture,
    hooks::{Flow, Order, Stage},
    registrar::{Module, Registrar, Xep},
    session::slots::Slot,
};
use change::{Act, INTERESTED, Rosters, push, write};
use config::{ByteSize, kib, mib};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use storage::{Roster, RosterChange, RosterItem};
use xmpp::{
    error::StanzaError,
    jid::{BareJid, Jid},
    ns,
    payload::roster::{BadItem, RosterGet, RosterSet, RosterSetQuery, query},
    stanza::{Stanza, Type},
};

config::section! {
    /// Rosters: contacts and who sees whose presence (RFC 6121).
    pub struct RosterConfig {
        /// Contacts a user may have. Beyond it a new one is refused.
        pub items: usize = 2_000, in 1..=100_000,
        /// Size of a roster: names, groups, addresses. Beyond it what makes it larger is refused.
        pub size: ByteSize = mib(1), in kib(16)..,
        /// Requests of people who are not contacts that are kept for a user. Beyond it they are
        /// denied.
        pub requests: usize = 200, in 1..=100_000,
    }
}

/// Changes of a roster that are pushed one by one to a client that comes back; beyond it the client
/// gets the whole roster (section 2.6.2 leaves it to the server).
const INTERIM: usize = 100;

/// Whether the presence that is being sent is the initial one, and no change of the priority.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Initial(bool);

impl Slot for Initial {
    const NAME: &'static str = "roster";
}

/// The module.
#[derive(Debug)]
pub struct RosterModule {
    rosters: Arc<Rosters>,
}

impl Module for RosterModule {
    const NAME: &'static str = "roster";
    const XEPS: &'static [Xep] = &[Xep(237, "1.3")];
    const HIDES_ACCOUNTS: bool = true;
    type Config = RosterConfig;

    fn new(config: RosterConfig) -> Self {
        Self { rosters: Arc::new(Rosters::new(config)) }
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.server_feature(ns::ROSTER)
            .mark(INTERESTED)
            .features(Order::Main, Self::features)
            .iq_get::<RosterGet>(Self::get)
            .iq_set::<RosterSetQuery>(Self::set)
            .available(Order::Main, Self::available)
            .visible(Order::Main, Self::visible)
            .subscription_out(Order::Main, Self::subscription_out)
            .subscription_in(Order::Main, Self::subscription_in)
            .may_see(Order::Main, Self::may_see)
            .removing(Order::Main, Self::removing);
    }
}

impl RosterModule {
    /// Sections 2.6.1 and 3.4.1.
    fn features(&self, _: &Env, stage: Stage, out: &mut Vec<u8>) {
        if stage == Stage::Authenticated {
            let features =
                format!("<ver xmlns='{}'/><sub xmlns='{}'/>", ns::ROSTER_VER, ns::PRE_APPROVAL);
            out.extend_from_slice(features.as_bytes());
        }
    }

    /// Section 2.1.3. Pushes wait until the answer is sent: none is missed and none comes first.
    fn get(&self, cx: &mut IqCx<'_, '_>, asked: RosterGet) -> Answer {
        let iq = cx.iq.clone();
        let session = match cx.own_session() {
            Ok(session) => session,
            Err(error) => return error.into(),
        };
        let (env, user) = (Arc::clone(session.env), session.user().clone());
        session.resource().mark(INTERESTED);
        session.hold();
        session.job(async move { env.stores.rosters.get(&user).await }, move |cx, roster| {
            match roster {
                Ok(roster) => show(cx, &iq, &asked, &roster),
                Err(error) => cx.refuse(&iq, &error.into()),
            }
            cx.release();
        });
        Answer::Promised
    }

    /// Sections 2.3 to 2.5. The answer comes before the push.
    #[expect(clippy::needless_pass_by_value, reason = "the registrar hands payloads over")]
    fn set(&self, cx: &mut IqCx<'_, '_>, query: RosterSetQuery) -> Answer {
        let iq = cx.iq.clone();
        let session = match cx.own_session() {
            Ok(session) => session,
            Err(error) => return error.into(),
        };
        let user = session.user().clone();
        let set = match query.item() {
            Ok(set) => set,
            Err(BadItem::BadRequest(why)) => {
                return StanzaError::bad_request().with_text(why).into();
            }
            Err(BadItem::NotAcceptable(why)) => {
                return StanzaError::not_acceptable().with_text(why).into();
            }
        };
        if set.jid.bare_jid().as_str() == user.as_str() && !set.remove {
            return StanzaError::not_allowed().with_text("you are no contact of yourself").into();
        }
        let (env, rosters) = (Arc::clone(session.env), Arc::clone(&self.rosters));
        session.hold();
        session.job(
            async move {
                if set.remove {
                    rosters.remove(&env, &user, &set.jid).await
                } else {
                    put(&rosters, &env, &user, &set).await
                }
            },
            move |cx, done| {
                match done {
                    Ok(()) => cx.send(&iq.reply_result(&[])),
                    Err(error) => cx.refuse(&iq, &error),
                }
                cx.release();
            },
        );
        Answer::Promised
    }

    fn available(&self, cx: &mut SessionCx<'_>, _: i8) {
        let initial = cx.resource().priority().is_none();
        cx.slot::<Initial>().0 = initial;
    }

    /// Section 3.1.3: requests are delivered whenever a resource becomes available, until they are
    /// answered.
    fn visible(&self, cx: &mut SessionCx<'_>, _: i8) {
        if !cx.slot::<Initial>().0 {
            return;
        }
        let (env, user) = (Arc::clone(cx.env), cx.user().clone());
        cx.job(async move { env.stores.rosters.get(&user).await }, |cx, roster| {
            let Ok(roster) = roster else { return };
            for request in roster.items.iter().filter_map(|i| i.request.as_ref()) {
                let Some(request) = Stanza::parse(request.as_bytes()) else { continue };
                // one that does not fit, or whose sender is blocked, comes the next time
                drop(cx.resource().deliver(request));
            }
        });
    }

    fn subscription_out(&self, cx: &mut SessionCx<'_>, stanza: &Stanza) -> Flow {
        let Some(contact) = stanza.head.to.clone() else { return Flow::Continue };
        let full = stanza.with_from(Some(cx.jid().clone().into()));
        if contact.as_str() == cx.user().as_str() {
            // one always sees oneself (section 4.2.2)
            return Flow::Stop;
        }
        if stanza.head.ty == Type::Subscribe && !cx.env.is_local(&contact) {
            // nobody would ever answer it
            cx.refuse(&full, &StanzaError::remote_server_not_found());
            return Flow::Stop;
        }
        let (env, user, stanza) = (Arc::clone(cx.env), cx.user().clone(), stanza.clone());
        let rosters = Arc::clone(&self.rosters);
        cx.job(
            async move { rosters.outbound(&env, &user, &contact, stanza).await },
            move |cx, done| {
                if let Err(error) = done {
                    cx.refuse(&full, &error);
                }
            },
        );
        Flow::Stop
    }

    fn subscription_in(&self, env: &Arc<Env>, user: &BareJid, stanza: &Stanza) -> BoxFuture<Flow> {
        let (env, user, stanza) = (Arc::clone(env), user.clone(), stanza.clone());
        let rosters = Arc::clone(&self.rosters);
        Box::pin(async move {
            let Some(contact) = stanza.head.from.as_ref().map(Jid::bare_jid) else {
                return Flow::Stop;
            };
            if let Err(error) = rosters.inbound(&env, &user, &contact, &stanza).await {
                tracing::warn!(%user, %error, "a subscription could not be handled");
            }
            Flow::Stop
        })
    }

    /// XEP-0077 section 3.2: contacts see the account go, and lose their subscriptions.
    fn removing(&self, env: &Arc<Env>, user: &BareJid) -> BoxFuture<Result<(), StanzaError>> {
        let (env, user, rosters) = (Arc::clone(env), user.clone(), Arc::clone(&self.rosters));
        Box::pin(async move { rosters.leave(&env, &user).await })
    }

    /// Section 4.3.2.
    fn may_see(&self, env: &Arc<Env>, user: &BareJid, from: &Jid) -> BoxFuture<Flow> {
        let (env, user, from) = (Arc::clone(env), user.clone(), from.bare_jid());
        Box::pin(async move {
            if from.as_str() == user.as_str() {
                return Flow::Continue;
            }
            let roster = env.stores.rosters.get(&user).await.unwrap_or_default();
            match roster.item(&from) {
                Some(item) if item.subscription.has_from() => Flow::Continue,
                _ => Flow::Stop,
            }
        })
    }
}

/// Adds or changes a contact; what is between the two is not the client's to say.
async fn put(
    rosters: &Rosters,
    env: &Arc<Env>,
    user: &BareJid,
    set: &RosterSet,
) -> Result<(), StanzaError> {
    rosters
        .change(env, [user], |[roster]| {
            let known = roster.item(&set.jid);
            let known = known.cloned().unwrap_or_else(|| RosterItem::new(set.jid.clone()));
            let (name, groups) = (set.name.clone(), set.groups.clone());
            let item = RosterItem { name, groups, hidden: false, ..known };
            rosters.room(roster, &item)?;
            let (user, change) = (user.clone(), RosterChange::Put(item));
            Ok(vec![Act::Change { user, change, always: true }])
        })
        .await
}

/// The answer to a roster get: the roster, or what has changed since the client's version
/// (section 2.6.3).
fn show(cx: &mut SessionCx<'_>, iq: &Stanza, asked: &RosterGet, roster: &Roster) {
    // versions are ours (section 2.6.1): what is not written as we write it is none
    let since =
        asked.ver.as_deref().and_then(|v| v.parse::<u64>().ok().filter(|n| n.to_string() == v));
    let since = since.filter(|v| (roster.floor..=roster.ver).contains(v));
    let changes = since.map(|since| changes(roster, since)).filter(|c| c.len() <= INTERIM);
    let Some(changes) = changes else {
        let ver = asked.ver.as_ref().map(|_| roster.ver.to_string());
        let all = query(ver.as_deref(), |out| roster.items.iter().for_each(|i| write(out, i)));
        return cx.send(&iq.reply_with(ns::ROSTER, "query", all));
    };
    cx.send(&iq.reply_result(&[]));
    for (ver, jid) in changes {
        let id = cx.env.token();
        let to = cx.jid().clone().into();
        cx.send(&push(roster, jid, ver, &id).with_to(Some(to)));
    }
}

/// What has changed for the client since a version, oldest first.
fn changes(roster: &Roster, since: u64) -> Vec<(u64, &Jid)> {
    let items = roster.items.iter().filter(|i| !i.hidden).map(|i| (i.ver, &i.jid));
    let removed = roster.removed.iter().map(|(jid, ver)| (*ver, jid));
    let mut all: Vec<_> = items.chain(removed).filter(|(ver, _)| *ver > since).collect();
    all.sort_unstable_by_key(|(ver, _)| *ver);
    all
}
