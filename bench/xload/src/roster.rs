//! `roster-presence`: in each group of R+1 mutual contacts one comes and goes while the others stay online.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};

use crate::R;
use crate::args::Args;
use crate::conn::Conn;
use crate::ctx::Ctx;
use crate::end::End;
use crate::report::{base, finish, merge};
use crate::stats::{Lat, r2, r4};
use crate::window::Window;
use crate::xml;

#[derive(Default)]
struct Group {
    avail: Cell<u64>,
    unavail: Cell<u64>,
    note: Notify,
}

#[derive(Default)]
struct Tot {
    cycles: Cell<u64>,
    deliveries: Cell<u64>,
    on: RefCell<Lat>,
}

async fn wait(cx: &Ctx, g: &Group, what: &str, f: impl Fn(&Group) -> bool) -> R<()> {
    let t = Instant::now();
    while !f(g) {
        let _ = tokio::time::timeout(Duration::from_millis(500), g.note.notified()).await;
        if t.elapsed() > cx.timeout || cx.nerr() > 0 {
            return Err(format!(
                "{what}: lost presence (avail {}, unavail {})",
                g.avail.get(),
                g.unavail.get()
            ));
        }
    }
    Ok(())
}

/// reads until R contacts' presences and the own one have come
async fn greeted(cx: &Ctx, c: &mut Conn, r: usize) -> R<()> {
    let f = async {
        let mut seen = HashSet::new();
        let mut me = !cx.self_presence;
        while seen.len() < r || !me {
            let x = c.stanza().await?;
            let b = c.bytes(&x);
            if xml::name(b) != b"presence" || xml::attr(b, "type").is_some() {
                continue;
            }
            let from = xml::attr(b, "from").unwrap_or("");
            if from == c.jid {
                me = true;
            } else if xml::bare(from) != xml::bare(&c.jid) {
                seen.insert(from.to_string());
            }
        }
        Ok::<(), String>(())
    };
    match tokio::time::timeout(cx.timeout, f).await {
        Ok(r) => r,
        Err(_) => Err("contacts' presence did not all come".into()),
    }
}

pub async fn run(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    let groups: usize = a.num("groups", 10);
    let r: usize = a.num("contacts", 20);
    let relogin = a.str("mode", "toggle") == "relogin";
    let w = Window::new(a);
    a.check()?;
    let n = r + 1;
    if cx.users < groups * n {
        return Err("too few --users".into());
    }
    let t = Rc::new(Tot::default());
    let end = Rc::new(End::default());
    let (mut residents, mut rooms) = (vec![], vec![]);
    for g in 0..groups {
        let group = Rc::new(Group::default());
        for i in 1..n {
            let user = cx.user(g * n + i);
            residents.push(resident(&cx, &user, cx.bare(g * n), &group, &end).await?);
        }
        rooms.push(group);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut guests = vec![];
    for (g, group) in rooms.into_iter().enumerate() {
        let guest = Guest {
            cx: Rc::clone(&cx),
            w: Rc::clone(&w),
            t: Rc::clone(&t),
            group,
            user: cx.user(g * n),
            contacts: r,
            relogin,
        };
        guests.push(spawn_local(async move {
            if let Err(e) = guest.come_and_go().await {
                guest.cx.err("cycler", &format!("group {g}: {e}"));
            }
        }));
    }
    let d = w.run(&cx, || {}).await;
    for g in guests {
        let _ = g.await;
    }
    end.ring();
    let deadline = tokio::time::Instant::now() + cx.timeout;
    for h in residents {
        if tokio::time::timeout_at(deadline, h).await.is_err() {
            cx.err("resident", "it does not leave");
        }
    }
    if t.cycles.get() == 0 {
        cx.err("nothing", "no cycle was completed in the window");
    }
    let c = t.cycles.get() as f64;
    let p = t.deliveries.get() as f64;
    let mut v = base(&cx, a);
    merge(
        &mut v,
        json!({
            "groups": groups, "contacts": r, "mode": if relogin { "relogin" } else { "toggle" },
            "cycles": t.cycles.get(), "cycles_per_s": r2(c / d.wall), "server_cpu_ms_per_cycle": r4(d.srv * 1e3 / c),
            "presences_per_s": r2(p / d.wall), "server_cpu_us_per_presence": r2(d.srv * 1e6 / p),
            "gen_cpu_us_per_presence": r2(d.generator * 1e6 / p), "logon_ms": t.on.borrow_mut().json(),
        }),
    );
    merge(&mut v, d.json(&cx.pids));
    Ok(finish(&cx, v))
}

/// Logs `user` on, who stays and counts the presences of `who` until `end`.
async fn resident(
    cx: &Rc<Ctx>,
    user: &str,
    who: String,
    group: &Rc<Group>,
    end: &Rc<End>,
) -> R<JoinHandle<()>> {
    let mut c = Conn::login(cx, user, "res").await?;
    c.online(cx).await?;
    let (cx, group, end) = (Rc::clone(cx), Rc::clone(group), Rc::clone(end));
    Ok(spawn_local(async move {
        if let Err(e) = watch(&mut c, &who, &group, &end).await {
            cx.err("resident", &e);
        }
        let _ = c.close(&cx).await;
    }))
}

async fn watch(c: &mut Conn, who: &str, group: &Group, end: &End) -> R<()> {
    loop {
        let x = tokio::select! {
            x = c.stanza() => x?,
            () = end.rung() => return Ok(()),
        };
        let b = c.bytes(&x);
        if xml::name(b) != b"presence" || xml::bare(xml::attr(b, "from").unwrap_or("")) != who {
            continue;
        }
        match xml::attr(b, "type") {
            None => group.avail.set(group.avail.get() + 1),
            Some("unavailable") => group.unavail.set(group.unavail.get() + 1),
            _ => continue,
        }
        group.note.notify_one();
    }
}

/// The one of a group who comes and goes.
struct Guest {
    cx: Rc<Ctx>,
    w: Rc<Window>,
    t: Rc<Tot>,
    group: Rc<Group>,
    user: String,
    contacts: usize,
    relogin: bool,
}

impl Guest {
    async fn come_and_go(&self) -> R<()> {
        let Guest { cx, group, .. } = self;
        let each = self.contacts as u64;
        let mut keep: Option<Conn> = None;
        let mut k = 0_u64;
        while !self.w.stop.get() {
            let begun = Instant::now();
            let mut c = match keep.take() {
                Some(c) => c,
                None => Conn::login(cx, &self.user, &format!("c{k:x}")).await?,
            };
            c.send(b"<presence/>").await?;
            greeted(cx, &mut c, self.contacts).await?;
            k += 1;
            wait(cx, group, "available", |g| g.avail.get() >= each * k).await?;
            let on = begun.elapsed();
            if self.relogin {
                c.close(cx).await?;
            } else {
                c.send(b"<presence type='unavailable'/>").await?;
                keep = Some(c);
            }
            wait(cx, group, "unavailable", |g| g.unavail.get() >= each * k).await?;
            let (avail, unavail) = (group.avail.get(), group.unavail.get());
            if avail != each * k || unavail != each * k {
                return Err(format!("presence counts differ: {avail} {unavail} {}", each * k));
            }
            if self.w.on.get() {
                self.t.cycles.set(self.t.cycles.get() + 1);
                self.t.deliveries.set(self.t.deliveries.get() + 3 * each);
                self.t.on.borrow_mut().add(on);
            }
        }
        if let Some(c) = keep {
            let _ = c.close(cx).await;
        }
        Ok(())
    }
}
