//! What comes from another node.

use super::{
    node::Dist,
    peer::Peer,
    wire::{self, FrameError, Read, To, Why, Word},
};
use crate::{pid::Local, system::System};
use std::sync::Arc;

/// One word, and what is behind it.
struct Came<'a> {
    system: &'a System,
    dist: &'a Dist,
    peer: &'a Arc<Peer>,
    behind: &'a [u8],
}

/// Takes a frame.
pub(super) fn receive(system: &System, peer: &Arc<Peer>, frame: &[u8]) -> Result<(), FrameError> {
    if peer.is_lost() {
        return Err(FrameError::Lost);
    }
    if frame.len() > peer.limit() {
        return Err(FrameError::TooLong);
    }
    let dist = Dist::of(system);
    match wire::read(frame)? {
        Read::Known(word, behind) => Came { system, dist, peer, behind }.take(word),
        Read::Unknown(kind) => dist.refuse(peer.node, &format!("frames of kind {kind}")),
    }
    Ok(())
}

impl Came<'_> {
    fn take(&self, word: Word<'_>) {
        let Self { system, peer, .. } = self;
        match word {
            Word::Message { to, tag, version, replies } => {
                self.message(to, (tag, version), &replies);
            }
            Word::Answer { reply } => peer.answered(reply, Ok(self.behind)),
            Word::NoAnswer { reply, why } => peer.answered(reply, Err(why)),
            Word::Link { from, to } => peer.linked_by(system.process(to).as_ref(), from, to),
            Word::Unlink { from, to, number } => peer.unlinked_by(from, to, number),
            Word::Unlinked { from, to, number } => peer.unlink_done(from, to, number),
            Word::Ended { from, to, reason } => peer.link_ends(from, to, reason.into()),
            Word::Exit { to, reason } => {
                if let Some(local) = system.process(to) {
                    local.exit(reason.into());
                }
            }
            Word::Kill { to } => {
                if let Some(local) = system.process(to) {
                    local.kill();
                }
            }
            Word::Monitor { monitor, to } => {
                peer.monitored_by(self.whom(to).as_ref(), monitor);
            }
            Word::Demonitor { monitor } => peer.demonitored_by(monitor),
            Word::Down { monitor, reason } => peer.down(monitor, reason.into()),
            Word::Join { group, member } => self.group(group, member, true),
            Word::Leave { group, member } => self.group(group, member, false),
        }
    }

    fn whom(&self, to: To<'_>) -> Option<Local> {
        match to {
            To::Process(number) => self.system.process(number),
            To::Name(name) => self.system.whereis(name),
        }
    }

    /// A cast to nobody goes nowhere, as in OTP.
    fn message(&self, to: To<'_>, (tag, version): (&str, u16), replies: &[u64]) {
        let accept = self.dist.types.read().get(tag).copied();
        let taken = match (accept, self.whom(to)) {
            (None, _) => Err(Why::Unknown),
            (Some(_), None) => Err(Why::noproc()),
            (Some(accept), Some(local)) => accept(self.peer, &local, version, self.behind),
        };
        let Err(why) = taken else { return };
        let what = match why {
            Why::Unknown => "not known",
            Why::Full => "the inbox is full",
            Why::WrongType => "the process takes others",
            Why::Gone(_) | Why::Unsendable(_) => "",
        };
        if !what.is_empty() {
            self.dist.refuse(self.peer.node, &format!("{tag} {version}: {what}"));
        }
        for reply in replies {
            self.peer.signal(&Word::NoAnswer { reply: *reply, why: why.clone() }, &[]);
        }
    }

    /// One there is in a group from now on, or not any more; of a node that is lost meanwhile nobody is.
    fn group(&self, group: &str, member: u64, joins: bool) {
        let Some(pid) = self.peer.pid(member) else { return };
        let mut groups = self.system.0.groups.lock();
        if self.peer.is_lost() {
            return;
        }
        match joins {
            true => groups.join_far(group, &pid),
            false => groups.leave_far(group, pid.id()),
        }
    }
}
