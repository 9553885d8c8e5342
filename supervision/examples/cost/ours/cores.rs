//! What is time and not only CPU: how long calls take, and what two threads do.

use super::{Kind, Msg, flooding, named};
use crate::{CALLS, Error, FAN, Meter, PAIRS, THROWS, report_calls, report_rate, until};
use std::time::Duration;
use supervision::{Ref, SupervisorSpec, System};
use tokio::time::Instant;

pub(super) async fn calls(to: &Ref<Msg>) -> Result<(), Error> {
    let mut took = Vec::new();
    for _ in 0..CALLS {
        let began = Instant::now();
        to.call(Msg::Ask, Duration::from_secs(5)).await?;
        took.push(began.elapsed());
    }
    report_calls(took)
}

/// A thousand to one, and pairs that have nothing to do with each other.
pub(super) async fn cores(kind: Kind, sink: &Ref<Msg>) -> Result<(), Error> {
    let (meter, began) = (Meter::start(), Instant::now());
    let mut senders = flooding(sink);
    until(|| sink.pid().handled() == FAN * FAN).await;
    report_rate("cores_fan_in_rate", FAN * FAN, began);
    meter.report("cores_fan_in", FAN * FAN);
    while senders.join_next().await.is_some() {}

    let system = System::new("pairs");
    system.set_engine(kind.engine());
    let names: Vec<String> = (0..PAIRS * 2).map(|n| format!("player-{n}")).collect();
    let children = names.iter().map(|name| named(kind, name)).collect();
    let root = system.start(SupervisorSpec { children, ..SupervisorSpec::default() }).await?;
    let mut players = Vec::new();
    for name in names {
        players.push(system.lookup::<Msg>(&name).ok_or("not there")?);
    }
    let (meter, began) = (Meter::start(), Instant::now());
    for pair in players.chunks(2) {
        if let [one, other] = pair {
            one.cast(Msg::Ball(THROWS - 1, other.clone())).map_err(|e| e.to_string())?;
        }
    }
    let thrown = || players.iter().map(|player| player.pid().handled()).sum::<u64>();
    until(|| thrown() == PAIRS * THROWS).await;
    report_rate("cores_pairs_rate", PAIRS * THROWS, began);
    meter.report("cores_pairs", PAIRS * THROWS);
    root.stop().await;
    Ok(())
}
