//! `--key value` / `--key=value` / `--flag` arguments.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use crate::R;

pub struct Args {
    pub cmd: String,
    map: BTreeMap<String, String>,
    used: RefCell<BTreeSet<String>>,
    bad: RefCell<Vec<String>>,
}

impl Args {
    pub fn parse(args: impl Iterator<Item = String>) -> R<Args> {
        let mut it = args.peekable();
        let cmd = it.next().unwrap_or_else(|| "help".into());
        let mut map = BTreeMap::new();
        while let Some(a) = it.next() {
            let Some(k) = a.strip_prefix("--") else {
                return Err(format!("unexpected argument {a:?}"));
            };
            let (k, v) = match k.split_once('=') {
                Some((k, v)) => (k, v.to_owned()),
                None => (k, it.next_if(|n| !n.starts_with("--")).unwrap_or("true".into())),
            };
            map.insert(k.to_owned(), v);
        }
        Ok(Args { cmd, map, used: RefCell::default(), bad: RefCell::default() })
    }

    pub fn opt(&self, k: &str) -> Option<String> {
        self.used.borrow_mut().insert(k.to_owned());
        self.map.get(k).cloned()
    }

    pub fn str(&self, k: &str, default: &str) -> String {
        self.opt(k).unwrap_or_else(|| default.to_owned())
    }

    /// The value of `--k`; one that does not parse is reported by [`check`](Args::check).
    pub fn num<T: FromStr>(&self, k: &str, default: T) -> T {
        let Some(v) = self.opt(k) else { return default };
        v.parse().unwrap_or_else(|_| {
            self.bad.borrow_mut().push(format!("bad value {v:?} for --{k}"));
            default
        })
    }

    pub fn flag(&self, k: &str) -> bool {
        matches!(self.opt(k).as_deref(), Some("true" | "1" | "yes" | "on"))
    }

    /// To be called when all options were asked for: fails on values that did not parse and on options nobody knows.
    pub fn check(&self) -> R<()> {
        let used = self.used.borrow();
        let unknown = self.map.keys().filter(|k| !used.contains(*k));
        let mut bad = self.bad.borrow().clone();
        bad.extend(unknown.map(|k| format!("unknown option --{k}")));
        if bad.is_empty() { Ok(()) } else { Err(bad.join(", ")) }
    }
}
