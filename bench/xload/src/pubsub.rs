//! `fanout-pubsub`: one publisher, M subscribers of a node (XEP-0060).

use std::rc::Rc;
use std::time::Duration;

use serde_json::json;

use crate::R;
use crate::args::Args;
use crate::conn::Conn;
use crate::ctx::Ctx;
use crate::fan::{Fan, Receivers, Source, measure, put};
use crate::login::logon_all;
use crate::report::{base, finish, merge};
use crate::window::Window;
use crate::xml;

const NS: &str = "http://jabber.org/protocol/pubsub";

pub async fn run(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    let m: usize = a.num("subscribers", 100);
    let window: usize = a.num("window", 4);
    let size: usize = a.num("size", 100);
    let persist: u32 = a.num("persist", 0);
    let full = a.str("to", "bare") == "full";
    let svc = a.str("pubsub", &format!("pubsub.{}", cx.domain));
    let w = Window::new(a);
    a.check()?;
    if cx.users < m + 1 {
        return Err("--users must be more than --subscribers".into());
    }
    let node = format!("xload{:x}", cx.rnd() & 0xffff_ffff);
    let f = Fan::new(&cx, &w, m, window, size);
    // user 0 publishes, users 1..=M are subscribed
    let mut conns = logon_all(&cx, m + 1, 32, "ps", true).await?;
    create(&cx, &mut conns[0], &svc, &node, persist).await?;
    for c in conns.iter_mut().skip(1) {
        let jid = if full { c.jid.clone() } else { xml::bare(&c.jid).to_owned() };
        let q = format!("<pubsub xmlns='{NS}'><subscribe node='{node}' jid='{jid}'/></pubsub>");
        let r = c.iq(&cx, "set", Some(&svc), "sub", &q).await?;
        if xml::attr(&r, "type") != Some("result") {
            return Err(format!("subscribe: {}", String::from_utf8_lossy(&r)));
        }
    }
    let all = Receivers::start(&f, conns, &Source::Node(node.clone()));
    let (f2, svc2, node2) = (Rc::clone(&f), svc.clone(), node.clone());
    let d = measure(&f, &w, Rc::clone(&all.outs[0]), move |b| {
        let q = f2.sent.get();
        let head = format!(
            "<iq type='set' to='{svc2}' id='p{q}'><pubsub xmlns='{NS}'><publish node='{node2}'><item id='i{q}'><entry xmlns='urn:xload:0'>"
        );
        b.extend_from_slice(head.as_bytes());
        f2.next_body(b);
        b.extend_from_slice(b"</entry></item></publish></pubsub></iq>");
    })
    .await;
    // leave nothing behind
    put(
        &all.outs[0],
        &format!(
            "<iq type='set' to='{svc}' id='del'><pubsub xmlns='{NS}#owner'><delete node='{node}'/></pubsub></iq>"
        ),
    );
    tokio::time::sleep(Duration::from_millis(500)).await;
    all.end(&cx).await;
    let mut v = base(&cx, a);
    merge(&mut v, f.json(&d));
    merge(&mut v, json!({"persist": persist, "to": if full { "full" } else { "bare" }}));
    merge(&mut v, d.json(&cx.pids));
    Ok(finish(&cx, v))
}

async fn create(cx: &Ctx, c: &mut Conn, svc: &str, node: &str, persist: u32) -> R<()> {
    let field = |k: &str, v: &str| format!("<field var='pubsub#{k}'><value>{v}</value></field>");
    let form = [
        format!("<field var='FORM_TYPE' type='hidden'><value>{NS}#node_config</value></field>"),
        field("access_model", "open"),
        field("persist_items", &persist.to_string()),
        field("max_items", "10"),
        field("send_last_published_item", "never"),
        field("deliver_payloads", "1"),
    ]
    .concat();
    let q = format!(
        "<pubsub xmlns='{NS}'><create node='{node}'/><configure><x xmlns='jabber:x:data' type='submit'>{form}</x></configure></pubsub>"
    );
    let r = c.iq(cx, "set", Some(svc), "cr", &q).await?;
    if xml::attr(&r, "type") != Some("result") {
        return Err(format!("create node: {}", String::from_utf8_lossy(&r)));
    }
    Ok(())
}
