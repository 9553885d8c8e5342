//! A little application: users have one session each, nodes send numbered items to them. What is not known is held until it is known.

use crate::{
    ledger::{Source, User},
    life::Life,
    seen::saw,
};
use bytes::Bytes;
use cluster::{
    BoxFuture, Entry, Record, RegistryError, SessionRegistry, Start, Taking, Token,
    relay::{Handing, Handler, Lane, Way},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Weak},
    time::Duration,
};
use supervision::Task;
use tokio::{sync::oneshot, time::Instant};

pub const USERS: usize = 5;
const RESOURCE: &str = "r";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mine {
    pub token: Token,
    pub lineage: u64,
}

/// What one start of a node has.
#[derive(Debug)]
pub struct App {
    pub sessions: BTreeMap<User, Mine>,
    pub sources: Vec<Source>,
    /// Which emptying of the registry it has published its sessions after.
    pub confirmed: u64,
    /// It is to do that.
    pub publish: Option<u64>,
    /// It is to do that before it acts.
    anew: bool,
    /// Some were not entered.
    unregistered: bool,
    /// Sessions of dead nodes that are this node's to go on with.
    pub gone: VecDeque<Entry>,
    ended: Vec<(User, Token)>,
    cache: BTreeMap<User, (Instant, Vec<Record>)>,
    start: Start,
    last: u64,
}

/// Where a user is.
enum Where {
    Here,
    There(Start),
    Nobody,
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    source: Source,
    user: User,
    number: u64,
    /// How often it was passed on. One that comes back does not wait behind itself: that is another lane.
    hops: u64,
}

impl Item {
    fn id(self) -> (Source, User, u64) {
        (self.source, self.user, self.number)
    }

    fn way(self) -> Way {
        let lane = self.source + self.hops * 10_000;
        Way { lane, pair: self.source * 100 + self.user as u64 + 1, hops: 0 }
    }
}

fn name(user: User) -> String {
    format!("user{user}")
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl App {
    pub fn new(start: Start) -> Self {
        Self {
            sessions: BTreeMap::new(),
            sources: Vec::new(),
            confirmed: 0,
            publish: None,
            anew: false,
            unregistered: false,
            gone: VecDeque::new(),
            ended: Vec::new(),
            cache: BTreeMap::new(),
            start,
            last: 0,
        }
    }

    /// Whoever sends, and whoever keeps the registry.
    pub fn starts(life: &Arc<Life>) {
        let registrar = Arc::clone(life);
        Task::alone(&life.system, "/registrar", async move { registrar.keeps_registry().await });
        for n in 0..2 {
            let source = life.world.0.ledger.lock().source();
            life.app.lock().sources.push(source);
            let life = Arc::clone(life);
            let system = life.system.clone();
            Task::alone(&system, &format!("/source-{n}"), async move { life.sends(source).await });
        }
    }

    fn token(&mut self) -> Token {
        self.last += 1;
        Token { node: self.start.node, incarnation: self.start.incarnation, session: self.last }
    }

    /// It was declared dead: which start that was.
    pub fn begins_anew(&mut self, life: &Life) -> Start {
        let before = std::mem::replace(&mut self.start, life.me());
        let mut ledger = life.world.0.ledger.lock();
        for mine in self.sessions.values_mut() {
            let old = mine.token;
            mine.token.incarnation = self.start.incarnation;
            ledger.lineage(mine.token, Some(old));
        }
        self.anew = true;
        before
    }

    fn entries(&self) -> Vec<Entry> {
        let entry = |(user, mine): (&User, &Mine)| Entry {
            user: name(*user).into(),
            record: record(mine.token),
        };
        self.sessions.iter().map(entry).collect()
    }

    /// It is drained: its clients go elsewhere.
    pub fn gives_up(&mut self) {
        for (user, mine) in std::mem::take(&mut self.sessions) {
            self.ended.push((user, mine.token));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.ended.is_empty() && self.gone.is_empty()
    }

    /// That session ends, if it is that one.
    fn ends(&mut self, user: User, token: Token) {
        if self.sessions.get(&user).is_some_and(|mine| mine.token == token) {
            self.sessions.remove(&user);
            self.ended.push((user, token));
        }
    }
}

fn record(token: Token) -> Record {
    Record { resource: RESOURCE.into(), token, priority: Some(0), seq: 0 }
}

fn user_of(entry: &Entry) -> User {
    entry.user.trim_start_matches("user").parse().unwrap_or_default()
}

impl Life {
    /// A client of that user connects here.
    pub async fn logs_on(self: Arc<Self>, user: User) {
        self.runs().await;
        if !self.view.may_act() || self.view.is_draining() {
            return;
        }
        let token = {
            let mut app = self.app.lock();
            let token = app.token();
            let lineage = self.world.0.ledger.lock().lineage(token, None);
            // there before it is entered: should the registry be emptied meanwhile, it is published
            if let Some(before) = app.sessions.insert(user, Mine { token, lineage }) {
                app.ended.push((user, before.token));
            }
            token
        };
        match self.client.bind(&name(user), record(token), 9, Taking::Replace).await {
            Ok(binding) => {
                let Some(old) = binding.replaced.map(|old| old.token) else { return };
                let (node, incarnation) = (old.node, old.incarnation);
                let ends = format!("E {user} {incarnation} {}", old.session);
                let way = Way { lane: 1_000_000 + user as u64, ..Way::default() };
                let to = Start { node, incarnation };
                if self.view.lives(to) && to != self.me() {
                    drop(self.relay().send(to, way, ends.into(), Handing::default()));
                }
            }
            Err(_) => self.app.lock().unregistered = true,
        }
    }

    async fn keeps_registry(self: Arc<Self>) {
        let mut rounds: u64 = 0;
        loop {
            self.sleeps(ms(200 + self.world.below(100))).await;
            rounds += 1;
            let (entries, start, publish, asked) = {
                let app = self.app.lock();
                let asked = app.anew || app.unregistered || app.publish.is_some();
                (app.entries(), app.start, app.publish, asked)
            };
            if (asked || rounds.is_multiple_of(10)) && !self.confirms(entries, start, publish).await
            {
                continue;
            }
            self.goes_on_with().await;
            let ended = self.app.lock().ended.pop();
            if let Some((user, token)) = ended
                && self.client.unbind(&name(user), RESOURCE, token).await.is_err()
            {
                self.app.lock().ended.push((user, token));
            }
        }
    }

    async fn confirms(&self, mine: Vec<Entry>, start: Start, publish: Option<u64>) -> bool {
        // one that was emptied does not know yet what others have
        let complete = async || self.client.lookup("nobody").await.is_ok();
        let anew = self.app.lock().anew;
        let before = !anew || complete().await;
        let Ok(others) = self.client.confirm(mine.clone()).await else { return false };
        let known_to_all = before && (!anew || complete().await);
        let mut app = self.app.lock();
        for entry in others {
            let user = user_of(&entry);
            let ours = mine.iter().find(|mine| mine.user == entry.user);
            ours.into_iter().for_each(|ours| app.ends(user, ours.record.token));
        }
        if app.start != start {
            return true;
        }
        let known: Vec<_> = mine.iter().map(|entry| entry.record.token).collect();
        app.unregistered &= app.sessions.values().any(|mine| !known.contains(&mine.token));
        if let Some(epoch) = publish {
            app.confirmed = epoch;
            app.publish = app.publish.filter(|later| *later != epoch);
        }
        if known_to_all && anew {
            app.anew = false;
            drop(app);
            self.view.is_ready(true);
        }
        true
    }

    /// Sessions of dead nodes.
    async fn goes_on_with(&self) {
        loop {
            if !self.view.may_act() || self.view.is_draining() {
                return;
            }
            let Some(entry) = self.app.lock().gone.pop_front() else { return };
            let (user, before) = (user_of(&entry), entry.record.token);
            let token = self.app.lock().token();
            match self.client.bind(&entry.user, record(token), 9, Taking::Keep).await {
                Ok(_) => {
                    let mut app = self.app.lock();
                    if app.start.incarnation != token.incarnation
                        || app.sessions.contains_key(&user)
                    {
                        app.ended.push((user, token));
                        continue;
                    }
                    let lineage = self.world.0.ledger.lock().lineage(token, Some(before));
                    app.sessions.insert(user, Mine { token, lineage });
                    drop(app);
                    saw("a session goes on elsewhere");
                    self.world.check();
                }
                Err(RegistryError::Unavailable { .. }) => {
                    let mut app = self.app.lock();
                    // it may have been done
                    app.ended.push((user, token));
                    app.gone.push_front(entry);
                    return;
                }
                Err(_) => {}
            }
        }
    }

    async fn sends(self: Arc<Self>, source: Source) {
        let mut number = 0;
        loop {
            self.sleeps(ms(100 + self.world.below(1500))).await;
            if !self.view.may_act() || self.view.is_draining() || !self.world.is_open() {
                continue;
            }
            let user = self.world.below(USERS as u64) as User;
            for _ in 0..=self.world.below(3) {
                number += 1;
                let item = Item { source, user, number, hops: 0 };
                self.world.0.ledger.lock().accepted(item.id(), self.me());
                self.routes(item).await;
            }
        }
    }

    /// From whoever sends: hands it over, or deals with it here.
    async fn routes(&self, item: Item) {
        loop {
            let target = self.whereabouts(item.user).await;
            let but = match target {
                Where::There(start) => Some(start),
                Where::Here | Where::Nobody => None,
                Where::Unknown => {
                    saw("held until known");
                    self.sleeps(ms(300)).await;
                    continue;
                }
            };
            if self.relay().is_on_way(item.way(), but) {
                saw("another way");
                self.relay().settled(item.way(), but).await;
                self.runs().await;
                // that took a while
                continue;
            }
            let Where::There(start) = target else {
                if self.deals(item, &target) {
                    return;
                }
                self.sleeps(ms(50)).await;
                continue;
            };
            if self.hands(start, item, None) {
                return;
            }
            saw("refused");
            self.sleeps(ms(100)).await;
        }
    }

    /// From another node, or back from a dead one: until it is dealt with.
    async fn passes_on(self: Arc<Self>, item: Item, incarnation: Option<u64>) {
        loop {
            let target = self.whereabouts(item.user).await;
            // declared dead: it has come back to its sender
            if incarnation.is_some_and(|incarnation| incarnation != self.me().incarnation) {
                return;
            }
            match target {
                Where::Here | Where::Nobody if self.deals(item, &target) => return,
                Where::There(start) => {
                    let (tell, told) = oneshot::channel();
                    let next = Item { hops: item.hops + 1, ..item };
                    if self.hands(start, next, Some(tell)) {
                        saw("passed on");
                        drop(told.await);
                        self.runs().await;
                        return;
                    }
                }
                _ => {}
            }
            self.sleeps(ms(100)).await;
        }
    }

    /// Deals with it, if this node may.
    fn deals(&self, item: Item, target: &Where) -> bool {
        if !self.view.may_act() {
            return false;
        }
        let here = self.app.lock().sessions.contains_key(&item.user);
        let (delivers, stores) = (here, !here && matches!(target, Where::Nobody));
        if delivers || stores {
            self.world.check();
            self.world.0.ledger.lock().dealt_with(item.id(), self.me(), stores);
        }
        delivers || stores
    }

    fn hands(&self, to: Start, item: Item, receipt: Option<oneshot::Sender<()>>) -> bool {
        if !self.view.lives(to) {
            return false;
        }
        self.world.0.ledger.lock().handed(item.id(), to);
        let Item { source, user, number, hops } = item;
        let bytes = format!("I {source} {user} {number} {hops}").into();
        let how = Handing { receipt, replaces: None };
        self.relay().send(to, item.way(), bytes, how).is_ok()
    }

    async fn whereabouts(&self, user: User) -> Where {
        self.runs().await;
        if self.app.lock().sessions.contains_key(&user) {
            return Where::Here;
        }
        let known = self.app.lock().cache.get(&user).cloned();
        let fresh = known.filter(|(at, _)| at.elapsed() < ms(1000));
        let records = match fresh {
            Some((_, records)) => records,
            None => match self.client.lookup(&name(user)).await {
                Ok(records) => {
                    let records = records.to_vec();
                    self.app.lock().cache.insert(user, (Instant::now(), records.clone()));
                    records
                }
                Err(_) => return Where::Unknown,
            },
        };
        let Some(token) = records.first().map(|record| record.token) else {
            return Where::Nobody;
        };
        let start = Start { node: token.node, incarnation: token.incarnation };
        if start == self.me() || !self.view.lives(start) {
            let mut app = self.app.lock();
            app.cache.remove(&user);
            // of a registry that goes on with what it was a while ago
            if start == self.me() && !app.sessions.values().any(|mine| mine.token == token) {
                app.ended.push((user, token));
            }
            return Where::Unknown;
        }
        Where::There(start)
    }
}

/// What comes by the relay.
pub struct Application(pub Weak<Life>);

enum Came {
    Item(Item),
    Ends(User, u64, u64),
}

fn read(bytes: &Bytes) -> Option<Came> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (kind, rest) = text.split_once(' ')?;
    let mut numbers = rest.split(' ').map(|number| number.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let (a, b, c) = (next()?, next()?, next()?);
    Some(match kind {
        "I" => Came::Item(Item { source: a, user: b as User, number: c, hops: next()? }),
        _ => Came::Ends(a as User, b, c),
    })
}

impl Handler for Application {
    fn take(&self, _: Start, _: Lane, item: Bytes) -> Option<BoxFuture<'static, ()>> {
        let life = self.0.upgrade()?;
        let item = match read(&item)? {
            Came::Item(item) => item,
            Came::Ends(user, incarnation, session) => {
                let token = Token { node: life.node, incarnation, session };
                life.app.lock().ends(user, token);
                return None;
            }
        };
        if life.is_running() && life.deals(item, &Where::Here) {
            return None;
        }
        let incarnation = life.me().incarnation;
        // what its cache has of the user is not true
        life.app.lock().cache.remove(&item.user);
        Some(Box::pin(life.passes_on(item, Some(incarnation))))
    }

    fn returned(&self, _: Start, _: Way, item: Bytes) -> Option<BoxFuture<'static, ()>> {
        let life = self.0.upgrade()?;
        let Came::Item(item) = read(&item)? else { return None };
        saw("came back");
        Some(Box::pin(life.passes_on(item, None)))
    }
}
