//! Clients of a [`Node`](super::node::Node): what they do with their ends of pipes.

use super::{
    START, client_framer, good, receive,
    script::{Got, Wire},
};
use crate::env::Env;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use storage::Account;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split},
    sync::mpsc,
    time::{sleep, timeout},
};
use xmpp::{
    framer::Framer,
    jid::BareJid,
    sasl::{Hash, ScramKeys},
};

/// Bytes that are on their way in one direction of a connection; what is more waits with its sender.
const PIPE: usize = 2 << 10;
/// How long a client waits for what must come: longer than the server waits for anything.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long it waits for what must not come.
const SILENCE: Duration = Duration::from_millis(500);

/// Some clients, one after the other: as a script has them.
#[derive(Debug)]
pub struct Outside {
    pub(super) env: Arc<Env>,
    pub(super) dock: mpsc::Sender<DuplexStream>,
    pub(super) all: BTreeMap<String, Client>,
}

#[derive(Debug)]
pub(super) struct Client {
    pipe: DuplexStream,
    framer: Framer,
    got: VecDeque<Got>,
    eof: bool,
}

impl Client {
    /// What came is looked at.
    fn take(&mut self, bytes: &[u8]) {
        good(receive(&mut self.framer, bytes, &mut self.got));
        if bytes.is_empty() {
            self.eof = true;
            self.got.push_back(Got::Eof);
        }
    }

    /// Sends, and reads meanwhile: a server that cannot write does not read.
    async fn send(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        let mut buffer = [0; PIPE];
        while !rest.is_empty() && !self.eof {
            let (mut reader, mut writer) = split(&mut self.pipe);
            let read = tokio::select! {
                biased;
                written = writer.write(rest) => match written {
                    Ok(n) => {
                        rest = rest.get(n..).unwrap_or_default();
                        continue;
                    }
                    // what was sent before its end is to be read yet
                    Err(_) => return,
                },
                read = reader.read(&mut buffer) => read.unwrap_or_default(),
            };
            self.take(buffer.get(..read).unwrap_or_default());
        }
    }

    async fn next(&mut self, wait: Duration) -> Got {
        let mut buffer = [0; PIPE];
        loop {
            if let Some(got) = self.got.pop_front() {
                return got;
            }
            if self.eof {
                return Got::Eof;
            }
            match timeout(wait, self.pipe.read(&mut buffer)).await {
                Ok(read) => self.take(buffer.get(..read.unwrap_or_default()).unwrap_or_default()),
                Err(_) => return Got::Nothing,
            }
        }
    }
}

impl Outside {
    /// The next thing a client gets within that time.
    pub async fn next_within(&mut self, name: &str, wait: Duration) -> Got {
        match self.all.get_mut(name) {
            Some(client) => client.next(wait).await,
            None => Got::Eof,
        }
    }
}

impl Wire for Outside {
    async fn account(&mut self, jid: &str, password: &str) {
        let user: BareJid = good(jid.parse());
        // one round is enough for who does not break it: thousands of runs log on
        let derive = |hash| ScramKeys::derive(hash, password, b"salt", 1);
        let keys = Hash::ALL.into_iter().filter_map(derive).collect();
        let account = Account { keys, created: START, ..Account::default() };
        assert_eq!(self.env.stores.accounts.create(vec![(user, account)]).await, Ok(1));
    }

    async fn connect(&mut self, name: &str) {
        let (pipe, theirs) = duplex(PIPE);
        // a node that is gone: the client finds its end closed
        drop(self.dock.send(theirs).await);
        let client = Client { pipe, framer: client_framer(), got: VecDeque::new(), eof: false };
        self.all.insert(name.to_owned(), client);
    }

    async fn send(&mut self, name: &str, bytes: &str, restart: bool) {
        let Some(client) = self.all.get_mut(name) else { return };
        if restart {
            client.framer.restart();
        }
        client.send(bytes.as_bytes()).await;
    }

    async fn next(&mut self, name: &str, wait: bool) -> Got {
        self.next_within(name, if wait { PATIENCE } else { SILENCE }).await
    }

    fn binding(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    async fn cut(&mut self, name: &str) {
        self.all.remove(name);
    }

    async fn pass(&mut self, time: Duration) -> bool {
        sleep(time).await;
        self.env.clock.advance(time);
        true
    }
}
