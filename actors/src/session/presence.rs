//! Presence of a client: broadcast, directed, probes, subscriptions (RFC 6121 sections 3 and 4).
//!
//! What a user's contacts are is the roster module's; here is only who is told what.

use super::effects::Action;
use crate::{cx::SessionCx, hooks::Flow, routing, sessions};
use std::sync::Arc;
use xmpp::{
    error::StanzaError,
    jid::Jid,
    number,
    stanza::{Stanza, Type},
};

pub(super) fn from_client(cx: &mut SessionCx<'_>, presence: Stanza) {
    match (presence.head.ty, presence.head.to.clone()) {
        (Type::Available, None) => available(cx, presence),
        (Type::Unavailable, None) => unavailable(cx, presence),
        (Type::Available | Type::Unavailable, Some(to)) => directed(cx, &to, presence),
        (ty, Some(to)) if ty.is_subscription() => subscription(cx, &to, &presence),
        (Type::Probe | Type::Error, Some(_)) => cx.fx.push(Action::Route(presence)),
        // without an address these mean nothing (RFC 6121 section 3.1.1)
        _ => cx.refuse(&presence, &StanzaError::bad_request()),
    }
}

/// The priority a presence carries: 0 if none (RFC 6121 section 4.7.2.3).
fn priority(presence: &Stanza) -> Option<i8> {
    match presence.text_of("priority") {
        None => Some(0),
        Some(text) => number::byte(&text),
    }
}

fn available(cx: &mut SessionCx<'_>, presence: Stanza) {
    let Some(priority) = priority(&presence) else {
        let error = StanzaError::bad_request().with_text("priority is -128 to 127");
        return cx.refuse(&presence, &error);
    };
    let before = cx.resource().priority();
    let initial = before.is_none();
    let opened = initial || (priority >= 0 && before.is_some_and(|p| p < 0));
    // what was kept for the user comes before anything new (XEP-0160 section 3)
    if opened {
        let hooks = cx.env.hooks();
        for row in &hooks.available {
            cx.module = row.module;
            (row.run)(cx, priority);
        }
        cx.module = "";
    }
    let (env, resource) = (Arc::clone(cx.env), Arc::clone(cx.resource()));
    cx.job(
        async move {
            if !resource.set_presence(presence.clone(), priority) {
                return;
            }
            sessions::publish_priority(&env, &resource).await;
            routing::presence::broadcast(&env, &resource, &presence, initial).await;
        },
        move |cx, ()| {
            if opened {
                let hooks = cx.env.hooks();
                for row in &hooks.visible {
                    cx.module = row.module;
                    (row.run)(cx, priority);
                }
            }
        },
    );
}

/// RFC 6121 section 4.5: to everybody who saw the resource.
fn unavailable(cx: &mut SessionCx<'_>, presence: Stanza) {
    let (env, resource) = (Arc::clone(cx.env), Arc::clone(cx.resource()));
    if resource.presence().is_none() && resource.directed_is_empty() {
        return;
    }
    cx.job(
        async move {
            resource.withdraw();
            sessions::publish_priority(&env, &resource).await;
            routing::presence::gone(&env, &resource, &presence).await;
        },
        |_, ()| {},
    );
}

/// RFC 6121 section 4.6.
fn directed(cx: &mut SessionCx<'_>, to: &Jid, presence: Stanza) {
    match presence.head.ty {
        // who would tell `to` that a session has ended which has been told of already?
        Type::Available if !cx.resource().directed_add(to) => return,
        Type::Available => {}
        _ => {
            cx.resource().directed_remove(to);
        }
    }
    cx.fx.push(Action::Route(presence));
}

/// RFC 6121 section 3: the roster decides; the stanza goes out with bare addresses.
fn subscription(cx: &mut SessionCx<'_>, to: &Jid, presence: &Stanza) {
    let presence = presence.with_to(Some(to.bare_jid()));
    let hooks = cx.env.hooks();
    for row in &hooks.subscription_out {
        cx.module = row.module;
        if (row.run)(cx, &presence) == Flow::Stop {
            return;
        }
    }
    cx.module = "";
    cx.fx.push(Action::Route(presence));
}
