//! Messages that go into the store past the queue of a session, and what that session leaves behind when it ends meanwhile.

use super::{Resource, State};
use std::sync::Arc;

/// A message is on its way into the store, past the queues of these sessions. Should one end meanwhile, what it leaves behind
/// waits until this is dropped: it came before.
#[derive(Debug)]
pub struct Coming(Vec<Arc<Resource>>);

impl Coming {
    pub(super) fn past(resource: &Arc<Resource>, s: &mut State) -> Self {
        s.coming += 1;
        Self(vec![Arc::clone(resource)])
    }

    /// Past those too.
    pub fn and(mut self, mut other: Self) -> Self {
        self.0.append(&mut other.0);
        self
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        for resource in &self.0 {
            let mut s = resource.state.lock();
            s.coming -= 1;
            s.leaving.iter().for_each(|leaving| leaving.over.notify_waiters());
        }
    }
}

impl Resource {
    /// Resolves when nothing that came before it ended is on its way into the store; `false`: not within
    /// [`PATIENCE`](super::PATIENCE).
    pub async fn nothing_comes(&self) -> bool {
        self.comes_to(|s| s.coming == 0).await
    }
}
