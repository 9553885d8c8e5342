//! `logon`: every user comes online and leaves, one time each, which is measured for itself; then all again and again. Of a server that
//! has not seen them before the first time is dearer.

use std::rc::Rc;

use serde_json::json;

use crate::R;
use crate::args::Args;
use crate::ctx::Ctx;
use crate::login::visit;
use crate::phase::{Phase, Rounds, each};
use crate::report::{base, finish, merge};

pub async fn run(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    let conc: usize = a.num("conc", 4);
    let rounds = Rounds::new(a);
    a.check()?;
    let mut first = Phase::default();
    all(&cx, conc, &mut first).await?;
    let mut later = Phase::default();
    for measured in rounds {
        let later = if measured { &mut later } else { &mut Phase::default() };
        all(&cx, conc, later).await?;
    }
    let mut v = base(&cx, a);
    merge(
        &mut v,
        json!({"users": cx.users, "conc": conc, "first": first.json(), "later": later.json(), "cpu_us_per_later": later.cost()}),
    );
    merge(&mut v, (first + later).whole());
    Ok(finish(&cx, v))
}

async fn all(cx: &Rc<Ctx>, conc: usize, phase: &mut Phase) -> R<()> {
    let users = (0..cx.users).collect();
    let come_and_go = each(users, conc, |user| {
        let cx = Rc::clone(cx);
        async move { visit(&cx, &cx.user(user), "logon").await.map(|()| user) }
    });
    phase.measure(cx, cx.users, come_and_go).await.map(drop)
}
