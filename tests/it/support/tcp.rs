//! Clients over TCP, as scripts want them.
//!
//! After each whole stanza a client asks the server for a sign of life and waits for it: the server
//! has then done everything that came before. So nothing depends on how fast it is.

use super::{PATIENCE, TestNode, until};
use actors::testkit::{
    client_framer, receive,
    script::{Got, Wire},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use xmpp::{Element, framer::Framer, ns, stanza::Kind};

/// What ids of the signs of life begin with.
const SIGN: &str = "sign-of-life-";

struct Client {
    stream: TcpStream,
    framer: Framer,
    got: VecDeque<Got>,
    bound: bool,
    acks: bool,
    ended: bool,
    signs: u64,
}

impl Client {
    async fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        Self {
            stream,
            framer: client_framer(),
            got: VecDeque::new(),
            bound: false,
            acks: false,
            ended: false,
            signs: 0,
        }
    }

    async fn write(&mut self, bytes: &str) {
        // a server that has closed already is for the next step to notice
        drop(self.stream.write_all(bytes.as_bytes()).await);
    }

    /// Reads once.
    async fn read(&mut self) {
        let mut bytes = vec![0; 16 << 10];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut bytes)).await;
        match read.expect("the server says something") {
            Ok(0) | Err(_) => {
                self.ended = true;
                self.got.push_back(Got::Eof);
            }
            Ok(n) => {
                let before = self.got.len();
                receive(&mut self.framer, &bytes[..n], &mut self.got).unwrap();
                for got in self.got.iter().skip(before) {
                    if let Got::Element(element) = got {
                        self.bound |= element.name() == "resumed"
                            || element.child(ns::BIND, "bind").is_some() && element.name() == "iq";
                        self.acks |= matches!(element.name(), "enabled" | "resumed");
                    }
                    self.ended |= matches!(got, Got::Close);
                }
            }
        }
    }

    /// Has the server show that it has done everything so far. `asked`: acknowledgements that the
    /// script asked for and that come first.
    async fn settle(&mut self, asked: usize) {
        if !self.bound || self.ended {
            return;
        }
        self.signs += 1;
        let id = format!("{SIGN}{}", self.signs);
        if self.acks {
            self.write(&format!("<r xmlns='{}'/>", ns::SM)).await;
        } else {
            let ping = format!("<iq type='get' id='{id}'><ping xmlns='{}'/></iq>", ns::PING);
            self.write(&ping).await;
        }
        let acks = self.acks;
        let is_sign = |e: &Element| {
            if acks { e.name() == "a" } else { e.attr("id").is_some_and(|i| i == id) }
        };
        let mut left = if acks { asked + 1 } else { 1 };
        let mut seen = 0;
        loop {
            while let Some(got) = self.got.get(seen) {
                seen += 1;
                if let Got::Element(element) = got
                    && is_sign(element)
                {
                    left -= 1;
                    if left == 0 {
                        self.got.remove(seen - 1);
                        return;
                    }
                }
            }
            if self.ended {
                return;
            }
            self.read().await;
        }
    }
}

/// Clients of one server, or of the nodes of a cluster: on which they are is said by name; of others every second is on another one.
pub struct Tcp<'a> {
    addresses: Vec<SocketAddr>,
    nodes: Vec<&'a TestNode>,
    places: BTreeMap<String, usize>,
    clients: BTreeMap<String, Client>,
}

impl<'a> Tcp<'a> {
    /// Clients of a node in this process.
    pub fn of(node: &'a TestNode) -> Self {
        Self::of_all(&[node], &[])
    }

    /// Clients of nodes in this process.
    pub fn of_all(nodes: &[&'a TestNode], places: &[(&str, usize)]) -> Self {
        let places = places.iter().map(|(name, place)| ((*name).to_owned(), *place)).collect();
        let addresses = nodes.iter().map(|node| node.c2s()).collect();
        Self { addresses, nodes: nodes.to_vec(), places, clients: BTreeMap::new() }
    }

    /// Clients of whatever listens there; its accounts have to be there.
    pub fn to(address: SocketAddr) -> Self {
        let (nodes, places, clients) = Default::default();
        Self { addresses: vec![address], nodes, places, clients }
    }

    async fn settle_all(&mut self) {
        for client in self.clients.values_mut() {
            client.settle(0).await;
        }
    }

    fn client(&mut self, name: &str) -> &mut Client {
        self.clients.get_mut(name).unwrap_or_else(|| panic!("there is no client {name}"))
    }

    /// Waits until the server has noticed whose connections have ended.
    async fn settle_ends(&self) {
        if !self.nodes.is_empty() {
            until("the server notices the end of a connection", || {
                self.nodes.iter().map(|node| node.connections()).sum::<usize>()
                    <= self.clients.len()
            })
            .await;
        }
    }
}

impl Wire for Tcp<'_> {
    async fn account(&mut self, jid: &str, password: &str) {
        if let Some(node) = self.nodes.first() {
            node.account(jid, password).await;
        }
    }

    async fn connect(&mut self, name: &str) {
        self.clients.remove(name);
        self.settle_ends().await;
        let next = self.places.len() % self.addresses.len();
        let place = *self.places.entry(name.to_owned()).or_insert(next);
        let client = Client::connect(self.addresses[place % self.addresses.len()]).await;
        self.clients.insert(name.to_owned(), client);
    }

    async fn send(&mut self, name: &str, bytes: &str, restart: bool) {
        let client = self.client(name);
        if restart {
            client.framer.restart();
        }
        client.write(bytes).await;
        let Some(element) = Element::parse_in_stream(bytes.as_bytes()) else { return };
        if Kind::parse(element.name()).is_some() || element.name() == "r" {
            client.settle(usize::from(element.name() == "r")).await;
        }
    }

    async fn next(&mut self, name: &str, wait: bool) -> Got {
        if !wait {
            self.settle_all().await;
            self.client(name).settle(0).await;
        }
        let client = self.client(name);
        while wait && client.got.is_empty() && !client.ended {
            client.read().await;
        }
        // the end of the stream comes before the end of the connection
        if wait && client.got.is_empty() {
            client.read().await;
        }
        client.got.pop_front().unwrap_or(Got::Nothing)
    }

    async fn cut(&mut self, name: &str) {
        self.clients.remove(name);
        self.settle_ends().await;
    }

    async fn pass(&mut self, _: Duration) -> bool {
        false
    }
}
