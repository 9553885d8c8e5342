//! Where a process is in the tree: its path. Those that come by the hundred thousand have a number, and a path when
//! somebody asks.

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
