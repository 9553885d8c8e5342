//! What runs, seen from outside: nobody is asked, nobody is disturbed.

use crate::{id::Id, pid::Local, restarts::Supervision, system::System};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, time::Duration};

/// One process.
///
/// Example: [`TreeNode`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Its number.
    pub id: u64,
    /// Its path.
    pub path: String,
    /// What kind.
    pub kind: String,
    /// How long it has been alive.
    pub uptime: Duration,
    /// How long it has been in its present handler.
    pub busy: Option<Duration>,
    /// How many messages it has handled (servers).
    pub handled: u64,
    /// What it says of itself.
    pub status: Option<String>,
    /// Of a supervisor: what it knows of restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervision: Option<Supervision>,
}

impl From<&Local> for ProcessInfo {
    fn from(pid: &Local) -> Self {
        Self {
            id: pid.id().number,
            path: pid.path().to_string(),
            kind: pid.kind().to_owned(),
            uptime: pid.uptime(),
            busy: pid.busy(),
            handled: pid.handled(),
            status: pid.status().map(|s| s.to_string()),
            supervision: pid.supervision(),
        }
    }
}

/// A process and those below it. Children of a pool are counted, not listed.
///
/// ```
/// use supervision::{ChildSpec, ProcessInfo, SupervisorSpec, System, TreeNode};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let system = System::new("demo");
/// let below = ChildSpec::supervisor("below", SupervisorSpec::one_for_one());
/// let root = system.start(SupervisorSpec::one_for_one().child(below)).await.unwrap();
/// let tree: &TreeNode = &system.tree()[0];
/// assert_eq!((tree.count(), &*tree.children[0].process.path), (2, "/below"));
/// let all: Vec<ProcessInfo> = system.processes(100);
/// assert_eq!((all.len(), &*all[0].kind), (2, "supervisor"));
/// # root.stop().await;
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TreeNode {
    /// Its process.
    pub process: ProcessInfo,
    /// Those below it, in start order.
    pub children: Vec<TreeNode>,
    /// How many children a pool has.
    pub pooled: usize,
}

impl TreeNode {
    /// How many processes this is, pooled ones included.
    pub fn count(&self) -> usize {
        1 + self.pooled + self.children.iter().map(Self::count).sum::<usize>()
    }
}

impl System {
    /// Every live process, in the order of their starts; at most `limit`.
    pub fn processes(&self, limit: usize) -> Vec<ProcessInfo> {
        let mut pids = self.pids();
        pids.sort_by_key(Local::id);
        pids.iter().take(limit).map(ProcessInfo::from).collect()
    }

    /// The trees that run.
    pub fn tree(&self) -> Vec<TreeNode> {
        let mut below: HashMap<Option<Id>, Vec<Local>> = HashMap::new();
        for pid in self.pids() {
            let parent = pid.parent().filter(|p| p.is_alive()).map(Local::id);
            below.entry(parent).or_default().push(pid);
        }
        for list in below.values_mut() {
            list.sort_by_key(Local::id);
        }
        let roots = below.remove(&None).unwrap_or_default();
        roots.iter().map(|pid| node(pid, &mut below)).collect()
    }
}

fn node(pid: &Local, below: &mut HashMap<Option<Id>, Vec<Local>>) -> TreeNode {
    let children = below.remove(&Some(pid.id())).unwrap_or_default();
    let process = ProcessInfo::from(pid);
    if pid.kind() == "pool" {
        return TreeNode { process, pooled: children.len(), children: Vec::new() };
    }
    let children = children.iter().map(|c| node(c, below)).collect();
    TreeNode { process, children, pooled: 0 }
}
