//! `fanout-muc`: one occupant of a room (XEP-0045) talks, all hear it. The cost of the joins is reported too.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::R;
use crate::args::Args;
use crate::conn::Conn;
use crate::ctx::Ctx;
use crate::fan::{Fan, Receivers, Source, measure, put};
use crate::login::logon_all;
use crate::report::{base, finish, merge};
use crate::stats::r2;
use crate::window::Window;
use crate::{procstat, xml};

pub async fn run(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    let m: usize = a.num("occupants", 100);
    let window: usize = a.num("window", 4);
    let size: usize = a.num("size", 100);
    let svc = a.str("muc", &format!("conference.{}", cx.domain));
    let w = Window::new(a);
    a.check()?;
    if m == 0 || cx.users < m {
        return Err("--users must be at least --occupants, and there must be one".into());
    }
    let room = format!("xload{:x}@{svc}", cx.rnd() & 0xffff_ffff);
    let f = Fan::new(&cx, &w, m, window, size);
    let mut conns = logon_all(&cx, m, 32, "muc", true).await?;
    create(&cx, &mut conns[0], &room).await?;
    f.joined.set(1);
    let all = Receivers::start(&f, conns, &Source::Room);
    let before = procstat::snap(&cx.pids);
    join(&f, &all, &room).await?;
    let joins = procstat::snap(&cx.pids).since(&before);
    let (f2, room2) = (Rc::clone(&f), room.clone());
    let d = measure(&f, &w, Rc::clone(&all.outs[0]), move |b| {
        let seq = f2.sent.get();
        b.extend_from_slice(
            format!("<message type='groupchat' to='{room2}' id='g{seq}'><body>").as_bytes(),
        );
        f2.next_body(b);
        b.extend_from_slice(b"</body></message>");
    })
    .await;
    all.end(&cx).await;
    let mut v = base(&cx, a);
    merge(&mut v, f.json(&d));
    merge(
        &mut v,
        json!({"join_s": r2(joins.wall), "join_server_cpu_s": r2(joins.srv),
            "join_server_cpu_us_per_presence": r2(joins.srv * 1e6 / (m as f64 * m as f64))}),
    );
    merge(&mut v, d.json(&cx.pids));
    Ok(finish(&cx, v))
}

/// The first occupant makes the room, an instant one where the service asks.
async fn create(cx: &Ctx, c: &mut Conn, room: &str) -> R<()> {
    let me = format!("{room}/n0");
    let m = format!("<presence to='{me}'><x xmlns='http://jabber.org/protocol/muc'/></presence>");
    c.send(m.as_bytes()).await?;
    let answer = async {
        loop {
            let r = c.stanza().await?;
            let b = c.bytes(&r);
            if xml::name(b) == b"presence" && xml::attr(b, "from") == Some(me.as_str()) {
                if xml::attr(b, "type") == Some("error") {
                    return Err(String::from_utf8_lossy(b).into_owned());
                }
                return Ok::<bool, String>(xml::has(b, "201"));
            }
        }
    };
    let locked = tokio::time::timeout(cx.timeout, answer);
    if locked.await.map_err(|_| "room creation timed out")?? {
        let q = "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>";
        let r = c.iq(cx, "set", Some(room), "own", q).await?;
        if xml::attr(&r, "type") != Some("result") {
            return Err(format!("instant room: {}", String::from_utf8_lossy(&r)));
        }
    }
    Ok(())
}

/// All the others join, at most eight at a time.
async fn join(f: &Fan, all: &Receivers, room: &str) -> R<()> {
    for (i, out) in all.outs.iter().enumerate().skip(1) {
        put(
            out,
            &format!(
                "<presence to='{room}/n{i}'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"
            ),
        );
        joined(f, (i + 1).saturating_sub(8)).await?;
    }
    joined(f, all.outs.len()).await
}

async fn joined(f: &Fan, n: usize) -> R<()> {
    let end = Instant::now() + f.cx.timeout;
    while f.joined.get() < n && f.cx.nerr() == 0 {
        let _ = tokio::time::timeout(Duration::from_millis(200), f.join_note.notified()).await;
        if Instant::now() > end {
            return Err(format!("joins timed out: {} of {n}", f.joined.get()));
        }
    }
    Ok(())
}
