//! Where a process is in the tree: its path. Those that come by the hundred thousand have a number, and a path when
//! somebody asks.

use super::Local;
use std::sync::{Arc, OnceLock};

/// Where a process is in the tree.
#[derive(Clone, Debug)]
pub(crate) enum At {
    Path(Arc<str>),
    /// A supervisor's place, and the id of its template.
    Template(Arc<str>, Arc<str>),
    /// A number below its parent: most of a pool's children, and of a template's instances, live
    /// and end without anybody asking for their path.
    Number(u64),
}

impl At {
    pub(super) fn name(self) -> (OnceLock<Box<Name>>, u64) {
        let (path, template) = match self {
            Self::Path(path) => (path, None),
            Self::Template(path, template) => (path, Some(template)),
            Self::Number(number) => return (OnceLock::new(), number),
        };
        (OnceLock::from(Box::new(Name { path, template })), 0)
    }

    pub(super) fn number(&self) -> Option<u64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// The path, below that of its parent.
    pub(crate) fn path(&self, above: Option<&Name>) -> Arc<str> {
        match self {
            Self::Path(path) | Self::Template(path, _) => Arc::clone(path),
            Self::Number(number) => above.map_or_else(|| "/".into(), |name| name.below(*number)),
        }
    }
}

/// What a process is called.
pub(crate) struct Name {
    pub(super) path: Arc<str>,
    /// What its children are called, beside their number.
    pub(super) template: Option<Arc<str>>,
}

impl Name {
    /// The path of a child with that number.
    fn below(&self, number: u64) -> Arc<str> {
        let Self { path, template } = self;
        let (above, id) = (path.trim_end_matches('/'), template.as_deref().unwrap_or_default());
        format!("{above}/{id}#{number}").into()
    }
}

impl Local {
    /// Its place in the tree, like `/c2s/connections/#51`.
    pub fn path(&self) -> &Arc<str> {
        &self.name().path
    }

    pub(crate) fn name(&self) -> &Name {
        self.0.name.get_or_init(|| {
            let path = At::Number(self.0.number).path(self.parent().map(Self::name));
            Box::new(Name { path, template: None })
        })
    }

    /// Its live child of that template and number.
    pub(crate) fn child(&self, template: &str, number: u64) -> Option<Self> {
        if self.name().template.as_deref().unwrap_or_default() != template {
            return None;
        }
        self.0.state.lock().extra.as_ref()?.numbered.get(&number).cloned()
    }

    /// Its path, if that is not only made when somebody asks.
    pub(crate) fn given_path(&self) -> Option<&Arc<str>> {
        (self.0.number == 0).then(|| self.path())
    }

    /// Paths of those above it, the nearest first.
    pub fn ancestors(&self) -> Vec<String> {
        let above = std::iter::successors(self.parent(), |p| p.parent());
        above.map(|p| p.path().to_string()).collect()
    }
}
