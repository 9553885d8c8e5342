//! What a process says of its messages, and the reports of its end, which show that.

use super::{Cx, Describe};
use crate::{
    crash::{CrashReport, Panic, WAITING},
    event::Event,
    exit::Exit,
    inbox::Ref,
    pid::{Monitor, Signal},
    sys,
};
use serde_json::Value;
use std::{any::type_name, borrow::Cow, sync::Arc};

impl<M: Send + 'static> Cx<M> {
    /// It takes a message: who watches it is told, and it is noted for a report where that is wanted.
    #[inline]
    pub(super) fn takes(&mut self, from: &str, msg: &M) {
        if self.pid().is_watched() {
            self.tells(from, msg);
        }
        self.notes(msg);
    }

    #[cold]
    fn tells(&mut self, from: &str, msg: &M) {
        let describe = self.describe.unwrap_or(wordless);
        let (mut asked, mut said) = (false, false);
        sys::note(self.pid(), || {
            asked = true;
            let word = describe(msg);
            said = true;
            format!("{from}: {word}")
        });
        if asked && !said {
            self.describe = None;
        }
    }

    /// It takes a signal: likewise. `None`: it was of no use.
    pub(super) fn signalled(&mut self, signal: Signal) -> Option<Event<M>> {
        if let Some(own) = &mut self.own {
            own.get_mut().timers.stop_idle();
        }
        let pid = &self.me.pid;
        let event = match signal {
            Signal::Exit { from, reason } => {
                sys::note(pid, || format!("exit signal of {from:?}: {reason}"));
                Event::Exit { from, reason }
            }
            Signal::Down { monitor, pid: who, reason } => {
                sys::note(pid, || format!("down: {who:?}: {reason}"));
                Event::Down { monitor: Monitor(monitor), pid: who, reason }
            }
            Signal::Group { monitor, event } => {
                let msg = self.of_group(Monitor(monitor), event)?;
                self.takes("group", &msg);
                return Some(Event::Msg(msg));
            }
            Signal::Node { monitor, event } => {
                let msg = self.of_node(Monitor(monitor), event)?;
                self.takes("node", &msg);
                return Some(Event::Msg(msg));
            }
        };
        if self.black_box.has_words() {
            self.black_box.took(event.word().into());
        }
        Some(event)
    }

    #[inline]
    pub(super) fn notes(&mut self, msg: &M) {
        if self.black_box.has_words() {
            let word = self.word(self.describe.unwrap_or(wordless), msg);
            self.black_box.took(word);
        }
    }

    /// The word of its behaviour for a message, for who knows that at compile time: so it costs nothing. One whose text had to
    /// be made is in the black box already.
    #[inline]
    pub(crate) fn word_of(
        &mut self,
        describe: impl FnOnce(&M) -> Cow<'static, str>,
        msg: &M,
    ) -> &'static str {
        match self.word(describe, msg) {
            Cow::Borrowed(word) => word,
            made => {
                self.black_box.took(made);
                ""
            }
        }
    }

    /// What [`Cx::word_of`] said last, for a report.
    pub(crate) fn had_taken(&mut self, word: &'static str) {
        if !word.is_empty() {
            self.black_box.took(Cow::Borrowed(word));
        }
    }

    #[inline]
    fn word(
        &mut self,
        describe: impl FnOnce(&M) -> Cow<'static, str>,
        msg: &M,
    ) -> Cow<'static, str> {
        if self.describe.is_none() {
            return wordless(msg);
        }
        match self.pid().guard(|| describe(msg)) {
            Ok(word) => word,
            Err(panic) => self.without_words(panic, msg),
        }
    }

    #[cold]
    fn without_words(&mut self, panic: Panic, msg: &M) -> Cow<'static, str> {
        self.describe = None;
        self.pid().report_beside(panic, Some("describe: its messages have no words any more"));
        wordless(msg)
    }

    /// Makes the report of a panic of the process, logs it and keeps it.
    pub(crate) fn report(&mut self, panic: Panic, state: Option<Value>) -> Arc<CrashReport> {
        let Self { me, black_box, describe, .. } = self;
        me.pid.report(panic, black_box, state, || first(me, describe.unwrap_or(wordless)))
    }

    /// The report of an abnormal end that is no panic.
    pub(crate) fn account_for(&mut self, exit: &Exit, state: impl FnOnce() -> Option<Value>) {
        let Self { me, black_box, describe, .. } = self;
        me.pid.account_for(exit, black_box, state, || first(me, describe.unwrap_or(wordless)));
    }
}

fn wordless<M>(_: &M) -> Cow<'static, str> {
    Cow::Borrowed(type_name::<M>())
}

/// The words for the first messages that wait.
fn first<M: Send + 'static>(me: &Ref<M>, describe: Describe<M>) -> Vec<String> {
    let mut words = Vec::new();
    me.look(WAITING, |msg| {
        let word = me.pid.catch(|| describe(msg).into_owned());
        words.push(word.unwrap_or_else(|panic| format!("without a word: {}", panic.message)));
    });
    words
}
