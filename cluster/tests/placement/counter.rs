//! What is placed: a counter that writes all of itself each time, so that of two owners one would undo what the other has done.

use crate::{
    store::{Ids, Store},
    world::World,
};
use bytes::Bytes;
use cluster::placement::{Begun, Failed, Leaving, Placed};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use supervision::{Exit, InitError, Node};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Count that number.
    Add(u64),
    Read,
    Crash,
    /// Never answers.
    Hang,
    /// Takes so many bytes along when it moves.
    Takes(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub node: Node,
    pub epoch: u64,
    pub count: usize,
    /// It has what the one before has left.
    pub moved: bool,
}

/// What all of a node are started with.
#[derive(Clone)]
pub struct Here {
    pub node: Node,
    pub world: World,
}

pub struct Counter {
    here: Here,
    store: Arc<Store>,
    number: u64,
    begun: Begun,
    ids: Ids,
    takes: usize,
}

impl Placed for Counter {
    type Args = Here;
    type Ask = Ask;
    type Answer = Answer;
    const KIND: &'static str = "test.counter";
    const INBOX: usize = 16;

    async fn start(here: Here, begun: Begun) -> Result<Self, InitError> {
        let store = here.world.store();
        let number = here.world.seated(&begun.key, here.node);
        // dropped at whatever moment
        let mut counter = Self { here, store, number, begun, ids: Ids::new(), takes: 0 };
        counter.ids = counter.store.read(&counter.begun.key).await;
        counter.here.world.acts(&counter.begun.key, number);
        Ok(counter)
    }

    async fn handle(&mut self, ask: Ask) -> Result<Answer, Failed> {
        self.here.world.acts(&self.begun.key, self.number);
        match ask {
            Ask::Add(id) => {
                let mut ids = self.ids.clone();
                ids.insert(id);
                let key = &self.begun.key;
                let written =
                    self.store.write(key, self.number, self.begun.epoch, ids.clone()).await;
                written.ok_or(Failed::Ends(Exit::error("no answer")))??;
                self.ids = ids;
            }
            Ask::Read => {}
            Ask::Crash => panic!("as it was told"),
            Ask::Hang => std::future::pending().await,
            Ask::Takes(bytes) => self.takes = bytes,
        }
        let (node, epoch) = (self.here.node, self.begun.epoch);
        let moved = self.begun.state.is_some();
        Ok(Answer { node, epoch, count: self.ids.len(), moved })
    }

    async fn leave(&mut self, why: &Leaving) -> Option<Bytes> {
        self.here.world.left(why);
        (self.takes > 0).then(|| vec![7; self.takes].into())
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.here.world.unseated(self.number);
    }
}
