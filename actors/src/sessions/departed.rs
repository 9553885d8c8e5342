//! Nodes that are gone and whose sessions go on here.

use parking_lot::Mutex;

/// Nodes that are gone whose sessions are being taken over: as many as a cluster has.
#[derive(Debug, Default)]
pub struct Departed(Mutex<Vec<String>>);

impl Departed {
    /// Whether that one is among them.
    pub(super) fn has(&self, node: &str) -> bool {
        self.0.lock().iter().any(|gone| gone == node)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

/// One of them, until this is dropped.
#[derive(Debug)]
pub(super) struct Departing<'a>(&'a Departed, &'a str);

impl<'a> Departing<'a> {
    pub(super) fn new(departed: &'a Departed, node: &'a str) -> Self {
        departed.0.lock().push(node.to_owned());
        Self(departed, node)
    }
}

impl Drop for Departing<'_> {
    fn drop(&mut self) {
        let mut all = self.0.0.lock();
        if let Some(at) = all.iter().position(|gone| gone == self.1) {
            all.swap_remove(at);
        }
    }
}
