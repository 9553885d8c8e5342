//! `offline`: messages to users who are not there, in rounds of three parts, each measured for itself: all senders send a
//! burst and wait until the server has counted it (XEP-0198); the recipients log on, must get all of it in order,
//! acknowledge it and leave; the recipients log on and leave, and nothing waits for them.

use std::rc::Rc;

use serde_json::json;

use crate::R;
use crate::args::Args;
use crate::burst::{Burst, Sender};
use crate::conn::Conn;
use crate::ctx::Ctx;
use crate::login::{close_all, logon_all, visit};
use crate::phase::{Phase, Rounds, each};
use crate::report::{base, finish, merge};
use crate::stats::r2;

/// A sender that is online, and a recipient that is not.
struct Pair {
    from: Conn,
    sender: Sender,
    me: usize,
    to: String,
    got: u64,
}

#[derive(Default)]
struct Parts {
    stored: Phase,
    fetched: Phase,
    logged_on: Phase,
}

pub async fn run(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    let n: usize = a.num("pairs", 64);
    let conc: usize = a.num("conc", 16);
    let burst = Rc::new(Burst::from_args(&cx, a)?);
    let rounds = Rounds::new(a);
    a.check()?;
    if cx.users < 2 * n {
        return Err("--users must be at least twice --pairs".into());
    }
    let senders = logon_all(&cx, n, conc, "sender", true).await?;
    let mut pairs: Vec<Pair> =
        senders.into_iter().enumerate().map(|(me, from)| pair(&cx, me, from, n)).collect();
    let mut parts = Parts::default();
    for measured in rounds {
        let parts = if measured { &mut parts } else { &mut Parts::default() };
        pairs = round(&burst, pairs, conc, parts).await?;
    }
    close_all(&cx, pairs.into_iter().map(|pair| pair.from).collect()).await;

    let Parts { stored, fetched, logged_on } = parts;
    let alone = fetched.without(&logged_on);
    let mut v = base(&cx, a);
    merge(
        &mut v,
        json!({
            "pairs": n, "burst": burst.length, "window": burst.window, "size": burst.size, "conc": conc,
            "cpu_us_per_message": r2(stored.cost() + alone.cost()),
            "stored": stored.json(), "fetched": alone.json(), "logged_on": logged_on.json(),
        }),
    );
    merge(&mut v, (stored + fetched + logged_on).whole());
    Ok(finish(&cx, v))
}

fn pair(cx: &Ctx, me: usize, from: Conn, pairs: usize) -> Pair {
    let sender = Sender::new(me, cx.bare(pairs + me));
    Pair { from, sender, me, to: cx.user(pairs + me), got: 0 }
}

async fn round(
    burst: &Rc<Burst>,
    pairs: Vec<Pair>,
    conc: usize,
    parts: &mut Parts,
) -> R<Vec<Pair>> {
    let (cx, n) = (&burst.cx, pairs.len());
    let messages = n * burst.length as usize;
    let store = each(pairs, n, |mut pair| {
        let burst = Rc::clone(burst);
        async move { burst.send(&mut pair.from, &mut pair.sender, drop).await.map(|()| pair) }
    });
    let pairs = parts.stored.measure(cx, messages, store).await?;
    let fetch = each(pairs, conc, |mut pair| {
        let burst = Rc::clone(burst);
        async move {
            let mut c = Conn::login(&burst.cx, &pair.to, "recipient").await?;
            c.send(b"<presence/>").await?;
            burst.receive(&mut c, pair.me, &mut pair.got, || ()).await?;
            c.close(&burst.cx).await.map(|()| pair)
        }
    });
    let pairs = parts.fetched.measure(cx, messages, fetch).await?;
    let come_and_go = each(pairs, conc, |pair| {
        let cx = Rc::clone(cx);
        async move { visit(&cx, &pair.to, "recipient").await.map(|()| pair) }
    });
    parts.logged_on.measure(cx, n, come_and_go).await
}
