//! `mangrove stop`: asks the node to stop, and waits for the end of its process.

use super::{Done, Failure, NodeArgs, output::Output};
use mangrove::admin::protocol::Request;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

/// How long a node may take to stop, in seconds.
const LONGEST: i64 = 120;

pub async fn stop(node: &NodeArgs, out: &mut Output) -> Done {
    let mut client = node.connect().await?;
    let pid = client.pid().and_then(Pid::from_raw);
    let process = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    client.rows(Request::Stop {}).await?;
    if let Some(process) = &process {
        let mut ended = [PollFd::new(process, PollFlags::IN)];
        let limit = Timespec { tv_sec: LONGEST, tv_nsec: 0 };
        let events = poll(&mut ended, Some(&limit)).map_err(|e| Failure::new(e.to_string()))?;
        if events == 0 {
            return Err(Failure::new(format!("it has not stopped after {LONGEST} s")));
        }
    }
    if out.json {
        out.json(&serde_json::json!({ "stopped": true, "pid": client.pid() }));
    } else {
        out.text("stopped");
    }
    Ok(())
}
