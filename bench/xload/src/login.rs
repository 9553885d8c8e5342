//! From the first byte to a bound resource: stream negotiation (RFC 6120), SASL, SASL2 with Bind 2 (XEP-0388, XEP-0386),
//! stream management (XEP-0198) and the initial presence.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::task::spawn_local;

use crate::R;
use crate::conn::Conn;
use crate::ctx::{Ctx, Sasl2, Tls};
use crate::sasl::{self, Mech, Scram};
use crate::xml;

impl Conn {
    pub async fn open(&mut self, cx: &Ctx, user: Option<&str>) -> R<Vec<u8>> {
        self.sc.reset();
        self.buf.clear();
        // some servers offer SASL2 only to a client that tells who it is
        let from = match user {
            Some(u) if cx.sasl2 != Sasl2::Off => format!(" from='{u}@{}'", cx.domain),
            _ => String::new(),
        };
        let h = format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='{}'{from} version='1.0'>",
            cx.domain
        );
        self.send(h.as_bytes()).await?;
        self.features().await
    }
    async fn features(&mut self) -> R<Vec<u8>> {
        let r = self.stanza().await?;
        let f = self.bytes(&r).to_vec();
        if !f.starts_with(b"<stream:features") && !f.starts_with(b"<features") {
            return Err(format!("expected features, got {}", String::from_utf8_lossy(&f)));
        }
        Ok(f)
    }
    /// connect, open the stream, TLS as configured; returns the last features
    pub async fn pre_auth(cx: &Ctx, at: SocketAddr, user: Option<&str>) -> R<(Conn, Vec<u8>)> {
        let mut c = Conn::connect(cx, at).await?;
        if cx.tls == Tls::Direct {
            c.tls(cx).await?;
        }
        let mut f = c.open(cx, if cx.tls == Tls::Starttls { None } else { user }).await?;
        if cx.tls == Tls::Starttls {
            if !xml::has(&f, "urn:ietf:params:xml:ns:xmpp-tls") {
                return Err("STARTTLS is not offered".into());
            }
            c.send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
            let r = c.stanza().await?;
            if !c.bytes(&r).starts_with(b"<proceed") {
                return Err(format!("starttls: {}", String::from_utf8_lossy(c.bytes(&r))));
            }
            c.tls(cx).await?;
            f = c.open(cx, user).await?;
        }
        Ok((c, f))
    }
    async fn auth_old(&mut self, cx: &Ctx, user: &str, f: &[u8]) -> R<()> {
        let want = format!(">{}<", cx.mech.name());
        if !xml::has(f, &want) {
            return Err(format!(
                "{} is not offered: {}",
                cx.mech.name(),
                String::from_utf8_lossy(f)
            ));
        }
        const NS: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
        if cx.mech == Mech::Plain {
            let m = format!(
                "<auth xmlns='{NS}' mechanism='PLAIN'>{}</auth>",
                sasl::plain(user, &cx.password)
            );
            self.send(m.as_bytes()).await?;
            let r = self.stanza().await?;
            if !self.bytes(&r).starts_with(b"<success") {
                return Err(format!("auth: {}", String::from_utf8_lossy(self.bytes(&r))));
            }
            return Ok(());
        }
        let (mut s, first) = Scram::new(cx.mech, user, cx.rnd());
        let m = format!("<auth xmlns='{NS}' mechanism='{}'>{first}</auth>", cx.mech.name());
        self.send(m.as_bytes()).await?;
        let r = self.stanza().await?;
        if !self.bytes(&r).starts_with(b"<challenge") {
            return Err(format!("auth: {}", String::from_utf8_lossy(self.bytes(&r))));
        }
        let ch = xml::text(self.bytes(&r), "challenge").unwrap_or(b"").to_vec();
        let resp = s.challenge(&ch, &cx.password, &cx.cache)?;
        self.send(format!("<response xmlns='{NS}'>{resp}</response>").as_bytes()).await?;
        let r = self.stanza().await?;
        let b = self.bytes(&r);
        if !b.starts_with(b"<success") {
            return Err(format!("auth: {}", String::from_utf8_lossy(b)));
        }
        s.verify(xml::text(b, "success").unwrap_or(b""))
    }
    /// XEP-0388 with XEP-0386 inline; true when the resource is bound by it
    async fn auth_sasl2(&mut self, cx: &Ctx, user: &str, f: &[u8]) -> R<bool> {
        const NS: &str = "urn:xmpp:sasl:2";
        let bind = if xml::has(f, "urn:xmpp:bind:0") {
            "<bind xmlns='urn:xmpp:bind:0'><tag>xload</tag></bind>"
        } else {
            ""
        };
        let mut scram = None;
        let first = if cx.mech == Mech::Plain {
            sasl::plain(user, &cx.password)
        } else {
            let (s, m) = Scram::new(cx.mech, user, cx.rnd());
            scram = Some(s);
            m
        };
        let m = format!(
            "<authenticate xmlns='{NS}' mechanism='{}'><initial-response>{first}</initial-response>{bind}</authenticate>",
            cx.mech.name()
        );
        self.send(m.as_bytes()).await?;
        let mut r = self.stanza().await?;
        if let Some(s) = &mut scram {
            if !self.bytes(&r).starts_with(b"<challenge") {
                return Err(format!("auth: {}", String::from_utf8_lossy(self.bytes(&r))));
            }
            let ch = xml::text(self.bytes(&r), "challenge").unwrap_or(b"").to_vec();
            let resp = s.challenge(&ch, &cx.password, &cx.cache)?;
            self.send(format!("<response xmlns='{NS}'>{resp}</response>").as_bytes()).await?;
            r = self.stanza().await?;
        }
        let b = self.bytes(&r).to_vec();
        if !b.starts_with(b"<success") {
            return Err(format!("auth: {}", String::from_utf8_lossy(&b)));
        }
        if let Some(s) = &scram {
            s.verify(xml::text(&b, "additional-data").unwrap_or(b""))?;
        }
        if xml::has(&b, "<bound") {
            self.jid =
                String::from_utf8_lossy(xml::text(&b, "authorization-identifier").unwrap_or(b""))
                    .into_owned();
            return Ok(true);
        }
        Ok(false)
    }
    /// everything up to and including bind
    pub async fn login(cx: &Ctx, user: &str, resource: &str) -> R<Conn> {
        Conn::login_at(cx, cx.addr(0), user, resource).await
    }
    /// the same at one of several nodes
    pub async fn login_at(cx: &Ctx, at: SocketAddr, user: &str, resource: &str) -> R<Conn> {
        match tokio::time::timeout(cx.timeout, Conn::login_(cx, at, user, resource)).await {
            Ok(r) => r,
            Err(_) => Err("login timed out".into()),
        }
    }
    async fn login_(cx: &Ctx, at: SocketAddr, user: &str, resource: &str) -> R<Conn> {
        let (mut c, f) = Conn::pre_auth(cx, at, Some(user)).await?;
        let s2 = xml::has(&f, "urn:xmpp:sasl:2");
        let mut bound = false;
        let feats;
        if cx.sasl2 != Sasl2::Off && s2 {
            bound = c.auth_sasl2(cx, user, &f).await?;
            feats = c.features().await?; // no stream restart
        } else if cx.sasl2 == Sasl2::Require {
            return Err("SASL2 is not offered".into());
        } else {
            c.auth_old(cx, user, &f).await?;
            feats = c.open(cx, None).await?;
        }
        if !bound {
            c.bind(resource).await?;
            // RFC 3921 session, only where the server says it is not optional
            if cx.session || (xml::has(&feats, "xmpp-session") && !xml::has(&feats, "<optional")) {
                c.send(b"<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>").await?;
                let r = c.stanza().await?;
                if xml::attr(c.bytes(&r), "type") != Some("result") {
                    return Err(format!("session: {}", String::from_utf8_lossy(c.bytes(&r))));
                }
            }
        }
        if c.jid.is_empty() {
            return Err("no JID was bound".into());
        }
        c.t_bound = c.t_start.elapsed();
        if cx.sm {
            c.enable().await?;
        }
        Ok(c)
    }
    pub(crate) async fn bind(&mut self, resource: &str) -> R<()> {
        let m = format!(
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind></iq>"
        );
        self.send(m.as_bytes()).await?;
        let r = self.stanza().await?;
        let b = self.bytes(&r);
        if xml::attr(b, "type") != Some("result") {
            return Err(format!("bind: {}", String::from_utf8_lossy(b)));
        }
        self.jid = String::from_utf8_lossy(xml::text(b, "jid").unwrap_or(b"")).into_owned();
        Ok(())
    }
    /// XEP-0198, of a session that can be resumed
    pub(crate) async fn enable(&mut self) -> R<()> {
        self.send(b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await?;
        let r = self.stanza().await?;
        let b = self.bytes(&r);
        if !b.starts_with(b"<enabled") {
            return Err(format!("sm: {}", String::from_utf8_lossy(b)));
        }
        self.sm_id = xml::attr(b, "id").unwrap_or_default().to_owned();
        (self.sm, self.h) = (true, 0);
        Ok(())
    }
    /// over a connection that has logged on and bound nothing: the `h` of `<resumed/>`, or `<failed/>` as it came
    pub(crate) async fn take_up(&mut self, old: &Conn) -> R<Result<u32, String>> {
        let (h, id) = (old.h, &old.sm_id);
        let m = format!("<resume xmlns='urn:xmpp:sm:3' h='{h}' previd='{id}'/>");
        self.send(m.as_bytes()).await?;
        let r = self.stanza().await?;
        let b = self.bytes(&r);
        let handled = xml::attr(b, "h").and_then(|h| h.parse().ok());
        let Some(handled) = handled.filter(|_| b.starts_with(b"<resumed")) else {
            return Ok(Err(String::from_utf8_lossy(b).into_owned()));
        };
        (self.sm, self.h) = (true, h);
        self.jid.clone_from(&old.jid);
        self.sm_id.clone_from(&old.sm_id);
        Ok(Ok(handled))
    }
    /// a new connection for a session whose old one was cut (XEP-0198 section 5); the answer's `h`
    pub async fn resume(cx: &Ctx, user: &str, old: &Conn) -> R<(Conn, u32)> {
        match tokio::time::timeout(cx.timeout, Conn::resume_(cx, user, old)).await {
            Ok(r) => r,
            Err(_) => Err("resumption timed out".into()),
        }
    }
    async fn resume_(cx: &Ctx, user: &str, old: &Conn) -> R<(Conn, u32)> {
        let mut c = Conn::authenticated(cx, cx.addr(0), user).await?;
        let handled = c.take_up(old).await?.map_err(|failed| format!("resume: {failed}"))?;
        c.t_bound = c.t_start.elapsed();
        Ok((c, handled))
    }
    /// a connection that has logged on, and bound nothing
    pub(crate) async fn authenticated(cx: &Ctx, at: SocketAddr, user: &str) -> R<Conn> {
        let (mut c, f) = Conn::pre_auth(cx, at, Some(user)).await?;
        c.auth_old(cx, user, &f).await?;
        c.open(cx, None).await?;
        Ok(c)
    }
    /// initial presence; waits for the server's copy of it (RFC 6121 4.2.2)
    pub async fn online(&mut self, cx: &Ctx) -> R<()> {
        match tokio::time::timeout(cx.timeout, self.online_(cx)).await {
            Ok(r) => r,
            Err(_) => Err("initial presence timed out".into()),
        }
    }
    async fn online_(&mut self, cx: &Ctx) -> R<()> {
        self.send(b"<presence/>").await?;
        if !cx.self_presence {
            return Ok(());
        }
        loop {
            let r = self.stanza().await?;
            let b = self.bytes(&r);
            if xml::name(b) == b"presence"
                && xml::attr(b, "from") == Some(self.jid.as_str())
                && xml::attr(b, "type").is_none()
            {
                return Ok(());
            }
        }
    }
}

/// log `n` users on, `conc` at a time, with presence, at the nodes by turns; an error ends it
pub async fn logon_all(
    cx: &Rc<Ctx>,
    n: usize,
    conc: usize,
    resource: &'static str,
    presence: bool,
) -> R<Vec<Conn>> {
    let next = Rc::new(Cell::new(0usize));
    let mut hs = vec![];
    for _ in 0..conc.min(n) {
        let (cx, next) = (Rc::clone(cx), Rc::clone(&next));
        hs.push(spawn_local(async move {
            let mut v = vec![];
            loop {
                let i = next.get();
                if i >= n {
                    return Ok::<_, String>(v);
                }
                next.set(i + 1);
                let mut c = Conn::login_at(&cx, cx.addr(i), &cx.user(i), resource)
                    .await
                    .map_err(|e| format!("user {i}: {e}"))?;
                if presence {
                    c.online(&cx).await.map_err(|e| format!("user {i}: {e}"))?;
                }
                v.push((i, c));
            }
        }));
    }
    let mut all = vec![];
    for h in hs {
        all.extend(h.await.map_err(|e| e.to_string())??);
    }
    all.sort_by_key(|x| x.0);
    Ok(all.into_iter().map(|x| x.1).collect())
}

/// Closes all streams at once and awaits the server's ends of them.
pub async fn close_all(cx: &Rc<Ctx>, conns: Vec<Conn>) {
    let closing: Vec<_> = conns
        .into_iter()
        .map(|c| {
            let cx = Rc::clone(cx);
            spawn_local(async move {
                if let Err(e) = c.close(&cx).await {
                    cx.err("close", &e);
                }
            })
        })
        .collect();
    for c in closing {
        let _ = c.await;
    }
}

/// A user comes online and leaves.
pub async fn visit(cx: &Ctx, user: &str, resource: &str) -> R<()> {
    let mut c = Conn::login(cx, user, resource).await?;
    c.online(cx).await?;
    c.close(cx).await
}
