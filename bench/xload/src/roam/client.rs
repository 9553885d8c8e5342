//! One client: connects, resumes or logs on, talks, loses its connection, comes back.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Crowd, Phase, now};
use crate::R;
use crate::conn::Conn;
use crate::xml::{self, Ev};

/// How often a client tries to resume, when it is told anything but that there is no such session.
const RESUMES: usize = 5;

/// A stanza that the server has not counted yet; a message has a number.
struct Unacked {
    id: Option<usize>,
    text: String,
}

/// Why a connection is not used any more.
enum Over {
    Lost(String),
    /// The client cut it, and will resume.
    Cut,
    /// The stream was closed in order.
    Left,
}

pub struct Client {
    crowd: Rc<Crowd>,
    me: usize,
    phase: watch::Receiver<Phase>,
    /// How many may log on for the first time at once.
    turns: Rc<Semaphore>,
    /// The connection; a lost one is what is left of a session that can be resumed.
    conn: Option<Conn>,
    /// The number of its session, and stanzas of it that the server has counted.
    session: u64,
    /// When that began.
    begun: Phase,
    counted: u32,
    unacked: VecDeque<Unacked>,
    /// The address of the last connection.
    at: usize,
    /// When the last one ended.
    lost: f64,
    /// Since when the server owes an answer to `<r/>`.
    asked: Option<Instant>,
    /// What `<resume/>` was answered with since the connection was lost.
    answers: Vec<String>,
}

impl Client {
    pub fn new(
        crowd: Rc<Crowd>,
        me: usize,
        phase: watch::Receiver<Phase>,
        turns: Rc<Semaphore>,
    ) -> Self {
        let at = me % crowd.cx.nodes();
        Self {
            crowd,
            me,
            phase,
            turns,
            conn: None,
            session: 0,
            begun: Phase::Talk,
            counted: 0,
            unacked: VecDeque::new(),
            at,
            lost: now(),
            asked: None,
            answers: Vec::new(),
        }
    }

    fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub async fn live(mut self) {
        let mut first = true;
        loop {
            self.come_back(first).await;
            if first {
                first = false;
                self.crowd.joined.set(self.crowd.joined.get() + 1);
            }
            self.crowd.is_at(self.me, Some(self.at));
            let over = self.serve().await;
            self.lost = now();
            self.crowd.is_at(self.me, None);
            self.crowd.is_settled(self.me, None);
            self.asked = None;
            match over {
                Over::Lost(why) => {
                    let why: String = why.chars().take(90).collect();
                    self.crowd.count(&format!("lost: {why}"));
                }
                Over::Cut => {
                    self.crowd.count("cut");
                    sleep(self.crowd.about(1.0)).await;
                }
                Over::Left if self.phase() == Phase::End => return,
                Over::Left => {
                    self.conn = None;
                    if self.phase() == Phase::Talk {
                        self.crowd.count("left");
                        let away = self.crowd.about(6.0);
                        let _ = timeout(away, self.phase.changed()).await;
                    }
                }
            }
        }
    }

    /// Until it is connected. The first time at its own node, then rather at another one than before.
    async fn come_back(&mut self, first: bool) {
        let turns = Rc::clone(&self.turns);
        let _turn = match first {
            true => turns.acquire().await.ok(),
            false => None,
        };
        // who is not served tries less often, and waits for longer: else all of a crowd that is too large for a server come for nothing
        let mut patience = 1;
        loop {
            if !first {
                let nodes = self.crowd.cx.nodes();
                let other = (self.crowd.chance() * nodes as f64) as usize;
                self.at = other % nodes;
            }
            let error = match timeout(self.crowd.silence * patience, self.connect()).await {
                Ok(Ok(how)) => {
                    let first = self.answers.first().map_or(how, String::as_str);
                    self.crowd.came_back(self.me, self.lost, how, first);
                    self.answers.clear();
                    return;
                }
                Ok(Err(error)) => error,
                Err(_) => "it takes too long".to_owned(),
            };
            let error: String = error.chars().take(90).collect();
            self.crowd.count(&format!("not connected: {error}"));
            sleep((Duration::from_millis(100) + self.crowd.about(0.4)) * patience).await;
            patience = (patience + 1).min(6);
        }
    }

    async fn connect(&mut self) -> R<&'static str> {
        let (crowd, me) = (Rc::clone(&self.crowd), self.me);
        let cx = &crowd.cx;
        let mut new = Conn::authenticated(cx, cx.addr(self.at), &cx.user(me)).await?;
        let Some(old) = &self.conn else {
            self.begin(new).await?;
            return Ok("logged on");
        };
        match new.take_up(old).await? {
            Ok(handled) => {
                self.conn = Some(new);
                self.resumed(handled).await?;
                Ok("resumed")
            }
            Err(failed) => {
                let why = condition(failed.as_bytes(), "<failed");
                crowd.count(&format!("refused: {why}"));
                self.answers.push(why.clone());
                // the session may be there, but for who is told that it is not
                if why != "item-not-found" && self.answers.len() < RESUMES {
                    return Err(format!("<resume/>: {why}"));
                }
                if let Some(handled) =
                    xml::attr(failed.as_bytes(), "h").and_then(|h| h.parse().ok())
                {
                    self.is_counted(handled);
                }
                self.begin(new).await?;
                Ok("logged on anew")
            }
        }
    }

    /// The session goes on: what the server has not handled is sent again.
    async fn resumed(&mut self, handled: u32) -> R<()> {
        if handled.wrapping_sub(self.counted) as i32 >= 0 {
            self.is_counted(handled);
        } else {
            self.crowd.count("counted less than before");
        }
        // of what comes next the server counts on from here
        self.counted = handled;
        let mut texts: String = self.unacked.iter().map(|u| u.text.as_str()).collect();
        texts.push_str("<r xmlns='urn:xmpp:sm:3'/>");
        self.write(&texts).await
    }

    /// A new session. What the last one's was not counted is sent in it.
    async fn begin(&mut self, mut new: Conn) -> R<()> {
        new.bind(&format!("r{}", self.me)).await?;
        new.enable().await?;
        self.session = self.crowd.sessions.get() + 1;
        self.crowd.sessions.set(self.session);
        (self.begun, self.counted) = (self.phase(), 0);
        self.unacked.retain(|u| u.id.is_some());
        self.unacked.push_front(Unacked { id: None, text: "<presence/>".to_owned() });
        for id in self.unacked.iter().filter_map(|u| u.id) {
            self.crowd.ledger.borrow_mut().sent_anew(id);
        }
        self.conn = Some(new);
        let mut texts: String = self.unacked.iter().map(|u| u.text.as_str()).collect();
        texts.push_str("<r xmlns='urn:xmpp:sm:3'/>");
        self.write(&texts).await
    }

    async fn write(&mut self, text: &str) -> R<()> {
        if text.ends_with("<r xmlns='urn:xmpp:sm:3'/>") {
            self.asked.get_or_insert(Instant::now());
        }
        match &mut self.conn {
            Some(conn) => conn.send(text.as_bytes()).await,
            None => Ok(()),
        }
    }

    /// The server has handled so many stanzas of this session.
    fn is_counted(&mut self, h: u32) {
        while h.wrapping_sub(self.counted) as i32 > 0 {
            let Some(done) = self.unacked.pop_front() else { break };
            self.counted = self.counted.wrapping_add(1);
            if let Some(id) = done.id {
                let mut ledger = self.crowd.ledger.borrow_mut();
                let to = self.crowd.place(ledger.to(id));
                ledger.accepted(id, Some(self.at), to);
            }
        }
    }

    /// While it is connected.
    async fn serve(&mut self) -> Over {
        match self.serve_().await {
            Ok(over) => over,
            Err(error) => {
                if let Some(conn) = &mut self.conn {
                    conn.cut();
                }
                Over::Lost(error)
            }
        }
    }

    async fn serve_(&mut self) -> R<Over> {
        let pause = |rate: f64, crowd: &Crowd| match rate > 0.0 {
            true => crowd.about(1.0 / rate),
            false => Duration::from_hours(24),
        };
        let mut say = Instant::now() + pause(self.crowd.rate, &self.crowd);
        let mut ping = Instant::now() + self.crowd.ping;
        let stay = match self.crowd.stay > 0.0 {
            true => self.crowd.about(self.crowd.stay),
            false => Duration::from_hours(24),
        };
        let leave = Instant::now() + stay;
        loop {
            self.take_all().await?;
            let phase = self.phase();
            let counted = self.unacked.is_empty();
            let settled = if matches!(phase, Phase::Look(_)) { self.begun } else { phase };
            self.crowd.is_settled(self.me, counted.then_some(settled));
            let end = phase == Phase::End || settled != phase;
            if end && counted {
                return self.close().await;
            }
            let silent = self.asked.map(|at| at + self.crowd.silence);
            let now = Instant::now();
            if silent.is_some_and(|at| now >= at) {
                return Err("the server says nothing".to_owned());
            }
            let talks = phase == Phase::Talk;
            if talks && now >= leave {
                match self.crowd.chance() < 0.7 {
                    true => {
                        if let Some(conn) = &mut self.conn {
                            conn.cut();
                        }
                        return Ok(Over::Cut);
                    }
                    false if counted => return self.close().await,
                    false => {}
                }
            }
            if talks && now >= say {
                self.say().await?;
                say = now + pause(self.crowd.rate, &self.crowd);
                ping = now + self.crowd.ping;
            } else if now >= ping {
                self.write("<r xmlns='urn:xmpp:sm:3'/>").await?;
                ping = now + self.crowd.ping;
            }
            let mut next = ping.min(silent.unwrap_or(ping));
            if talks {
                next = next.min(say).min(leave.max(now + Duration::from_millis(50)));
            }
            let Some(conn) = &mut self.conn else { return Err("no connection".to_owned()) };
            tokio::select! {
                biased;
                more = conn.fill() => if !more? { return Err("the server closed the connection".to_owned()) },
                _ = self.phase.changed() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// A message to anybody else.
    async fn say(&mut self) -> R<()> {
        let (crowd, n) = (Rc::clone(&self.crowd), self.crowd.clients);
        let to = (self.me + 1 + (crowd.chance() * (n - 1) as f64) as usize) % n;
        let id = crowd.ledger.borrow_mut().sent(self.me, to);
        let (bare, filler) = (crowd.cx.bare(to), "x".repeat(crowd.size));
        let text =
            format!("<message type='chat' to='{bare}' id='{id}'><body>{filler}</body></message>");
        self.unacked.push_back(Unacked { id: Some(id), text: text.clone() });
        self.write(&(text + "<r xmlns='urn:xmpp:sm:3'/>")).await
    }

    /// All that is in the buffer.
    async fn take_all(&mut self) -> R<()> {
        let mut answer = String::new();
        while let Some(conn) = &mut self.conn {
            match conn.try_next()? {
                Some(Ev::Stanza(r)) => answer.push_str(&self.take(&r)?),
                Some(Ev::Close) => return Err("the server closed the stream".to_owned()),
                Some(Ev::Open(_)) => {}
                None => break,
            }
        }
        match answer.is_empty() {
            true => Ok(()),
            false => self.write(&answer).await,
        }
    }

    /// What is to be answered to it.
    fn take(&mut self, r: &Range<usize>) -> R<String> {
        let Some(conn) = &self.conn else { return Ok(String::new()) };
        let b = conn.bytes(r);
        match xml::name(b) {
            b"r" => return Ok(conn.sm_ack()),
            b"a" => {
                let h = xml::attr(b, "h").and_then(|h| h.parse().ok());
                self.asked = None;
                if let Some(h) = h {
                    self.is_counted(h);
                }
            }
            b"message" => {
                let id = xml::attr(b, "id").and_then(|id| id.parse().ok()).unwrap_or(usize::MAX);
                let mut ledger = self.crowd.ledger.borrow_mut();
                if xml::attr(b, "type") == Some("error") {
                    ledger.bounced(id, &condition(b, "<error"));
                } else {
                    let delayed = xml::has(b, "urn:xmpp:delay");
                    ledger.came(id, self.me, self.session, Some(self.at), delayed);
                }
            }
            b"presence" | b"iq" => {}
            _ if b.starts_with(b"<stream:error") => {
                return Err(String::from_utf8_lossy(b)
                    .replace("<stream:error>", "")
                    .replace(" xmlns='urn:ietf:params:xml:ns:xmpp-streams'", ""));
            }
            _ => {}
        }
        Ok(String::new())
    }

    /// In order: what came is acknowledged, and the server ends the stream too.
    async fn close(&mut self) -> R<Over> {
        let ack = self.conn.as_ref().map(Conn::sm_ack).unwrap_or_default();
        self.write(&(ack + "</stream:stream>")).await?;
        let until = Instant::now() + self.crowd.silence;
        while let Some(conn) = &mut self.conn {
            match conn.try_next()? {
                Some(Ev::Close) => break,
                Some(Ev::Stanza(r)) => drop(self.take(&r)?),
                Some(Ev::Open(_)) => {}
                None => match tokio::time::timeout_at(until, conn.fill()).await {
                    Ok(Ok(true)) => {}
                    // nobody says that it did: what is in doubt comes again
                    _ => break,
                },
            }
        }
        Ok(Over::Left)
    }
}

/// The condition in an element that begins so, by RFC 6120 section 8.3.3.
fn condition(b: &[u8], element: &str) -> String {
    let text = String::from_utf8_lossy(b);
    let after = text.split_once(element).map_or("", |(_, after)| after);
    let inside = after.split_once('<').map_or("", |(_, inside)| inside);
    inside.split([' ', '/', '>']).next().unwrap_or_default().to_owned()
}
