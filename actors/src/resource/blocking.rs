//! Whom the user of a resource blocks (XEP-0191): each resource has the list, so that a block is in force for all
//! of them at once.

use super::{Item, Resource, Share, weight};
use std::sync::Arc;
use storage::Blocklist;
use xmpp::{
    jid::{BareJid, Jid},
    stanza::Stanza,
};

pub(super) fn blocked(list: Option<&Blocklist>, user: &BareJid, from: Option<&Jid>) -> bool {
    list.zip(from).is_some_and(|(list, from)| blocks(list, user, from))
}

/// Whether a list of `user` names `jid` (XEP-0191 section 5): the resource, the account, the domain's
/// resource or the domain. The user's own resources are never blocked (section 6).
pub fn blocks(list: &Blocklist, user: &BareJid, jid: &Jid) -> bool {
    let bare = jid.bare_jid();
    if bare.as_str() == user.as_str() {
        return false;
    }
    // for domain/resource the bare form is the domain
    list.contains(jid) || list.contains(&bare) || list.contains(jid.domain())
}

impl Resource {
    /// Whether the user blocks this address (XEP-0191).
    pub fn blocks(&self, jid: &Jid) -> bool {
        blocked(self.state.lock().blocked.as_deref(), &self.user, Some(jid))
    }

    /// Replaces the list of those the user blocks. Returns what waited from them: it is not delivered
    /// any more.
    pub fn set_blocked(&self, list: &Arc<Blocklist>) -> Vec<Stanza> {
        let mut s = self.state.lock();
        let s = &mut *s;
        s.blocked = (!list.is_empty()).then(|| Arc::clone(list));
        let mut refused = Vec::new();
        // the first may be in the connection's hands
        let mut first = s.in_hand;
        s.queue.retain_mut(|queued| {
            let kept = std::mem::take(&mut first);
            match &queued.item {
                Item::Stanza(stanza) if !kept => {
                    let from = stanza.head.from.as_ref();
                    let keep = !blocked(s.blocked.as_deref(), &self.user, from);
                    if !keep {
                        s.queued_bytes = s.queued_bytes.saturating_sub(weight(stanza));
                        s.kept.done_with(queued.kept, None);
                        if !queued.share.take().is_none_or(Share::given_up) {
                            // another session of the user refuses it
                            return false;
                        }
                        refused.push(stanza.clone());
                    }
                    keep
                }
                _ => true,
            }
        });
        refused
    }
}
