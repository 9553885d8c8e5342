//! `probe`: what a server offers. `register`: accounts by in-band registration (XEP-0077).

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use serde_json::json;

use crate::R;
use crate::args::Args;
use crate::conn::Conn;
use crate::ctx::Ctx;
use crate::report::{base, finish, merge};
use crate::{procstat, stats, xml};

pub async fn probe(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    a.check()?;
    let (c, f) = Conn::pre_auth(&cx, cx.addr(0), Some(&cx.user(0))).await?;
    eprintln!("before: {}", String::from_utf8_lossy(&f));
    let (t, s) = (c.tls13, c.suite);
    drop(c);
    let mut c = Conn::login(&cx, &cx.user(0), "probe").await?;
    c.online(&cx).await?;
    let roster = c.iq(&cx, "get", None, "r1", "<query xmlns='jabber:iq:roster'/>").await?;
    eprintln!("roster: {}", String::from_utf8_lossy(&roster));
    let disco = c
        .iq(
            &cx,
            "get",
            Some(&cx.domain),
            "d1",
            "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        )
        .await?;
    eprintln!("disco: {}", String::from_utf8_lossy(&disco));
    let mut v = base(&cx, a);
    merge(
        &mut v,
        json!({"jid": c.jid, "tls13": t, "suite": s, "tls_ms": c.t_tls.as_secs_f64() * 1e3, "bound_ms": c.t_bound.as_secs_f64() * 1e3}),
    );
    c.close(&cx).await?;
    Ok(finish(&cx, v))
}

pub async fn register(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    let conc: usize = a.num("conc", 32);
    a.check()?;
    let t0 = Instant::now();
    let s0 = procstat::snap(&cx.pids);
    let next = Rc::new(Cell::new(0usize));
    let existed = Rc::new(Cell::new(0u64));
    let mut hs = vec![];
    for _ in 0..conc {
        let (cx, next, existed) = (Rc::clone(&cx), Rc::clone(&next), Rc::clone(&existed));
        hs.push(tokio::task::spawn_local(async move {
            loop {
                let i = next.get();
                if i >= cx.users {
                    break;
                }
                next.set(i + 1);
                let r: R<()> = async {
                    let (mut c, _) = Conn::pre_auth(&cx, cx.addr(0), None).await?;
                    let q = format!(
                        "<query xmlns='jabber:iq:register'><username>{}</username><password>{}</password></query>",
                        cx.user(i), cx.password
                    );
                    let b = c.iq(&cx, "set", Some(&cx.domain), "reg", &q).await?;
                    if xml::attr(&b, "type") != Some("result") {
                        if xml::has(&b, "<conflict") {
                            existed.set(existed.get() + 1);
                        } else {
                            return Err(String::from_utf8_lossy(&b).into_owned());
                        }
                    }
                    c.close(&cx).await
                }
                .await;
                if let Err(e) = r {
                    cx.err("register", &format!("user {i}: {e}"));
                    if cx.nerr() > 50 {
                        break;
                    }
                }
            }
        }));
    }
    for h in hs {
        let _ = h.await;
    }
    let d = procstat::snap(&cx.pids).since(&s0);
    let mut v = base(&cx, a);
    merge(
        &mut v,
        json!({"users": cx.users, "existed": existed.get(), "per_s": stats::r2(cx.users as f64 / t0.elapsed().as_secs_f64()),
        "cpu_ms_per_account": stats::r4(d.srv * 1e3 / cx.users as f64)}),
    );
    merge(&mut v, d.json(&cx.pids));
    Ok(finish(&cx, v))
}
