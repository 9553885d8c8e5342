//! `roster-setup`: groups of R+1 users who are all mutual contacts. Idempotent.

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;

use serde_json::json;
use tokio::task::spawn_local;

use crate::R;
use crate::args::Args;
use crate::conn::Conn;
use crate::ctx::Ctx;
use crate::end::End;
use crate::report::{base, finish, merge};
use crate::xml;

const ROSTER: &str = "<query xmlns='jabber:iq:roster'/>";

pub async fn run(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    let g: usize = a.num("groups", 10);
    let r: usize = a.num("contacts", 20);
    a.check()?;
    if cx.users < g * (r + 1) {
        return Err("too few --users".into());
    }
    let mut made = 0;
    for i in 0..g {
        if setup_group(Rc::clone(&cx), i, r).await? {
            made += 1;
        }
    }
    let mut v = base(&cx, a);
    merge(&mut v, json!({"groups": g, "contacts": r, "made": made}));
    Ok(finish(&cx, v))
}

/// Contacts with a subscription in both directions.
async fn mutual(cx: &Ctx, c: &mut Conn) -> R<usize> {
    let r = c.iq(cx, "get", None, "ro", ROSTER).await?;
    let s = String::from_utf8_lossy(&r).replace('"', "'");
    Ok(s.matches("subscription='both'").count())
}

/// Makes group `g`; false when it was made already.
async fn setup_group(cx: Rc<Ctx>, g: usize, r: usize) -> R<bool> {
    let n = r + 1;
    let members: Vec<usize> = (g * n..(g + 1) * n).collect();
    let mut conns = vec![];
    let mut done = true;
    for &user in &members {
        let mut c = Conn::login(&cx, &cx.user(user), "setup").await?;
        done &= mutual(&cx, &mut c).await? >= r;
        conns.push(c);
    }
    if done {
        for c in conns {
            let _ = c.close(&cx).await;
        }
        return Ok(false);
    }
    for (&user, c) in members.iter().zip(&mut conns) {
        forget(&cx, c, user, &members).await?;
    }
    for c in &mut conns {
        c.online(&cx).await?;
    }
    let left = Rc::new(Cell::new(n * r));
    let all_done = Rc::new(End::default());
    let mut tasks = vec![];
    for (&user, c) in members.iter().zip(conns) {
        let (cx, left, all_done) = (Rc::clone(&cx), Rc::clone(&left), Rc::clone(&all_done));
        let others: Vec<usize> = members.iter().copied().filter(|m| *m != user).collect();
        tasks.push(spawn_local(subscribe(cx, c, others, left, all_done)));
    }
    for t in tasks {
        match tokio::time::timeout(cx.timeout, t).await {
            Ok(x) => x.map_err(|e| e.to_string())??,
            Err(_) => {
                return Err(format!("group {g}: subscriptions timed out, {} left", left.get()));
            }
        }
    }
    for &user in &members {
        let mut c = Conn::login(&cx, &cx.user(user), "check").await?;
        let k = mutual(&cx, &mut c).await?;
        if k < r {
            return Err(format!("user {user} has {k} mutual contacts, not {r}"));
        }
        let _ = c.close(&cx).await;
    }
    Ok(true)
}

/// Starts from nothing: a half-made set of subscriptions answers differently on every server.
async fn forget(cx: &Ctx, c: &mut Conn, user: usize, members: &[usize]) -> R<()> {
    let r = c.iq(cx, "get", None, "rs", ROSTER).await?;
    let roster = String::from_utf8_lossy(&r).replace('"', "'");
    for &other in members {
        let jid = cx.bare(other);
        if other != user && roster.contains(&format!("'{jid}'")) {
            let q = format!(
                "<query xmlns='jabber:iq:roster'><item jid='{jid}' subscription='remove'/></query>"
            );
            c.iq(cx, "set", None, &format!("rm{other}"), &q).await?;
        }
    }
    Ok(())
}

/// Asks all the others and answers them, until nobody in the group has a question left.
async fn subscribe(
    cx: Rc<Ctx>,
    mut c: Conn,
    others: Vec<usize>,
    left: Rc<Cell<usize>>,
    all_done: Rc<End>,
) -> R<()> {
    let ask = |to: &usize| format!("<presence type='subscribe' to='{}'/>", cx.bare(*to));
    let asks: String = others.iter().map(ask).collect();
    c.send(asks.as_bytes()).await?;
    let mut seen = HashSet::new();
    while left.get() > 0 {
        let r = tokio::select! {
            r = c.stanza() => r?,
            () = all_done.rung() => break,
        };
        let b = c.bytes(&r);
        if xml::name(b) != b"presence" {
            continue;
        }
        let from = xml::bare(xml::attr(b, "from").unwrap_or("")).to_owned();
        match xml::attr(b, "type") {
            Some("subscribe") => {
                c.send(format!("<presence type='subscribed' to='{from}'/>").as_bytes()).await?;
            }
            Some("subscribed") if seen.insert(from) => {
                left.set(left.get() - 1);
                if left.get() == 0 {
                    all_done.ring();
                }
            }
            _ => {}
        }
    }
    let _ = c.close(&cx).await;
    Ok(())
}
