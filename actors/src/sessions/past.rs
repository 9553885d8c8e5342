//! Sessions that nobody resumed in time: how much of what their clients sent was handled, for a client
//! that comes too late (XEP-0198 section 5). A limited number; the oldest are forgotten first,
//! and all of them when the process ends.

use crate::resource::Resource;
use std::collections::{HashMap, VecDeque};
use xmpp::jid::BareJid;

/// So many are remembered by each session manager.
const LIMIT: usize = 1_000;

/// By the token with which a session could be resumed.
#[derive(Debug, Default)]
pub(super) struct Past {
    handled: HashMap<String, (BareJid, u32)>,
    order: VecDeque<String>,
}

impl Past {
    /// A session that could be resumed is about to end.
    pub(super) fn note(&mut self, resource: &Resource) {
        let known =
            resource.with_sm(|sm| sm.as_ref().and_then(|s| Some((s.token.clone()?, s.handled))));
        if let Some((token, handled)) = known {
            self.keep(token, resource.user().clone(), handled);
        }
    }

    fn keep(&mut self, token: String, user: BareJid, handled: u32) {
        if self.order.len() >= LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            self.handled.remove(&oldest);
        }
        self.order.push_back(token.clone());
        self.handled.insert(token, (user, handled));
    }

    /// What was handled in a session of this user.
    pub(super) fn find(&self, user: &BareJid, token: &str) -> Option<u32> {
        self.handled.get(token).filter(|(whose, _)| whose == user).map(|(_, handled)| *handled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_remembered_and_only_for_their_user() {
        let user = |name: &str| BareJid::new(name, "localhost").unwrap();
        let mut past = Past::default();
        for n in 0..=LIMIT {
            past.keep(n.to_string(), user("juliet"), 7);
        }
        assert_eq!(past.find(&user("juliet"), "0"), None);
        assert_eq!(past.find(&user("juliet"), "1"), Some(7));
        assert_eq!(past.find(&user("romeo"), "1"), None);
        assert_eq!((past.handled.len(), past.order.len()), (LIMIT, LIMIT));
    }
}
