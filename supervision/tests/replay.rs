//! A crash is replayed from its report alone.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::time::Duration;
use supervision::{
    Cx, InitError, Next, Server,
    replay::{Replay, ReplayError, Replayed, replay},
    testkit::ended,
};

/// Adds what it is told; cannot add up to 13.
struct Sum(u32);

impl Server for Sum {
    type Args = u32;
    type Msg = u32;
    const NAME: &'static str = "sum";

    async fn init(start: u32, _: &mut Cx<u32>) -> Result<Self, InitError> {
        Ok(Self(start))
    }

    async fn handle(&mut self, n: u32, cx: &mut Cx<u32>) -> Next {
        cx.record(n.to_string().as_str());
        if n == 99 {
            std::future::pending::<()>().await;
        }
        self.0 += n;
        assert!(self.0 != 13, "thirteen");
        Next::Continue
    }
}

impl Replay for Sum {
    fn input(recorded: &str) -> Option<u32> {
        recorded.parse().ok()
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_is_enough_to_crash_again() {
    let second = Duration::from_secs(1);
    let kit = common::server::<Sum>("sum", || 0).await;
    for n in [6, 5, 2] {
        kit.me.cast(n).unwrap();
    }
    ended(kit.me.pid()).await;
    let mut report = (*kit.system.crashes().list()[0]).clone();
    assert_eq!(report.inputs, ["6", "5", "2"]);
    let Replayed::Crashed(again) = replay::<Sum>(&report, || 0, second).await.unwrap() else {
        panic!("it survived");
    };
    assert_eq!((&*again.reason, &again.location), ("thirteen", &report.location));
    assert_eq!(kit.system.crashes().count(), 1, "the sandbox is another system");
    // from another start it goes well
    let outcome = replay::<Sum>(&report, || 1, second).await.unwrap();
    assert!(matches!(outcome, Replayed::Survived));
    report.inputs = vec!["99".to_owned()];
    let outcome = replay::<Sum>(&report, || 0, second).await;
    assert!(matches!(outcome, Err(ReplayError::Timeout(_))));
    report.inputs = vec!["six".to_owned()];
    let outcome = replay::<Sum>(&report, || 0, second).await;
    assert!(matches!(outcome, Err(ReplayError::Input(text)) if text == "six"));
    kit.root.stop().await;
}
