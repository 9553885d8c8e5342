//! What a link has to send, as those who send see it: a queue that has credit.

use super::{
    Credit,
    batch::{BYTES, FRAMES},
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use supervision::dist::{Class, SendError, Transport};
use tokio::sync::Notify;

/// So many frames, and bytes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Volume {
    fn add(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes as u64;
    }
}

/// What there is to know of a link that is up.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Since when it is up.
    pub since: Instant,
    /// The credit that is left for messages.
    pub credit: Volume,
    /// What waits to be sent.
    pub queued: Volume,
    /// For how long the oldest of that waits.
    pub oldest: Option<Duration>,
    /// What was sent.
    pub sent: Volume,
    /// What was received.
    pub received: Volume,
    /// How long it takes there and back, as measured last.
    pub round_trip: Option<Duration>,
    /// The version of the other node's program.
    pub program: String,
}

struct State {
    frames: VecDeque<(Instant, Class, Bytes)>,
    queued: u64,
    /// Messages that took credit, and those of them that the other node has taken.
    charged: Volume,
    taken: Volume,
    sent: Volume,
    received: Volume,
    round_trip: Option<Duration>,
    closed: Option<Arc<str>>,
}

/// The queue of one link.
pub(super) struct Line {
    program: String,
    since: Instant,
    limit: Credit,
    state: Mutex<State>,
    /// There is something to send, or it is closed.
    pub(super) ready: Notify,
}

impl Line {
    pub(super) fn new(program: String, limit: Credit) -> Self {
        let state = State {
            frames: VecDeque::new(),
            queued: 0,
            charged: Volume::default(),
            taken: Volume::default(),
            sent: Volume::default(),
            received: Volume::default(),
            round_trip: None,
            closed: None,
        };
        let (state, ready) = (Mutex::new(state), Notify::new());
        Self { program, since: Instant::now(), limit, state, ready }
    }

    /// What is to be sent next: at most one batch.
    pub(super) fn next(&self) -> Vec<(Class, Bytes)> {
        let state = &mut *self.state.lock();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < FRAMES
            && let Some((_, class, frame)) =
                state.frames.pop_front_if(|(.., frame)| bytes == 0 || bytes + frame.len() <= BYTES)
        {
            bytes += frame.len();
            state.queued -= frame.len() as u64;
            state.sent.add(frame.len());
            batch.push((class, frame));
        }
        batch
    }

    /// The other node has taken so many messages, and bytes of them, since the link began. `false`: it cannot have.
    pub(super) fn credit(&self, (frames, bytes): (u64, u64)) -> bool {
        let mut state = self.state.lock();
        let taken = Volume { frames, bytes };
        let may = |taken: u64, before: u64, charged: u64| (before..=charged).contains(&taken);
        let fits = may(frames, state.taken.frames, state.charged.frames)
            && may(bytes, state.taken.bytes, state.charged.bytes);
        if fits {
            state.taken = taken;
        }
        fits
    }

    pub(super) fn received(&self, bytes: usize) {
        self.state.lock().received.add(bytes);
    }

    pub(super) fn measured(&self, round_trip: Duration) {
        self.state.lock().round_trip = Some(round_trip);
    }

    pub(super) fn closed(&self) -> Option<Arc<str>> {
        self.state.lock().closed.clone()
    }

    pub(super) fn traffic(&self) -> Traffic {
        let state = self.state.lock();
        let Volume { frames, bytes } = state.charged;
        let credit = Volume {
            frames: u64::from(self.limit.messages).saturating_sub(frames - state.taken.frames),
            bytes: self.limit.bytes.saturating_sub(bytes - state.taken.bytes),
        };
        Traffic {
            since: self.since,
            credit,
            queued: Volume { frames: state.frames.len() as u64, bytes: state.queued },
            oldest: state.frames.front().map(|(at, ..)| at.elapsed()),
            sent: state.sent,
            received: state.received,
            round_trip: state.round_trip,
            program: self.program.clone(),
        }
    }
}

impl Transport for Line {
    fn send(&self, frame: Bytes, class: Class) -> Result<(), SendError> {
        let state = &mut *self.state.lock();
        if state.closed.is_some() {
            return Err(SendError::Closed);
        }
        if class == Class::Message {
            let frames = state.charged.frames - state.taken.frames;
            let bytes = state.charged.bytes - state.taken.bytes;
            // a single one may be larger than all the credit there is
            let fits = frames == 0 || bytes + frame.len() as u64 <= self.limit.bytes;
            if frames >= self.limit.messages.into() || !fits {
                return Err(SendError::Full);
            }
            state.charged.add(frame.len());
        }
        state.queued += frame.len() as u64;
        let first = state.frames.is_empty();
        state.frames.push_back((Instant::now(), class, frame));
        if first {
            self.ready.notify_one();
        }
        Ok(())
    }

    fn close(&self, why: &str) {
        self.state.lock().closed.get_or_insert_with(|| why.into());
        self.ready.notify_one();
    }
}
