//! The first messages of an inbox are looked at.

use super::Ref;

impl<M> Ref<M> {
    /// Shows the first messages, at most so many, to the process itself. They stay where they are; not under the lock: who
    /// looks may send. It must not panic.
    pub(crate) fn look(&self, most: usize, mut show: impl FnMut(&M)) {
        let mut queue = self.inbox.queue.lock();
        let most = most.min(queue.items.len());
        let mut urgent: Vec<M> = queue.items.drain(..most).collect();
        let others = urgent.split_off(most.min(queue.urgent as usize));
        let taken = u32::try_from(urgent.len()).unwrap_or_default();
        queue.urgent -= taken;
        drop(queue);
        urgent.iter().chain(&others).for_each(&mut show);
        let mut queue = self.inbox.queue.lock();
        // what came meanwhile is behind them, but urgent messages before others
        let behind = queue.urgent as usize;
        for (n, msg) in others.into_iter().enumerate() {
            queue.items.insert(behind + n, msg);
        }
        for msg in urgent.into_iter().rev() {
            queue.items.push_front(msg);
        }
        queue.urgent += taken;
        self.pid.set_depth(queue.items.len());
    }
}
